"""Rules about ARG and ENV: what is used, what is defined, what is secret."""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Set, Tuple

from imagebuild.check.finding import Found
from imagebuild.check.likeness import near
from imagebuild.check.subject import Subject
from imagebuild.check.variables import View
from imagebuild.dockerfile.instructions.variables import Arg, Env, Label
from imagebuild.dockerfile.platforms import platform_args
from imagebuild.errors import SourceRange

_PROXIES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})
_READ_BY_BUILDERS = re.compile(r"BUILDKIT_|SOURCE_DATE_EPOCH\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAY_READ_ENVIRONMENT = ("RUN", "ONBUILD")

# A name with one of these words at its start, at its end or between underscores is a secret's,
# unless it has one of the others. As BuildKit has both lists.
_SECRET = "apikey auth credential credentials key password pword passwd secret token"
_HARMLESS = "public file version"


def _word_of(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:_|^)(?:{'|'.join(words.split())})(?:_|$)", re.IGNORECASE)


_SECRET_NAME, _HARMLESS_NAME = _word_of(_SECRET), _word_of(_HARMLESS)


def undefined_var(subject: Subject) -> Iterable[Found]:
    """Where a base image that is not known may define a name, only those that it will not: arguments of the platform, and
    slips."""
    automatic = platform_args(subject.platform, "").keys()
    before_from = {name for arg in subject.dockerfile.global_args for name, _ in arg.args}
    for view in subject.views:
        for name in sorted(view.undefined):
            close = near(name, view.scope.env.keys() | view.scope.declared)
            if view.scope.is_open and not close and name not in automatic:
                continue
            said = f" (did you mean ${close}?)" if close else ""
            hint = f"add `ARG {name}` to this stage, above this line"
            if close and name not in automatic | before_from:
                hint = f"write ${close}"
            elif name not in automatic | before_from:
                hint = f"give it a value with ARG or ENV in this stage, or write ${{{name}:-}}"
            message = f"Usage of undefined variable '${name}'{said}"
            yield Found(view.instruction.source, message, hint)


def unused_arg(subject: Subject) -> Iterable[Found]:
    """An ARG that nothing below it names, and no RUN below it could read from its environment."""
    yield from _unused_global_args(subject)
    mentions = _Mentions(subject)
    for stage in subject.stages:
        for arg in stage.instructions:
            if not isinstance(arg, Arg) or mentions.may_be_read(stage.index, arg):
                continue
            for name, _ in arg.args:
                used = name in subject.given.used_args or _READ_BY_BUILDERS.match(name)
                if not used and not mentions.has(stage.index, arg, name):
                    yield Found(
                        arg.source,
                        f"ARG {name} is never used: nothing below it in its stage names it, and no RUN follows",
                        "remove it, or move it above what needs it",
                    )


def _unused_global_args(subject: Subject) -> Iterable[Found]:
    dockerfile, outside = subject.dockerfile, subject.given.used_args
    instructions = [item for stage in dockerfile.stages for item in stage.instructions]
    instructions.extend(view.instruction for view in subject.borrowed)
    again = {name for item in instructions if isinstance(item, Arg) for name, _ in item.args}
    for number, arg in enumerate(dockerfile.global_args):
        texts = [other.text for other in dockerfile.global_args[number + 1 :]]
        texts.extend(stage.base.text for stage in dockerfile.stages)
        for name, _ in arg.args:
            if name in again | outside or _READ_BY_BUILDERS.match(name):
                continue
            if _count(name, arg.text) < 2 and not any(_count(name, text) for text in texts):
                yield Found(
                    arg.source,
                    f"ARG {name} is never used: no FROM names it, and no stage repeats it",
                    f"remove it; if a stage shall see it, repeat `ARG {name}` in the stage",
                )


class _Mentions:
    """Where names are named, here-documents included and comments left out, and where each stage runs something last."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._texts = dict(_texts(subject))
        self._places: Dict[str, List[Tuple[int, int]]] = {}  # by name: stages and lines
        self._runs: Dict[int, int] = {stage.index: 0 for stage in subject.stages}
        for view in subject.views:
            own, line = view.stage.index, view.instruction.source.start_line
            if view.instruction.KEYWORD in _MAY_READ_ENVIRONMENT:
                self._runs[own] = line
            for name in _NAME.findall(self._texts[line]):
                self._places.setdefault(name, []).append((own, line))
        for stage in reversed(
            subject.stages
        ):  # a RUN of what starts from a stage is behind all of it
            parent = subject.parents[stage.index]
            if parent is not None:
                self._runs[parent] = max(self._runs[parent], self._runs[stage.index])

    def may_be_read(self, stage: int, arg: Arg) -> bool:
        """By a RUN behind `arg`, in its stage or in those that start from it."""
        return self._runs[stage] > arg.source.start_line

    def has(self, stage: int, arg: Arg, name: str) -> bool:
        """Whether `name` is named behind `arg` there, or once more in it."""
        line = arg.source.start_line
        if _count(name, self._texts[line]) > 1 or not _NAME.fullmatch(name):
            return True
        behind = (other for other, at in self._places.get(name, ()) if at > line)
        return any(stage in self._subject.lineage(other) for other in behind)


def _texts(subject: Subject) -> Iterable[Tuple[int, str]]:
    """The text of every instruction, up to the next one, by its first line."""
    lines = subject.lexed.source.lines
    starts = [raw.source.start_line for raw in subject.lexed.instructions]
    for start, end in zip(starts, [*starts[1:], len(lines) + 1]):
        said = (line for line in lines[start - 1 : end - 1] if not line.lstrip().startswith("#"))
        yield start, "\n".join(said)


def _count(name: str, text: str) -> int:
    return _NAME.findall(text).count(name)


def undeclared_build_arg(subject: Subject) -> Iterable[Found]:
    """A build argument of this target that nothing takes up."""
    if not subject.stages:
        return
    known: Set[str] = set(platform_args(subject.platform, ""))
    instructions = (view.instruction for view in (*subject.borrowed, *subject.views))
    for arg in (*subject.dockerfile.global_args, *instructions):
        known.update(name for name, _ in (arg.args if isinstance(arg, Arg) else ()))
    for name in sorted(subject.given.build_args.keys() - subject.given.shared_args - known):
        if name.lower() not in _PROXIES and not _READ_BY_BUILDERS.match(name):
            close = near(name, known)
            said = f" (did you mean {close}?)" if close else ""
            message = f'the build argument "{name}" is declared by no ARG and has no effect{said}'
            yield Found(subject.line(1), message, f"add `ARG {name}`, or do not give it")


def secrets_used_in_arg_or_env(subject: Subject) -> Iterable[Found]:
    for view in subject.views:
        for name in _defined(view):
            if _SECRET_NAME.search(name) and not _HARMLESS_NAME.search(name):
                keyword = view.instruction.KEYWORD
                yield Found(
                    view.instruction.source,
                    f'Do not use ARG or ENV instructions for sensitive data ({keyword} "{name}")',
                    "whoever has the image can read it; use RUN --mount=type=secret",
                )


def _defined(view: View) -> Tuple[str, ...]:
    if isinstance(view.instruction, Arg):
        return tuple(name for name, _ in view.instruction.args)
    if isinstance(view.instruction, Env):
        return tuple(name for name, _ in view.instruction.pairs)
    return ()


def legacy_key_value_format(subject: Subject) -> Iterable[Found]:
    for view in subject.views:
        item = view.instruction
        if isinstance(item, (Env, Label)) and item.legacy:
            yield _legacy(item.source, item.KEYWORD)


def _legacy(source: SourceRange, keyword: str) -> Found:
    message = f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" format'
    return Found(
        source, message, "put an equals sign between name and value, and quotes around blanks"
    )
