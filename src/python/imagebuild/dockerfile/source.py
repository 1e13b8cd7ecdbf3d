"""The text of a Dockerfile, and how an error is placed in it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Iterable, Tuple, TypeVar

from imagebuild.errors import ImageBuildError, ManyErrors, SourceRange

_E = TypeVar("_E", bound=ImageBuildError)

_LINES_BEFORE, _LINES_MARKED, _WIDTH = 1, 5, 160
_LONGEST = 400


@dataclass(frozen=True)
class SourceFile:
    """A file's name, as the user knows it, and its lines without their ends."""

    name: str
    lines: Tuple[str, ...]

    def range(self, start: int, end: int) -> SourceRange:
        return SourceRange(self.name, start, end)

    def excerpt(self, source: SourceRange) -> Tuple[str, ...]:
        """Numbered lines around `source`, its own marked with ``>>``."""
        first = max(1, source.start_line - _LINES_BEFORE)
        last = min(source.end_line, source.start_line + _LINES_MARKED - 1, len(self.lines))
        width = max(4, len(str(last)))
        return tuple(
            f"{'>>' if number >= source.start_line else '  '} {number:>{width - 2}} | "
            f"{_shown(self.lines[number - 1])}".rstrip()
            for number in range(first, last + 1)
        )

    def locate(self, error: _E, source: SourceRange, keyword: str = "") -> _E:
        """`error` with its place, its excerpt and its instruction; one that has a place keeps it."""
        if error.origin is None:
            prefix = f"{keyword}: " if keyword else ""
            error.message = _cut(f"{prefix}{error.message}", _LONGEST)
        return error.at(source, self.excerpt(source))


def printable(text: str) -> str:
    """`text` with whatever a terminal would act on made visible."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    byte = ord(char) - 0xDC00  # of a byte that is not UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else char.encode("unicode_escape").decode()


def _shown(line: str) -> str:
    return printable(_cut(line, _WIDTH))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "..."


def raise_all(errors: Iterable[ImageBuildError]) -> None:
    """Raise the one error, or all of them together in the order of their lines; nothing for none."""
    found = tuple(sorted(errors, key=lambda error: error.origin.start_line if error.origin else 0))
    if len(found) == 1:
        raise found[0]
    if found:
        raise ManyErrors(found)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The choice that `word` is most likely a slip for, or ""."""
    close = difflib.get_close_matches(word[:100], list(choices), n=1, cutoff=0.6)
    return close[0] if close else ""
