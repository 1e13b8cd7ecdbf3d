"""The variables that each instruction sees, as far as they are known.

A stage that starts from an image of which nothing is known is open: the image may define any variable. So a name that the
Dockerfile does not define is not undefined there, and what is made of it has no known value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, is_dataclass
from typing import (
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from imagebuild.dockerfile.expand import expand
from imagebuild.dockerfile.heredoc import Heredoc
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.from_ import SCRATCH
from imagebuild.dockerfile.instructions.variables import Arg, Env
from imagebuild.dockerfile.model import Dockerfile, Stage
from imagebuild.dockerfile.platforms import platform_args
from imagebuild.errors import ExpansionError
from imagebuild.llb.state import DEFAULT_PATH, implicit_path
from imagebuild.oci.config import Config
from imagebuild.oci.descriptor import Platform

_FOR_PEOPLE = ("source", "text")
_LEFT_TO_OTHERS = frozenset({"CMD", "ENTRYPOINT", "SHELL", "HEALTHCHECK", "MAINTAINER", "ONBUILD"})
_NAMES = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_PLAIN = re.compile(r"\\[\s\S]|\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


@dataclass(frozen=True)
class Scope:
    """:param env: values by name; "" for those of `vague`, whose values are not known.
    :param declared: ARGs without a value.
    :param is_open: the stage starts from an image that is not known and may define more.
    """

    env: Mapping[str, str]
    declared: FrozenSet[str] = frozenset()
    vague: FrozenSet[str] = frozenset()
    is_open: bool = False

    def knows(self, words: Iterable[str]) -> bool:
        """Whether the values of all variables in `words` are known."""
        names = {name for word in words for name in _NAMES.findall(word)}
        return not names & self.vague and not (self.is_open and names - self.env.keys())

    def undefined(self, words: Iterable[str], escape: str) -> FrozenSet[str]:
        """The names that are used plainly, with no word for when they are not set, and that this Dockerfile does not
        define."""
        unset: Set[str] = set()
        for word in words:
            value(word, self.env, escape, unset)
        return frozenset(unset - self.declared)

    def undefined_in(self, bodies: Iterable[str]) -> FrozenSet[str]:
        """The same of here-documents: quotes mean nothing in them."""
        pairs = (pair for body in bodies for pair in _PLAIN.findall(body))
        names = {name for pair in pairs for name in pair if name}
        return frozenset(names - self.env.keys() - self.declared)

    def with_value(self, name: str, text: str, known: bool) -> Scope:
        vague = self.vague - {name} if known else self.vague | {name}
        return Scope({**self.env, name: text if known else ""}, self.declared, vague, self.is_open)

    def with_declared(self, name: str) -> Scope:
        return Scope(self.env, self.declared | {name}, self.vague, self.is_open)


@dataclass(frozen=True)
class View:
    """One instruction and the variables before it.

    :param undefined: names that it uses and that neither this Dockerfile nor a known base image defines.
    :param known: whether the values of all variables that it uses are.
    :param broken: its substitutions fail whatever the variables hold.
    :param borrowed: it is a trigger (ONBUILD) of an image.
    """

    stage: Stage
    instruction: Instruction
    scope: Scope
    undefined: FrozenSet[str]
    known: bool
    broken: bool
    borrowed: bool


class _Anything(Mapping[str, str]):
    """Every name has a value."""

    def __getitem__(self, name: str) -> str:
        return "1"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_ANYTHING = _Anything()


def value(
    word: str, env: Mapping[str, str], escape: str, unset: Optional[Set[str]] = None
) -> Optional[str]:
    """`word` substituted, or None where that fails: the build says why."""
    try:
        return expand(word, env, escape, unset=unset)
    except ExpansionError:
        return None


def global_scope(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    platform: Platform,
    target: str,
    build_platform: Platform,
) -> Scope:
    """What a FROM sees: the arguments of the platform, and the ARGs before the first stage."""
    last = dockerfile.stages[-1].name if dockerfile.stages else ""
    automatic = platform_args(platform, target or last, build_platform)
    scope = Scope({name: build_args.get(name, text) for name, text in automatic.items()})
    for arg in dockerfile.global_args:
        scope = _with_args(scope, arg, build_args, {}, dockerfile.escape)
    return scope


def parents(dockerfile: Dockerfile, scope: Scope) -> Tuple[Optional[int], ...]:
    """For each stage, the earlier one that it starts from."""
    numbers: Dict[str, int] = {}
    found: List[Optional[int]] = []
    for stage in dockerfile.stages:
        image = value(stage.base.image, scope.env, dockerfile.escape) or ""
        found.append(numbers.get(image.lower()))
        if stage.name:
            numbers.setdefault(stage.name, stage.index)
    return tuple(found)


def views(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    outer: Scope,
    triggers: Sequence[Sequence[Instruction]],
    configs: Mapping[int, Config],
) -> Iterator[View]:
    """Every instruction of every stage, in the order of the file.

    :param outer: the `global_scope`.
    :param triggers: for each stage, the instructions that ONBUILD has left to it.
    :param configs: those of images that are known, by the stages that start from them.
    """
    ends: List[Scope] = []
    for stage, parent in zip(dockerfile.stages, parents(dockerfile, outer)):
        config = configs.get(stage.index)
        if config is not None:
            scope = Scope(dict(implicit_path(config).env))
        elif parent is not None:
            scope = ends[parent]
        else:
            scope = _first(stage, outer, dockerfile.escape)
        left = triggers[stage.index]
        for number, instruction in enumerate((*left, *stage.instructions)):
            words = tuple(_words(instruction, build_args))
            bodies = tuple(_bodies(instruction))
            yield View(
                stage,
                instruction,
                scope,
                scope.undefined(words, dockerfile.escape) | scope.undefined_in(bodies),
                scope.knows((*words, *bodies)),
                any(value(word, _ANYTHING, dockerfile.escape) is None for word in words),
                config is not None and number < len(left),
            )
            scope = _after(instruction, scope, build_args, outer.env, dockerfile.escape)
        ends.append(scope)


def _first(stage: Stage, outer: Scope, escape: str) -> Scope:
    if value(stage.base.image, outer.env, escape) == SCRATCH:
        return Scope({"PATH": DEFAULT_PATH})
    return Scope({}, is_open=True)


def _after(
    instruction: Instruction,
    scope: Scope,
    build_args: Mapping[str, str],
    global_args: Mapping[str, str],
    escape: str,
) -> Scope:
    if isinstance(instruction, Arg):
        return _with_args(scope, instruction, build_args, global_args, escape)
    if isinstance(instruction, Env):
        before = scope
        for name, text in instruction.pairs:
            new = value(text, before.env, escape)
            known = before.knows((name, text)) and new is not None
            scope = scope.with_value(value(name, before.env, escape) or name, new or "", known)
    return scope


def _with_args(
    scope: Scope,
    arg: Arg,
    build_args: Mapping[str, str],
    global_args: Mapping[str, str],
    escape: str,
) -> Scope:
    for name, default in arg.args:
        given = build_args.get(name)
        if given is None and default is None:
            given = global_args.get(name)
        if given is not None:
            scope = scope.with_value(name, given, True)
        elif default is not None:
            new = value(default, scope.env, escape)
            scope = scope.with_value(name, new or "", scope.knows((default,)) and new is not None)
        else:
            scope = scope.with_declared(name)
    return scope


def _words(instruction: Instruction, build_args: Mapping[str, str]) -> Iterator[str]:
    """The texts of an instruction in which variables are replaced."""
    if isinstance(instruction, Arg):
        # A name that an earlier word of the same ARG defines is defined.
        own = {name for name, _ in instruction.args}
        for name, default in instruction.args:
            if default is None or name in build_args:
                continue
            if not own & set(_NAMES.findall(default)):
                yield default
    elif instruction.KEYWORD not in _LEFT_TO_OTHERS:
        for field in fields(instruction):
            shells = instruction.KEYWORD == "RUN" and field.name == "command"
            if field.name not in _FOR_PEOPLE and not shells:
                yield from _texts(getattr(instruction, field.name))


def _texts(found: object) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, tuple):
        for item in found:
            yield from _texts(item)
    elif is_dataclass(found) and not isinstance(found, Heredoc):
        for field in fields(found):
            yield from _texts(getattr(found, field.name))


def _bodies(instruction: Instruction) -> Iterator[str]:
    """The here-documents in which variables are replaced: the shell reads those of a RUN, a later build those of ONBUILD."""
    if instruction.KEYWORD != "RUN" and instruction.KEYWORD not in _LEFT_TO_OTHERS:
        for document in instruction.documents():
            if document.expand:
                yield document.content
