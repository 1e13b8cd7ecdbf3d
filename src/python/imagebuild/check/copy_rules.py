"""Rules about what COPY and ADD take from the build context. A source that has to be there and is not is an error."""

from __future__ import annotations

from typing import Iterable, List, Tuple

from imagebuild.check.finding import Found
from imagebuild.check.subject import Subject
from imagebuild.check.variables import View
from imagebuild.dockerfile.context import Context
from imagebuild.dockerfile.copied_paths import parse_parents_source
from imagebuild.dockerfile.dockerignore import IgnorePattern, parse_ignore_file
from imagebuild.dockerfile.instructions.add import Add
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.copy import Copy
from imagebuild.dockerfile.patterns import clean, has_wildcards
from imagebuild.dockerfile.remotes import is_remote
from imagebuild.errors import ImageBuildError


def copy_source_not_found(subject: Subject) -> Iterable[Found]:
    """A pattern that matches nothing is no error: it may be meant to be optional."""
    context = Context(subject.given.context)
    for view, sources in _from_context(subject):
        for source in sources:
            if _is_idle_pattern(context, view, source):
                yield Found(
                    view.instruction.source,
                    f'{view.instruction.KEYWORD}: "{source}" matches no file in the build context',
                    "add the target that makes it to `dependencies`, correct the pattern, or remove it",
                )


def missing_sources(subject: Subject) -> Iterable[ImageBuildError]:
    """What is not there of an instruction of which not all is known: its other sources, or its destination."""
    context = Context(subject.given.context)
    for view, sources in _from_context(subject):
        for source in sources if not view.known else ():
            try:
                if _is_literal(view.instruction, source) and not _matches(context, view, source):
                    raise context.not_found(source)
            except ImageBuildError as error:
                item = view.instruction
                yield subject.lexed.source.locate(error, item.source, item.KEYWORD)


def _is_idle_pattern(context: Context, view: View, source: str) -> bool:
    try:
        return not _is_literal(view.instruction, source) and not _matches(context, view, source)
    except ImageBuildError:  # the build says why
        return False


def _is_literal(item: Instruction, source: str) -> bool:
    if isinstance(item, Copy) and item.parents:
        return parse_parents_source(source).is_literal
    return not has_wildcards(source)


def _matches(context: Context, view: View, source: str) -> bool:
    if isinstance(view.instruction, Copy) and view.instruction.parents:
        return bool(context.matches_with_parents(source))
    return bool(context.matches(source))


def copy_ignored_file(subject: Subject) -> Iterable[Found]:
    """Where the ignore file takes something back in, what it excludes cannot be told from the path alone."""
    patterns = _ignore_patterns(subject)
    if not patterns or any(pattern.exception for pattern in patterns):
        return
    for view, sources in _from_context(subject):
        for source in sources:
            path = clean(source)
            if path != "." and any(
                pattern.matches(part) for pattern in patterns for part in _above(path)
            ):
                keyword = view.instruction.KEYWORD.capitalize()
                yield Found(
                    view.instruction.source,
                    f'Attempting to {keyword} file "{source}" that is excluded by .dockerignore',
                    "remove the line of .dockerignore that excludes it, or take it back in with a line that begins with !",
                )


def _from_context(subject: Subject) -> Iterable[Tuple[View, Tuple[str, ...]]]:
    """What the target copies from the context: paths and patterns, variables replaced; none that are not known."""
    needed = subject.graph.needed if subject.graph else ()
    for view in subject.views:
        item = view.instruction
        if view.stage.index in needed and isinstance(item, (Add, Copy)) and not _from(item):
            found = (subject.value(view, source) for source in item.sources)
            yield view, tuple(source for source in found if source and not is_remote(source))


def _from(item: object) -> bool:
    return isinstance(item, Copy) and bool(item.from_)


def _ignore_patterns(subject: Subject) -> Tuple[IgnorePattern, ...]:
    ignore = subject.given.ignore
    try:
        return parse_ignore_file(ignore.text, ignore.name) if ignore else ()
    except ImageBuildError:
        return ()


def _above(path: str) -> List[str]:
    """`path` and every directory above it."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
