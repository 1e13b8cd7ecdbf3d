"""ONBUILD: refused by name for now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imagebuild.dockerfile.flags import FlagValues
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.errors import NotSupportedYetError


@dataclass(frozen=True)
class Onbuild(Instruction):
    KEYWORD = "ONBUILD"

    @classmethod
    def fields(cls, _raw: RawInstruction, _flags: FlagValues) -> Any:
        raise NotSupportedYetError(
            "triggers are not supported yet",
            hint="write the instruction into the Dockerfiles that build on this image",
        )
