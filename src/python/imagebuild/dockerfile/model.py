"""A Dockerfile that has been parsed: stages of instructions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from imagebuild.dockerfile.directives import DEFAULT_ESCAPE
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.from_ import From
from imagebuild.dockerfile.instructions.variables import Arg
from imagebuild.dockerfile.source import SourceFile


@dataclass(frozen=True)
class Stage:
    """:param index: from 0; :param base: its FROM."""

    index: int
    base: From
    instructions: Tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """In lower case, "" for none."""
        return self.base.name

    @property
    def label(self) -> str:
        """What people call it: its name, or else its number."""
        return self.base.name or str(self.index)


@dataclass(frozen=True)
class Dockerfile:
    """Two are equal when they mean the same; `str` gives a text that parses to an equal one.

    :param file: its path as the user knows it.
    :param global_args: before the first FROM.
    :param source: the text, for excerpts.
    """

    file: str
    stages: Tuple[Stage, ...]
    global_args: Tuple[Arg, ...] = ()
    escape: str = DEFAULT_ESCAPE
    warnings: Tuple[str, ...] = field(default=(), compare=False)
    source: SourceFile = field(default=SourceFile("", ()), compare=False, repr=False)

    def __str__(self) -> str:
        lines = [f"# escape={self.escape}"] if self.escape != DEFAULT_ESCAPE else []
        lines.extend(str(arg) for arg in self.global_args)
        for stage in self.stages:
            lines.append(str(stage.base))
            lines.extend(str(instruction) for instruction in stage.instructions)
        return "\n".join(lines) + "\n"
