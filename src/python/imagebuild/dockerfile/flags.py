"""Flags of instructions: ``--name=value`` words between the keyword and the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from imagebuild.dockerfile.source import did_you_mean
from imagebuild.errors import DockerfileSyntaxError, UnsupportedFlagError

_FLAG = re.compile(
    r"""\s*(?=--)((?:\\[\s\S]?|'(?:\\[\s\S]?|[^'\\])*'?|"(?:\\[\s\S]?|[^"\\])*"?|[^\s\\'"])+)"""
)
_PIECE = re.compile(r"""\\([\s\S]?)|'((?:\\[\s\S]?|[^'\\])*)'?|"((?:\\[\s\S]?|[^"\\])*)"?""")
_ESCAPED = re.compile(r"\\([\s\S]?)")
_SPECIAL = re.compile(r"""([\s\\'"])""")


FlagTexts = Tuple[Tuple[str, Optional[str]], ...]


@dataclass(frozen=True)
class Flag:
    """A flag that an instruction knows.

    :param help: what it does, for docs/reference.md; :param example: an instruction that uses it and is accepted.
    :param kind: "text", "bool", or "list" (may be given several times).
    """

    name: str
    help: str
    example: str
    kind: str = "text"


@dataclass(frozen=True)
class FlagValues:
    """What was given: texts by name, every value of a list."""

    values: Tuple[Tuple[str, str], ...] = ()

    def text(self, name: str) -> Optional[str]:
        """The value, or None where the flag was not given."""
        return next((value for key, value in self.values if key == name), None)

    def all(self, name: str) -> Tuple[str, ...]:
        """Every value of a list, in the order of the text."""
        return tuple(value for key, value in self.values if key == name)

    def choice(self, name: str) -> Optional[bool]:
        """Of a "bool", None where it was not given."""
        text = self.text(name)
        return None if text is None else text == "true"

    def is_on(self, name: str) -> bool:
        return self.choice(name) is True


def take_flags(text: str) -> Tuple[Tuple[str, ...], str]:
    """The leading ``--...`` words, unquoted, and the text behind them; a word that is only ``--`` ends them."""
    flags: List[str] = []
    at = 0
    while True:
        match = _FLAG.match(text, at)
        if match is None:
            return tuple(flags), text[at:]
        at = match.end()
        word = _PIECE.sub(_unquoted, match[1])
        if word == "--":
            return tuple(flags), text[at:]
        flags.append(word)


def _unquoted(match: re.Match[str]) -> str:
    quoted = match[2] if match[2] is not None else match[3]
    return match[1] if quoted is None else _ESCAPED.sub(r"\1", quoted)


def parse_flags(keyword: str, given: Sequence[str], known: Sequence[Flag]) -> FlagValues:
    """Check flags against what an instruction knows.

    :raises UnsupportedFlagError: for one that it does not know.
    :raises DockerfileSyntaxError: for a missing or wrong value, or a flag given twice.
    """
    if not given:
        return FlagValues()
    table = {flag.name: flag for flag in known}
    values: Dict[str, str] = {}
    listed: List[Tuple[str, str]] = []
    for word in given:
        name, equals, value = word[2:].partition("=")
        flag = table.get(name)
        if flag is None:
            raise _unknown(keyword, name, table)
        value = _checked(flag, bool(equals), value)
        if flag.kind == "list":
            listed.append((name, value))
        elif name in values:
            raise DockerfileSyntaxError(f"--{name} is given twice", hint="keep one of them")
        values.setdefault(name, value)
    return FlagValues(
        (*((key, value) for key, value in values.items() if table[key].kind != "list"), *listed)
    )


def _checked(flag: Flag, has_value: bool, value: str) -> str:
    if flag.kind != "bool":
        if not has_value:
            raise DockerfileSyntaxError(
                f"--{flag.name} has no value",
                expected=f"--{flag.name}=VALUE, with an equals sign and no blanks around it",
            )
        return value
    if not has_value:
        return "true"
    if value.lower() not in ("true", "false"):
        raise DockerfileSyntaxError(
            f'--{flag.name} has the value "{value}"', expected=f"--{flag.name}, or true or false"
        )
    return value.lower()


def _unknown(keyword: str, name: str, table: Dict[str, Flag]) -> UnsupportedFlagError:
    close = did_you_mean(name, table)
    known = ", ".join(f"--{other}" for other in table)
    return UnsupportedFlagError(
        f'"--{name}" is not a flag of {keyword}',
        expected=known or f"{keyword} takes no flags",
        hint=f"did you mean --{close}?" if close else "remove it",
    )


def format_flags(values: FlagTexts) -> str:
    """Flags as text that `take_flags` reads back; those that are None are left out."""
    return "".join(
        f" --{name}={_SPECIAL.sub(_BACKSLASHED, value)}"
        for name, value in values
        if value is not None
    )


_BACKSLASHED = r"\\\1"
