"""Rules about how a Dockerfile is written: they need its text only, so they also find something in one that is broken."""

from __future__ import annotations

import re
from typing import Iterable, List, Tuple

from imagebuild.check.finding import Found
from imagebuild.check.subject import Subject
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.words import split_blanks
from imagebuild.errors import SourceRange

_DIRECTIVE = re.compile(r"[A-Za-z][A-Za-z0-9]*\s*=")
_RESERVED = ("context",)  # "scratch" is refused by the parser


def stage_name_casing(subject: Subject) -> Iterable[Found]:
    for raw, words in _named_stages(subject):
        if words[2] != words[2].lower():
            message = f"Stage name '{words[2]}' should be lowercase"
            yield Found(raw.source, message, f"write {words[2].lower()}")


def from_as_casing(subject: Subject) -> Iterable[Found]:
    for raw, words in _named_stages(subject):
        keyword = _keyword(raw)
        if _is_uniform(keyword) and words[1] != _in_case_of(keyword, words[1]):
            message = f"'{words[1]}' and '{keyword}' keywords' casing do not match"
            yield Found(raw.source, message, f"write {_in_case_of(keyword, words[1])}")


def reserved_stage_name(subject: Subject) -> Iterable[Found]:
    for raw, words in _named_stages(subject):
        if words[2].lower() in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{words[2]}"'
            yield Found(raw.source, message, "give the stage another name")


def consistent_instruction_casing(subject: Subject) -> Iterable[Found]:
    """The majority of those that are all upper or all lower case decides; ARGs before the first FROM have no say."""
    raws = subject.lexed.instructions
    first = next((number for number, raw in enumerate(raws) if raw.keyword == "FROM"), len(raws))
    uniform = [_keyword(raw) for raw in raws[first:] if _is_uniform(_keyword(raw))]
    lower = sum(keyword.islower() for keyword in uniform)
    casing = "lowercase" if lower > len(uniform) - lower else "uppercase"
    for raw in raws[first:]:
        keyword = _keyword(raw)
        right = keyword.lower() if casing == "lowercase" else keyword.upper()
        if keyword != right:
            message = (
                f"Command '{keyword}' should match the case of the command majority ({casing})"
            )
            yield Found(raw.source, message, f"write {right}")


def no_empty_continuation(subject: Subject) -> Iterable[Found]:
    for raw in subject.lexed.instructions:
        for number in _blank_lines(subject, raw):
            yield Found(
                subject.line(number),
                "Empty continuation line",
                f'remove the line, or end the line before it without "{raw.escape}"',
            )


def maintainer_deprecated(subject: Subject) -> Iterable[Found]:
    for raw in subject.raw("MAINTAINER"):
        message = "Maintainer instruction is deprecated in favor of using label"
        yield Found(raw.source, message, "write LABEL org.opencontainers.image.authors=...")


def invalid_definition_description(subject: Subject) -> Iterable[Found]:
    """A comment right above an ARG, or a FROM with a stage name, describes it: its first word is the name."""
    for raw in subject.raw("FROM", "ARG"):
        comments = subject.comments_above(raw.source)
        names = _defined_names(raw)
        if not comments or not names or _DIRECTIVE.match(comments[-1]):
            continue
        if comments[-1].split(" ")[0] not in names:
            example = names[0] if len(names) == 1 else "<arg_key>"
            yield Found(
                raw.source,
                f"Comment for {raw.keyword} should follow the format: `# {example} <description>`",
                "if the comment describes something else, put a blank line below it",
            )


def _defined_names(raw: RawInstruction) -> Tuple[str, ...]:
    words = split_blanks(raw.rest)
    if raw.keyword == "FROM":
        return words[2:3] if _has_stage_name(words) else ()
    return tuple(word.partition("=")[0] for word in words)


def _named_stages(subject: Subject) -> Iterable[Tuple[RawInstruction, Tuple[str, ...]]]:
    """Every FROM with a stage name, and its words: the image, AS, the name."""
    for raw in subject.raw("FROM"):
        words = split_blanks(raw.rest)
        if _has_stage_name(words):
            yield raw, words


def _has_stage_name(words: Tuple[str, ...]) -> bool:
    return len(words) == 3 and words[1].lower() == "as"


def _keyword(raw: RawInstruction) -> str:
    """As it is written."""
    return raw.text[: len(raw.keyword)]


def _is_uniform(keyword: str) -> bool:
    return keyword in (keyword.lower(), keyword.upper())


def _in_case_of(keyword: str, word: str) -> str:
    return word.lower() if keyword.islower() else word.upper()


def _blank_lines(subject: Subject, raw: RawInstruction) -> Iterable[int]:
    """Blank lines before the last line of an instruction; here-documents, which come behind it, may have any."""
    found: List[int] = []
    lines = subject.lexed.source.lines
    for number in range(raw.source.start_line, min(raw.source.end_line, len(lines)) + 1):
        line = lines[number - 1].rstrip(" \t")
        if not line.strip():
            found.append(number)
        elif not line.lstrip().startswith("#") and not _continues(line, raw.escape):
            return found
    return _without_tail(found, raw.source)


def _continues(line: str, escape: str) -> bool:
    return line.endswith(escape) and not line.endswith(escape * 2)


def _without_tail(found: List[int], source: SourceRange) -> List[int]:
    """A file that ends in a continuation: blank lines at its end continue nothing."""
    end = source.end_line
    while found and found[-1] == end:
        found.pop()
        end -= 1
    return found
