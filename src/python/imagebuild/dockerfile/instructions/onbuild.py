"""ONBUILD: an instruction for whoever builds on this image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from imagebuild.dockerfile.flags import FlagValues
from imagebuild.dockerfile.heredoc import Heredoc, as_unicode
from imagebuild.dockerfile.instructions.base import Doc, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.llb.state import Change, StageState

NO_TRIGGERS = ("FROM", "MAINTAINER", "ONBUILD")


@dataclass(frozen=True)
class Onbuild(Instruction):
    """:param line: the instruction for later; :param files: its here-documents.

    What it says is checked by `dockerfile.parse`, which knows all instructions.
    """

    KEYWORD = "ONBUILD"
    DOC = Doc(
        "config",
        "an instruction that is run first thing where this image or stage is built on, once; any but FROM, "
        "MAINTAINER and ONBUILD",
        "ONBUILD COPY . /srv",
    )

    line: str
    files: Tuple[Heredoc, ...] = ()

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        return {"line": needs_text(raw, "ONBUILD INSTRUCTION"), "files": raw.heredocs}

    def arguments(self) -> str:
        return self.line

    def documents(self) -> Tuple[Heredoc, ...]:
        return self.files

    @property
    def trigger(self) -> str:
        """What the image's config holds."""
        return "\n".join((self.line, *(document.lines for document in self.files)))

    def apply(self, state: StageState) -> Change:
        triggers = (*state.config.on_build, as_unicode(self.trigger))
        return Change(state.with_config(on_build=triggers), None)
