"""ARG, ENV, LABEL: names with values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from imagebuild.dockerfile.flags import FlagValues
from imagebuild.dockerfile.instructions.base import Doc, Expansion, Instruction, needs_text
from imagebuild.dockerfile.lexer import RawInstruction
from imagebuild.dockerfile.words import halves, split_words
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.state import Change, StageState

Pairs = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class Arg(Instruction):
    """:param args: names with their default, unsubstituted, or None."""

    KEYWORD = "ARG"
    DOC = Doc(
        "nothing by itself",
        "a variable for what follows, with a default; before the first FROM for all FROM. Part of the key "
        "of each RUN behind it",
        "ARG VERSION=1.0 MODE",
    )

    args: Tuple[Tuple[str, Optional[str]], ...]

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        args: List[Tuple[str, Optional[str]]] = []
        for word in split_words(needs_text(raw, "ARG NAME or ARG NAME=DEFAULT"), raw.escape):
            name, equals, value = word.partition("=")
            if not name or any(char in name for char in "\"'$" + raw.escape):
                raise DockerfileSyntaxError(
                    f'"{word}" does not name an argument',
                    expected="NAME or NAME=DEFAULT, without blanks around the equals sign",
                )
            args.append((name, value if equals else None))
        return {"args": tuple(args)}

    def arguments(self) -> str:
        return " ".join(name if value is None else f"{name}={value}" for name, value in self.args)

    def apply(self, state: StageState) -> Change:
        said: List[str] = []
        warnings: List[str] = []
        for name, default in self.args:
            value = state.build.build_args.get(name)
            if value is None and default is not None:
                expands = Expansion(state)
                value = expands(default)
                warnings.extend(expands.warnings)
            elif value is None:
                value = state.build.global_args.get(name)
            state = state.with_arg(name, value)
            said.append(name if value is None else f"{name}={value}")
        return Change(state, f"ARG {' '.join(said)}", warnings=tuple(warnings))


@dataclass(frozen=True)
class _Assignments(Instruction):
    """:param legacy: ``NAME value`` without an equals sign."""

    pairs: Pairs
    legacy: bool = False

    @classmethod
    def fields(cls, raw: RawInstruction, _flags: FlagValues) -> Any:
        rest = needs_text(raw, f"{cls.KEYWORD} NAME=VALUE ...")
        words = split_words(rest, raw.escape)
        if not words or "=" not in words[0]:
            return _legacy(cls.KEYWORD, rest)
        pairs: List[Tuple[str, str]] = []
        for word in words:
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise DockerfileSyntaxError(
                    f'"{word}" is not an assignment' if not equals else f'"{word}" names nothing',
                    expected="NAME=VALUE",
                    hint="quote a value that holds blanks"
                    if not equals
                    else "write a name before the equals sign",
                )
            pairs.append((name, value))
        return {"pairs": tuple(pairs), "legacy": False}

    def arguments(self) -> str:
        between = " " if self.legacy else "="
        return " ".join(f"{name}{between}{value}" for name, value in self.pairs)

    def expanded(self, expands: Expansion) -> Pairs:
        """:raises DockerfileSyntaxError: for a name that substitution leaves empty."""
        pairs = tuple((expands(name), expands(value)) for name, value in self.pairs)
        for (name, _), (before, _) in zip(pairs, self.pairs):
            if not name or "=" in name:
                raise DockerfileSyntaxError(
                    f'the name "{before}" is "{name}" after substitution',
                    expected='a name without "="',
                )
        return pairs

    def warnings(self, expands: Expansion) -> Tuple[str, ...]:
        name, value = self.pairs[0]
        legacy = (
            f'"{self.KEYWORD} {name} {value}" is the old form; write {self.KEYWORD} {name}=VALUE',
        )
        return (*(legacy if self.legacy else ()), *expands.warnings)


def _legacy(keyword: str, rest: str) -> Dict[str, Any]:
    name, value = halves(rest)
    if value is None:
        raise DockerfileSyntaxError(
            f'"{name}" has no value',
            expected=f"{keyword} NAME=VALUE",
            hint=f"write {name}= for an empty value",
        )
    return {"pairs": ((name, value),), "legacy": True}


@dataclass(frozen=True)
class Env(_Assignments):
    KEYWORD = "ENV"
    DOC = Doc(
        "config",
        "variables for what follows and for the container; `ENV NAME value` is accepted, with a warning",
        "ENV HOME=/srv LANG=C.UTF-8",
    )

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        pairs = self.expanded(expands)
        for name, value in pairs:
            state = state.with_env(name, value)
        return Change(state, f"ENV {_said(pairs)}", warnings=self.warnings(expands))


@dataclass(frozen=True)
class Label(_Assignments):
    KEYWORD = "LABEL"
    DOC = Doc(
        "config",
        "names with values; rebuilds nothing",
        "LABEL org.opencontainers.image.title=app",
    )

    def apply(self, state: StageState) -> Change:
        expands = Expansion(state)
        pairs = self.expanded(expands)
        labels = tuple(sorted({**dict(state.config.labels), **dict(pairs)}.items()))
        return Change(
            state.with_config(labels=labels),
            f"LABEL {_said(pairs)}",
            warnings=self.warnings(expands),
        )


def _said(pairs: Pairs) -> str:
    return " ".join(f"{name}={value}" for name, value in pairs)
