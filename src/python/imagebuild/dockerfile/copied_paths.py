r"""What COPY --exclude and --parents mean for paths; the context (lowering) and trees (execution) ask the same questions.

``--parents`` (Dockerfile reference, "COPY --parents"): a source is ``BASE/./PATTERN``, or ``PATTERN`` with the root as its base.
What the pattern matches under the base is copied with its directories from the base on. The pattern is one of
.dockerignore's ("**" is any number of directories), and no link is followed from the base on.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

from imagebuild.dockerfile.dockerignore import Ignored, IgnorePattern, parse_pattern_text
from imagebuild.dockerfile.patterns import clean, has_wildcards

_PIVOT = "/./"

ListDir = Callable[[str], Sequence[str]]


class Exclusion:
    """``--exclude``: patterns of .dockerignore, relative to each source.

    :raises DockerfileSyntaxError: for a malformed pattern.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(parse_pattern_text(text) for text in patterns if text.strip())
        self._ignored = Ignored(self._patterns)

    def drops(self, path: str) -> bool:
        """Whether what lies at `path` under a source directory is left out; a directory that is may hold what is not."""
        return bool(self._patterns) and self._ignored.is_ignored(path)

    def drops_source(self, path: str) -> bool:
        """Whether a source that is a file is left out itself, by its name or by its path ("COPY --exclude": "even if their
        paths match the pattern specified in <src>"). A source directory never is: the patterns concern what is in it.
        """
        return self.drops(posixpath.basename(path)) or self.drops(clean(path))


@dataclass(frozen=True)
class ParentsSource:
    """A source of COPY --parents.

    :param base: a pattern like that of any source, "." for the root.
    :param prefix: the components of the pattern before the first wildcard, unescaped.
    :param pattern: the whole of it, None where it has no wildcards: then `prefix` is all there is.
    """

    base: str
    prefix: Tuple[str, ...]
    pattern: Optional[IgnorePattern]

    @property
    def is_literal(self) -> bool:
        """Whether it names one path, which has to be there."""
        return self.pattern is None and not has_wildcards(self.base)

    def matches(self, list_dir: ListDir) -> Tuple[str, ...]:
        """Paths under the base that are copied with all that is in them, none inside of another.

        :param list_dir: names in a directory, given relative to the base ("." for that); nothing for what is no
            directory, or a link to one.
        """
        top = "."
        for part in self.prefix:
            if part not in list_dir(top):
                return ()
            top = part if top == "." else f"{top}/{part}"
        if self.pattern is None or (top != "." and self.pattern.matches(top)):
            return (top,)
        return tuple(sorted(_matched(self.pattern, list_dir, top)))


def parse_parents_source(source: str) -> ParentsSource:
    """:raises DockerfileSyntaxError: for a malformed pattern."""
    base, pivot, pattern = source.partition(_PIVOT)
    if not pivot:
        base, pattern = ".", source
    pattern = clean(pattern)
    prefix: List[str] = []
    parts = pattern.split("/") if pattern != "." else []
    while parts and not has_wildcards(parts[0]):
        prefix.append(re.sub(r"\\([\s\S])", r"\1", parts.pop(0)))
    compiled = parse_pattern_text(_escaped(pattern)) if parts else None
    return ParentsSource(clean(base), tuple(prefix), compiled)


def _escaped(pattern: str) -> str:
    """A leading "!" is a character here."""
    return "\\" + pattern if pattern.startswith("!") else pattern


def _matched(pattern: IgnorePattern, list_dir: ListDir, top: str) -> List[str]:
    found: List[str] = []
    todo = [top]
    while todo:
        above = todo.pop()
        for name in list_dir(above):
            path = name if above == "." else f"{above}/{name}"
            if pattern.matches(path):
                found.append(path)
            else:
                todo.append(path)
    return found
