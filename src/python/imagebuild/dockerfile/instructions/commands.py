"""Command lines, as a list or for a shell, and CMD, ENTRYPOINT, SHELL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from imagebuild.dockerfile.flags import FlagValues
from imagebuild.dockerfile.instructions.base import Doc, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.words import go_quoted, is_almost_json, json_list, to_json
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.state import Change, StageState, evolve


@dataclass(frozen=True)
class CommandLine:
    """:param words: an argv; in shell form the one text that the shell gets."""

    words: Tuple[str, ...]
    in_shell: bool

    @staticmethod
    def parse(text: str) -> CommandLine:
        words = json_list(text)
        return CommandLine((text,), True) if words is None else CommandLine(words, False)

    def __str__(self) -> str:
        return self.words[0] if self.in_shell else to_json(self.words)

    def argv(self, state: StageState) -> Tuple[str, ...]:
        return (*state.shell, *self.words) if self.in_shell else self.words

    @property
    def warnings(self) -> Tuple[str, ...]:
        if self.in_shell and is_almost_json(self.words[0]):
            return ("this looks like a JSON list and is none, so the shell gets it as it stands",)
        return ()


def command_of(raw: RawInstruction, keyword: str) -> CommandLine:
    """:raises DockerfileSyntaxError: where there is none."""
    what = f'{keyword} COMMAND or {keyword} ["program", "argument", ...]'
    return CommandLine.parse(needs_text(raw, what))


@dataclass(frozen=True)
class _Command(Instruction):
    command: CommandLine

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        return {"command": command_of(raw, cls.KEYWORD)}

    def arguments(self) -> str:
        return str(self.command)


@dataclass(frozen=True)
class Cmd(_Command):
    KEYWORD = "CMD"
    DOC = Doc(
        "config",
        "what the container runs, or the arguments of its ENTRYPOINT: a JSON list, or a command for the shell",
        'CMD ["serve", "--port=80"]',
    )

    def apply(self, state: StageState) -> Change:
        argv = self.command.argv(state)
        after = evolve(state.with_config(cmd=argv), cmd_set=True)
        return Change(after, f"CMD {go_quoted(argv)}", warnings=self.command.warnings)


@dataclass(frozen=True)
class Entrypoint(_Command):
    KEYWORD = "ENTRYPOINT"
    DOC = Doc(
        "config",
        "what the container always runs: a JSON list, or a command for the shell; drops an inherited CMD",
        'ENTRYPOINT ["/srv/app"]',
    )

    def apply(self, state: StageState) -> Change:
        argv = self.command.argv(state)
        after = state.with_config(entrypoint=argv or None)
        if not state.cmd_set:  # an inherited CMD was meant for the inherited entrypoint
            after = after.with_config(cmd=None)
        return Change(after, f"ENTRYPOINT {go_quoted(argv)}", warnings=self.command.warnings)


@dataclass(frozen=True)
class Shell(Instruction):
    KEYWORD = "SHELL"
    DOC = Doc(
        "config",
        "what runs the commands behind it that are no JSON list",
        'SHELL ["/bin/bash", "-c"]',
    )

    words: Tuple[str, ...]

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        words = json_list(raw.rest)
        if not words:
            raise DockerfileSyntaxError(
                f'"{raw.rest}" is not a JSON list with a program',
                expected='SHELL ["program", "argument", ...], for example SHELL ["/bin/bash", "-c"]',
            )
        return {"words": words}

    def arguments(self) -> str:
        return to_json(self.words)

    def apply(self, state: StageState) -> Change:
        return Change(state.with_config(shell=self.words), f"SHELL [{' '.join(self.words)}]")
