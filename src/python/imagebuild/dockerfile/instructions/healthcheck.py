"""HEALTHCHECK: how a container is asked whether it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from imagebuild.dockerfile.flags import Flag, FlagTexts, FlagValues
from imagebuild.dockerfile.instructions.base import Doc, Instruction, needs_text
from imagebuild.dockerfile.instructions.commands import CommandLine
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.words import format_duration, halves, parse_duration, to_json
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.state import Change, StageState
from imagebuild.oci.config import Healthcheck as HealthcheckConfig

_TIMES = ("interval", "timeout", "start-period", "start-interval")
_SHORTEST = 10**6  # 1ms, as Docker has it
_MAX_RETRIES = 2**31 - 1
_EXPECTED = "HEALTHCHECK [--interval=30s ...] CMD COMMAND, or HEALTHCHECK NONE"


@dataclass(frozen=True)
class Healthcheck(Instruction):
    """:param check: as the image's config has it; times in nanoseconds, 0 for the default."""

    KEYWORD = "HEALTHCHECK"
    DOC = Doc(
        "config",
        "how the container is asked whether it works, or `NONE` against the one of the base",
        "HEALTHCHECK --interval=30s CMD wget -q localhost",
    )
    FLAGS = (
        Flag(
            "interval",
            "between two checks, 30s by default",
            "HEALTHCHECK --interval=1m CMD wget -q localhost",
        ),
        Flag(
            "timeout",
            "after which a check has failed, 30s by default",
            "HEALTHCHECK --timeout=3s CMD wget -q localhost",
        ),
        Flag(
            "start-period",
            "in which failures do not count, 0s by default",
            "HEALTHCHECK --start-period=1m30s CMD wget -q localhost",
        ),
        Flag(
            "start-interval",
            "between two checks of the start period, 5s by default",
            "HEALTHCHECK --start-period=1m --start-interval=2s CMD wget -q localhost",
        ),
        Flag(
            "retries",
            "failures in a row until the container counts as unhealthy, 3 by default",
            "HEALTHCHECK --retries=5 CMD wget -q localhost",
        ),
    )

    check: HealthcheckConfig

    @classmethod
    def fields(cls, raw: RawInstruction, flags: FlagValues) -> Any:
        kind, rest = halves(needs_text(raw, _EXPECTED))
        if kind.upper() == "NONE":
            if rest or raw.flags:
                raise DockerfileSyntaxError(
                    "NONE takes no flags and no command", expected=_EXPECTED
                )
            return {"check": HealthcheckConfig(("NONE",))}
        text = (rest or "").strip()
        command = CommandLine.parse(text)
        if kind.upper() != "CMD" or not text or not command.words:
            raise DockerfileSyntaxError(f'"{raw.rest}" is not a health check', expected=_EXPECTED)
        times = {name.replace("-", "_"): _time(name, flags.text(name) or "") for name in _TIMES}
        test = ("CMD-SHELL" if command.in_shell else "CMD", *command.words)
        return {
            "check": HealthcheckConfig(test, retries=_retries(flags.text("retries") or ""), **times)
        }

    def arguments(self) -> str:
        check = self.check
        if check.test == ("NONE",):
            return "NONE"
        in_shell = check.test[0] == "CMD-SHELL"
        return f"CMD {check.test[1] if in_shell else to_json(check.test[1:])}"

    def flag_texts(self) -> FlagTexts:
        times = ((name, getattr(self.check, name.replace("-", "_"))) for name in _TIMES)
        retries = str(self.check.retries) if self.check.retries else None
        return (
            *((name, f"{value}ns" if value else None) for name, value in times),
            ("retries", retries),
        )

    def apply(self, state: StageState) -> Change:
        return Change(state.with_config(healthcheck=self.check), f"HEALTHCHECK {_said(self.check)}")


def _time(name: str, text: str) -> int:
    value = parse_duration(text) if text else 0
    if value is None or value < 0 or 0 < value < _SHORTEST:
        raise DockerfileSyntaxError(
            f'--{name} has the value "{text}"',
            expected="a time of at least 1ms such as 30s, 1m30s, 500ms, or 0",
        )
    return value


def _retries(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= _MAX_RETRIES):
        raise DockerfileSyntaxError(
            f'--retries has the value "{text}"', expected="a number such as 3"
        )
    return int(text)


def _said(check: HealthcheckConfig) -> str:
    """As Go prints the structure."""
    members: Tuple[Tuple[str, int], ...] = (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    )
    times = " ".join(f"{name}:{format_duration(value)}" for name, value in members)
    return f"{{Test:[{' '.join(check.test)}] {times} Retries:{check.retries}}}"
