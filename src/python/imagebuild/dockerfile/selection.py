"""What the sources of a COPY or ADD select: patterns for the op, and the input that they are found in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Sequence, Tuple, Union

from imagebuild.dockerfile.context import Context, Found
from imagebuild.dockerfile.copied_paths import parse_parents_source
from imagebuild.dockerfile.patterns import clean, has_wildcards, parse_pattern
from imagebuild.llb.plan import RemoteSource, State, StepInput, TreeInput

_PIVOT = "/./"


@dataclass(frozen=True)
class Selection:
    """Sources of one input.

    :param patterns: and `parents`, `keep_owner`, `unpack`: as the CopyAction has them.
    :param is_many: the destination can only be a directory.
    """

    patterns: Tuple[str, ...]
    input: Union[StepInput, RemoteSource]
    is_many: bool = False
    parents: bool = False
    keep_owner: bool = False
    unpack: bool = False
    warnings: Tuple[str, ...] = ()


def select_from_context(
    context: Context,
    sources: Sequence[str],
    exclude: Sequence[str],
    *,
    parents: bool = False,
    unpack: bool = False,
) -> Selection:
    """A wildcard may match nothing (BuildKit's AllowEmptyWildcard).

    :raises ContextError: for a path that is not there, or leads out of the context.
    """
    found: List[Found] = []
    patterns: List[str] = []
    warnings: List[str] = []
    for source in sources:
        matched = context.matches_with_parents(source) if parents else context.matches(source)
        if matched:
            found.extend(matched)
            patterns.append(_pattern(source, parents))
        elif _is_optional(source, parents):
            warnings.append(f'"{source}" matches no file in the build context')
        else:
            raise context.not_found(source)
    if not len(context):
        warnings.append("the build context is empty, so nothing is copied")
    return Selection(
        tuple(patterns),
        context.select(found, exclude),
        parents or len(found) > 1,
        parents,
        unpack=unpack,
        warnings=tuple(warnings),
    )


def select_from_tree(
    trees: Mapping[str, State], name: str, sources: Sequence[str], *, parents: bool
) -> Selection:
    """:param trees: by the name that the Dockerfile has for them.

    :raises DockerfileSyntaxError: for a malformed pattern.
    """
    for source in sources:
        if not parents:
            parse_pattern(clean(source))
        elif not parse_parents_source(source).is_literal:
            parse_pattern(parse_parents_source(source).base)
    patterns = tuple(_pattern(source, parents) for source in sources)
    return Selection(patterns, TreeInput(trees[name]), parents, parents, keep_owner=True)


def _is_optional(source: str, parents: bool) -> bool:
    return not parse_parents_source(source).is_literal if parents else has_wildcards(source)


def _pattern(source: str, parents: bool) -> str:
    """As the op has it; with --parents, the base stays apart from what is made under the destination."""
    base, pivot, pattern = source.partition(_PIVOT)
    if not parents or not pivot or clean(base) == ".":
        return clean(pattern if parents and pivot else source)
    return f"{clean(base)}{_PIVOT}{clean(pattern)}"
