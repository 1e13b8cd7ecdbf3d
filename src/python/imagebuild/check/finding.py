"""What a check finds, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Tuple, Type

from imagebuild.check.subject import Subject
from imagebuild.dockerfile.source import printable
from imagebuild.errors import ImageBuildError, SourceRange

ERROR, WARNING = "error", "warning"

_LONGEST = 400


@dataclass(frozen=True)
class Found:
    """What a rule reports: a warning at `source`; `hint` is the user's next move."""

    source: SourceRange
    message: str
    hint: str = ""


Finder = Callable[[Subject], Iterable[Found]]


def from_errors_only(_subject: Subject) -> Iterable[Found]:
    """The finder of a rule whose findings are what the build itself refuses."""
    return ()


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    :param experimental: reported only where it is asked for.
    :param errors: what the build raises for the same reason: errors of this rule.
    """

    name: str
    find: Finder
    experimental: bool = False
    errors: Tuple[Type[ImageBuildError], ...] = ()


@dataclass(frozen=True)
class Finding:
    """:param severity: ERROR for what would fail the build, else WARNING.
    :param platforms: those that it is about, "" for all that are built for.
    """

    rule: str
    severity: str
    source: SourceRange
    message: str
    expected: str = ""
    hint: str = ""
    platforms: str = ""

    def __str__(self) -> str:
        lines = [f"{self.source}: {self.rule}: {self.severity}: {self.message}"]
        if self.expected:
            lines.append(f"    expected: {self.expected}")
        if self.hint:
            lines.append(f"    fix: {self.hint}")
        if self.platforms:
            lines.append(f"    platform: {self.platforms}")
        return "\n".join(shown(line) for line in lines)


def shown(line: str) -> str:
    """A Dockerfile may hold what a terminal acts on."""
    text = printable(line.replace("\n", " "))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
