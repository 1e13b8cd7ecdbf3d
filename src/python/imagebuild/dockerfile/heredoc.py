"""Here-documents: found in an instruction's line, lifted out of the text below it (Dockerfile reference, "Here-Documents").

dockerfile-parse knows none and would read their bodies as instructions, so this happens before it sees the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import List, Sequence, Tuple

from imagebuild.dockerfile.expand import expand
from imagebuild.dockerfile.words import split_words
from imagebuild.errors import DockerfileSyntaxError, ExpansionError

_TAKES_HEREDOCS = re.compile(r"\s*(?:ONBUILD\s+)?(?:ADD|COPY|RUN)\s", re.IGNORECASE)
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)\Z")
_BLANKS_BEHIND = re.compile(r"(<<-?)[\t\v\f ]+(?=[^\s<])")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPE = "\\"  # here-documents know no other, whatever the escape directive says


@dataclass(frozen=True)
class Heredoc:
    """A here-document.

    :param expand: variables are substituted; not so when any part of the name was quoted.
    :param chomp: ``<<-``: leading tabs are to be taken off every line.
    :param content: its lines as they stand; it ends in a newline unless it is empty.
    :param word: the name as it was written, quotes and all.
    """

    name: str
    expand: bool
    chomp: bool
    content: str = ""
    word: str = field(default="", compare=False)

    @property
    def body(self) -> str:
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content

    @property
    def file_name(self) -> str:
        """Its name as that of a file.

        :raises DockerfileSyntaxError: when it cannot be one.
        """
        if "/" in self.name or self.name in (".", ".."):
            raise DockerfileSyntaxError(
                f'the here-document "<<{self.name}" cannot be a file of that name',
                expected='a name without "/"',
                hint="rename it, there and at its end",
            )
        return self.name

    @property
    def opening(self) -> str:
        return f"<<{'-' if self.chomp else ''}{self.word}"

    @property
    def lines(self) -> str:
        """What stands below the instruction, its terminator included."""
        return self.content + self.name


def as_unicode(text: str) -> str:
    """`text` for an image's config, which is JSON: bytes of a here-document that are not UTF-8 are marked."""
    return _SURROGATES.sub("\ufffd", text)


def joined(text: str) -> str:
    """`text` without the blanks that may stand between "<<" and a name."""
    return _BLANKS_BEHIND.sub(r"\1", text)


def announced(line: str) -> Tuple[Heredoc, ...]:
    """The here-documents that an instruction's logical `line` announces, without their content."""
    if "<<" not in line or not _TAKES_HEREDOCS.match(line):
        return ()
    words = split_words(joined(line), _ESCAPE)
    return tuple(found for word in words for found in heredocs_of(word))


def heredocs_of(word: str) -> Tuple[Heredoc, ...]:
    """The here-document that one word announces, if it does."""
    match = _HEREDOC.match(word)
    if match is None:
        return ()
    try:
        name = expand(match[2], {}, _ESCAPE, keep_unset=True)
    except ExpansionError:
        return ()
    quoted = name.count("'") + name.count('"') != match[2].count("'") + match[2].count('"')
    there = name and not name.isspace()
    return (Heredoc(name, not quoted, match[1] == "-", word=match[2]),) if there else ()


def is_alone(text: str) -> bool:
    """Whether `text`, the command of a RUN, is one here-document and nothing else."""
    words = split_words(joined(text), _ESCAPE)
    return len(words) == 1 and bool(heredocs_of(words[0]))


def read_bodies(
    heredocs: Sequence[Heredoc], lines: Sequence[str], at: int
) -> Tuple[Tuple[Heredoc, ...], int]:
    """The same with their content, which starts at index `at` of `lines`, and the index behind the last terminator.

    :raises DockerfileSyntaxError: when a terminator is missing.
    """
    done: List[Heredoc] = []
    for heredoc in heredocs:
        start = at
        while at < len(lines) and _terminator(lines[at], heredoc.chomp) != heredoc.name:
            at += 1
        if at == len(lines):
            raise DockerfileSyntaxError(
                f'the here-document "<<{heredoc.name}" has no end',
                expected=f'a line that is only "{heredoc.name}"',
                hint='add that line where the document ends; a "<<" that begins none belongs into quotes',
            )
        content = "".join(f"{line}\n" for line in lines[start:at])
        done.append(replace(heredoc, content=content))
        at += 1
    return tuple(done), at


def _terminator(line: str, chomp: bool) -> str:
    return line.lstrip("\t") if chomp else line
