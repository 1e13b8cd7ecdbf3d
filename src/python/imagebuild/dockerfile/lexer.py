"""Bytes to raw instructions: encoding, parser directives, here-documents, continuation lines, comments, flags.

dockerfile-parse groups lines into instructions. It differs from BuildKit in a few places (blank continuation lines, an
escaped escape character or a continuation at the end of the file, the ``check`` directive), so it is given a text in
which those are already settled, line by line, and the lines it groups are joined here.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Dict, List, Pattern, Tuple, Union

from dockerfile_parse import DockerfileParser

from imagebuild.dockerfile.directives import Directives, read_directives
from imagebuild.dockerfile.flags import take_flags
from imagebuild.dockerfile.heredoc import Heredoc, announced, read_bodies
from imagebuild.dockerfile.source import SourceFile
from imagebuild.errors import DockerfileSyntaxError, ImageBuildError, SourceRange

_BOM = codecs.BOM_UTF8
_END = "\0"  # behind a line that is complete, whatever its last characters look like
_NOTHING = "#"  # stands for a line that says nothing: a comment, a blank continuation, a here-document's body
_KEYWORD = re.compile(r"\s*(\S+)\s*([\s\S]*)\Z")
_SURROGATE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class RawInstruction:
    """One instruction: its keyword in capitals, its flags, and the rest of its logical line.

    :param text: the logical line, for people.
    """

    keyword: str
    flags: Tuple[str, ...]
    rest: str
    text: str
    source: SourceRange
    escape: str = "\\"
    heredocs: Tuple[Heredoc, ...] = ()


@dataclass(frozen=True)
class LexedFile:
    source: SourceFile
    directives: Directives
    instructions: Tuple[RawInstruction, ...]
    warnings: Tuple[str, ...]
    errors: Tuple[ImageBuildError, ...]


def lex(text: Union[bytes, str], name: str) -> LexedFile:
    """Split a Dockerfile; whatever is wrong with it is in `errors`, in no order."""
    source = SourceFile(name, _lines(text))
    errors: List[ImageBuildError] = []
    directives = read_directives(source, errors)
    mask = _Mask(source, directives.escape, errors)
    mask.run()
    instructions = []
    for start, end, line in _group(mask.lines, directives.escape):
        try:
            instructions.append(
                _instruction(source, directives.escape, start, end, line, mask.heredocs)
            )
        except ImageBuildError as error:
            errors.append(source.locate(error, source.range(start, end)))
    warnings = (*directives.warnings, *mask.warnings)
    return LexedFile(source, directives, tuple(instructions), warnings, tuple(errors))


def _lines(text: Union[bytes, str]) -> Tuple[str, ...]:
    """Lines without their ends (``\\n``, ``\\r\\n``); bytes that are not UTF-8 stay visible as lone surrogates."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape" if _SURROGATE.search(text) else "replace")
    if text.startswith(_BOM):
        text = text[len(_BOM) :]
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    return tuple(line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1]))


@lru_cache(maxsize=2)
def _continuation(escape: str) -> Pattern[str]:
    """The escape character as a line's last one, blanks aside, and not itself escaped."""
    mark = re.escape(escape)
    return re.compile(rf"(?<!{mark}){mark}[ \t]*\Z")


class _Mask:
    """The text as dockerfile-parse shall see it, one line for one; here-documents go aside."""

    def __init__(self, source: SourceFile, escape: str, errors: List[ImageBuildError]) -> None:
        self.lines: List[str] = []
        self.heredocs: Dict[int, Tuple[Heredoc, ...]] = {}  # by the last line of their instruction
        self.warnings: List[str] = []
        self._source, self._escape, self._errors = source, escape, errors
        self._continues = _continuation(escape).search
        self._logical: List[str] = []  # of the instruction that is being read

    def run(self) -> None:
        lines, at = self._source.lines, 0
        while at < len(lines):
            line = self._checked(lines[at], at + 1)
            at += 1
            self._take(line, at)
            if self._logical and not self._continued:
                at = self._bodies(at)
                self._logical = []
        if self._logical:  # the file ends in the middle of an instruction
            self.lines.append(_END)
            self._bodies(at)

    def _take(self, line: str, number: int) -> None:
        """One line outside of here-documents."""
        stripped = line.lstrip()
        if stripped.startswith("#") or (self._logical and not stripped):
            if not stripped:
                place = f"{self._source.name}:{number}"
                self.warnings.append(
                    f"{place}: a blank line inside an instruction is skipped; end the line before it "
                    f'without "{self._escape}", or remove the blank one'
                )
            self._continued = bool(self._logical)
            self.lines.append(_NOTHING)
            return
        match = self._continues(line)
        self._continued = match is not None
        if match is not None:
            self._logical.append(line[: match.start()])
            self.lines.append(line)
        else:
            if stripped:
                self._logical.append(line)
            self.lines.append(line + _END if stripped else "")

    def _bodies(self, at: int) -> int:
        found = announced("".join(self._logical))
        if not found:
            return at
        try:
            self.heredocs[at], after = read_bodies(found, self._source.lines, at)
        except DockerfileSyntaxError as error:
            self._errors.append(self._source.locate(error, self._source.range(at, at)))
            after = len(self._source.lines)
        self.lines.extend([_NOTHING] * (after - at))
        return after

    def _checked(self, line: str, number: int) -> str:
        if line.isascii() and "\0" not in line:
            return line
        bad = "\0" if "\0" in line else ""
        if not line.lstrip().startswith("#") and (bad or _SURROGATE.search(line)):
            what = "holds a NUL character" if bad else "is not UTF-8"
            hint = "remove it" if bad else "save the file as UTF-8"
            error = DockerfileSyntaxError(f"the line {what}", expected="UTF-8 text", hint=hint)
            self._errors.append(self._source.locate(error, self._source.range(number, number)))
        return _SURROGATE.sub("\ufffd", line.replace("\0", ""))


def _group(lines: List[str], escape: str) -> List[Tuple[int, int, str]]:
    """First line, last line (from 1) and logical line of every instruction."""
    text = "\n".join([f"# escape={escape}", *lines, ""])
    parser = DockerfileParser(fileobj=BytesIO(text.encode()), env_replace=False)
    continues = _continuation(escape)
    found = []
    for item in parser.structure:
        if item["instruction"] != "COMMENT":
            joined = "".join(
                continues.sub("", part).replace(_END, "") for part in item["content"].split("\n")
            )
            # 0-based, behind one line of ours: the numbers are those of the file, from 1.
            found.append((item["startline"], item["endline"], joined))
    return found


def _instruction(
    source: SourceFile,
    escape: str,
    start: int,
    end: int,
    line: str,
    heredocs: Dict[int, Tuple[Heredoc, ...]],
) -> RawInstruction:
    end = min(end, len(source.lines))
    match = _KEYWORD.match(line)
    if match is None:  # only blanks and escape characters
        raise DockerfileSyntaxError("the lines say nothing", hint="remove them")
    flags, rest = take_flags(_trimmed(match[2], escape))
    place = source.range(start, end)
    return RawInstruction(
        match[1].upper(), flags, rest.strip(), line.strip(), place, escape, heredocs.get(end, ())
    )


def _trimmed(text: str, escape: str) -> str:
    """`text` without white space around it, or an escape character at its end, which has nothing to escape."""
    text = text.strip()
    while text.endswith(escape) and not text.endswith(escape * 2):
        text = text[:-1].strip()
    return text
