"""WORKDIR, USER, STOPSIGNAL, MAINTAINER, VOLUME: one setting each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Tuple

from imagebuild.dockerfile.flags import FlagValues
from imagebuild.dockerfile.instructions.base import Doc, Expansion, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.words import json_list, split_blanks, to_json
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.ops import FileOp, MkdirAction
from imagebuild.llb.state import Change, StageState, absolute, evolve

_DIRECTORY_MODE = 0o755
_MAX_ID = 2**31 - 1
_NUMERIC = re.compile(r"[+-]?[0-9]+\Z")

_SIGNAL = re.compile(
    r"(?:SIG)?(?:ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS"
    r"|TERM|TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ"
    r"|RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Workdir(Instruction):
    KEYWORD = "WORKDIR"
    DOC = Doc(
        "a layer, where the directory is new",
        "the directory for what follows and for the container; made if it is missing",
        "WORKDIR /srv/app",
    )

    path: str

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        return {"path": needs_text(raw, "WORKDIR PATH")}

    def arguments(self) -> str:
        return self.path

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        given = expands(self.path)
        path = absolute(given, state.cwd)
        relative = not given.startswith("/") and not state.workdir_set
        warnings = (
            f'"{given}" is relative to whatever the base image has set; write an absolute path',
        )
        after = evolve(state.with_config(working_dir=path), workdir_set=True)
        op = FileOp((MkdirAction(path, _DIRECTORY_MODE, state.config.user or None),))
        return Change(
            after,
            f"WORKDIR {path}",
            None if path == "/" else op,
            warnings=(*(warnings if relative else ()), *expands.warnings),
        )


@dataclass(frozen=True)
class User(Instruction):
    KEYWORD = "USER"
    DOC = Doc(
        "config",
        "who runs what follows and the container; names are looked up in the image's own etc/passwd and "
        "etc/group",
        "USER 1000:1000",
    )

    user: str

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        return {"user": needs_text(raw, "USER NAME[:GROUP]")}

    def arguments(self) -> str:
        return self.user

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        user = expands(self.user)
        parts = user.split(":")
        if not user:
            note = "the user is empty after substitution: what follows runs as root"
            after = state.with_config(user="")
            return Change(after, "USER ", warnings=(note, *expands.warnings))
        if len(parts) > 2 or not parts[0] or any(char.isspace() or char == "\0" for char in user):
            raise DockerfileSyntaxError(
                f'"{user}" is not a user', expected="NAME, UID, NAME:GROUP or UID:GID"
            )
        for part in parts:
            if _NUMERIC.match(part) and (
                len(part) > 20 or not 0 <= int(part) <= _MAX_ID or part[0] in "+-"
            ):
                raise DockerfileSyntaxError(
                    f'"{user}" is not a user: the id {part[:24]} is out of bounds',
                    expected=f"an id from 0 to {_MAX_ID}",
                )
        return Change(state.with_config(user=user), f"USER {user}", warnings=expands.warnings)


@dataclass(frozen=True)
class StopSignal(Instruction):
    KEYWORD = "STOPSIGNAL"
    DOC = Doc(
        "config",
        "what stops the container: a name or a number",
        "STOPSIGNAL SIGTERM",
    )

    signal: str

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        return {"signal": needs_text(raw, "STOPSIGNAL SIGNAL")}

    def arguments(self) -> str:
        return self.signal

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        signal = expands(self.signal)
        number = int(signal) if signal.isascii() and signal.isdigit() and len(signal) < 4 else 0
        if not (_SIGNAL.match(signal) or 0 < number < 65):
            raise DockerfileSyntaxError(
                f'"{signal}" is not a signal',
                expected="a name such as SIGTERM, or a number from 1 to 64",
            )
        after = state.with_config(stop_signal=signal)
        return Change(after, f"STOPSIGNAL {signal}", warnings=expands.warnings)


@dataclass(frozen=True)
class Maintainer(Instruction):
    KEYWORD = "MAINTAINER"
    DOC = Doc(
        "config",
        "the author; deprecated, with a warning",
        "MAINTAINER The Team",
    )

    name: str

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        return {"name": needs_text(raw, "MAINTAINER NAME")}

    def arguments(self) -> str:
        return self.name

    def apply(self, state: StageState) -> Change:
        warning = "MAINTAINER is deprecated; write LABEL org.opencontainers.image.authors=..."
        return Change(
            evolve(state, author=self.name), f"MAINTAINER {self.name}", warnings=(warning,)
        )


@dataclass(frozen=True)
class Volume(Instruction):
    KEYWORD = "VOLUME"
    DOC = Doc(
        "config",
        "paths that get a volume; files below them stay in the image, as with BuildKit",
        "VOLUME /data",
    )

    paths: Tuple[str, ...]

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        rest = needs_text(raw, 'VOLUME PATH ... or VOLUME ["PATH", ...]')
        words = json_list(rest)
        paths = tuple(word.strip() for word in (split_blanks(rest) if words is None else words))
        if not paths or not all(paths):
            raise DockerfileSyntaxError("a volume has an empty path", expected="VOLUME PATH ...")
        return {"paths": paths}

    def arguments(self) -> str:
        return to_json(self.paths)

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        paths = tuple(_inside(expands(path)) for path in self.paths)
        if not all(paths):
            raise DockerfileSyntaxError(
                "a volume's path is empty after substitution", expected="VOLUME PATH ..."
            )
        volumes = tuple(sorted({*state.config.volumes, *paths}))
        after = state.with_config(volumes=volumes)
        return Change(after, f"VOLUME [{' '.join(paths)}]", warnings=expands.warnings)


def _inside(path: str) -> str:
    """A path that names something inside of the container: as it is, unless it would climb or is relative."""
    if path.startswith("/") and ".." not in path.split("/"):
        return path
    return absolute(path, "/") if path else ""
