"""FROM: a new stage on an image, an earlier stage, or nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from imagebuild.dockerfile.flags import Flag, FlagTexts, FlagValues
from imagebuild.dockerfile.instructions.base import Doc, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.words import split_blanks
from imagebuild.errors import DockerfileSyntaxError, ReservedStageNameError

SCRATCH = "scratch"
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*\Z")


@dataclass(frozen=True)
class From(Instruction):
    """:param image: with variables still in it; :param name: of the stage, in lower case, "" for none."""

    KEYWORD = "FROM"
    DOC = Doc(
        "nothing by itself",
        "a new stage on an image, an earlier stage, or `scratch`; its name may be anything but `scratch`",
        "FROM debian:12 AS build",
    )
    FLAGS = (
        Flag(
            "platform",
            "the platform of the image; `$BUILDPLATFORM` is that of the machine, `$TARGETPLATFORM` what is built for",
            "FROM --platform=$TARGETPLATFORM debian:12",
        ),
    )

    image: str
    name: str = ""
    platform: str = ""

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        words = split_blanks(needs_text(raw, "FROM IMAGE [AS NAME]"))
        named = len(words) == 3 and words[1].lower() == "as"
        if not named and len(words) != 1:
            raise DockerfileSyntaxError(
                f'"{raw.rest}" is not an image, or an image and a stage name',
                expected="FROM IMAGE or FROM IMAGE AS NAME",
            )
        name = words[2].lower() if named else ""
        if named and (not _STAGE_NAME.match(name) or name == SCRATCH):
            kind = ReservedStageNameError if name == SCRATCH else DockerfileSyntaxError
            raise kind(
                f'"{words[2]}" cannot be the name of a stage',
                expected=f'a letter, then letters, digits, "-", "_" and ".", and not "{SCRATCH}"',
            )
        return {"image": words[0], "name": name, "platform": flags.text("platform") or ""}

    def arguments(self) -> str:
        return self.image + (f" AS {self.name}" if self.name else "")

    def flag_texts(self) -> FlagTexts:
        return (("platform", self.platform or None),)
