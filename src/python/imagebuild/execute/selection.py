"""What a CopyAction takes from its input: one answer for the layer that is made of it and for the digest in its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Set, Tuple

from imagebuild.dockerfile.copied_paths import Exclusion, ParentsSource, parse_parents_source
from imagebuild.dockerfile.patterns import has_wildcards
from imagebuild.errors import SourceNotInContextError
from imagebuild.execute.trees import to_bytes, to_text
from imagebuild.layer.entry import DIR, ROOT, Entry, is_under, join, order_key, parent_of
from imagebuild.llb.ops import CopyAction

Found = Tuple[Entry, int]
NO_LAYER = -1
"""The layer of what lies in a context, where names are files of their own."""


class Files(Protocol):
    """A tree to copy from; paths are inside its root."""

    def matches(self, pattern: str) -> Tuple[str, ...]:
        """Paths that `pattern` matches, sorted."""

    def follow(self, path: bytes) -> bytes:
        """`path` with all links in it followed."""

    def find(self, path: bytes) -> Found:
        """What lies at `path`, itself not followed, and the number of the layer that it is of.

        :raises SourceNotInContextError: for nothing.
        """

    def children(self, path: bytes) -> Sequence[bytes]:
        """Names in a directory, sorted."""

    def walk(self, path: bytes) -> Iterator[Tuple[bytes, Found]]:
        """Everything under the directory `path`, itself left out, by its path relative to it; parents come first."""

    def mtime(self, path: bytes) -> Optional[int]:
        """Nanoseconds; None for what is no file, or has no time."""


class Listed(NamedTuple):
    """:param name: relative to the source directory.
    :param made: a directory of --parents: it is made where there is none, and else left alone.
    """

    name: bytes
    found: Found
    made: bool = False


@dataclass(frozen=True)
class Selected:
    """One source.

    :param name: its last component as it was matched, b"" for a directory, of which only the contents count.
    :param real: where it is, links followed.
    :param chosen: `name` came from a wildcard, so that no text of the instruction says it.
    :param below: what is taken of a directory, parents first.
    """

    name: bytes
    real: bytes
    found: Found
    chosen: bool = False
    below: Iterable[Listed] = ()

    @property
    def is_dir(self) -> bool:
        return self.found[0].kind == DIR


def selection(files: Files, action: CopyAction) -> Iterator[Selected]:
    """The sources of `action` in their order; what matches nothing is passed over."""
    exclusion = Exclusion(action.exclude)
    for source in action.sources:
        if action.parents:
            yield from _with_parents(files, parse_parents_source(source), exclusion)
            continue
        for path in files.matches(source):
            yield from _one(files, path, has_wildcards(source), exclusion)


def matched(files: Files, action: CopyAction, source: str) -> Tuple[str, ...]:
    """The paths that one of the sources of `action` matches, whatever is excluded."""
    if not action.parents:
        return files.matches(source)
    parsed = parse_parents_source(source)
    found = [_matches_below(files, base, parsed) for base in _bases(files, parsed)]
    return tuple(path for paths in found for path in paths)


def is_optional(action: CopyAction, source: str) -> bool:
    """Whether `source` may match nothing: it has wildcards."""
    if action.parents:
        return not parse_parents_source(source).is_literal
    return has_wildcards(source)


def _one(files: Files, path: str, chosen: bool, exclusion: Exclusion) -> Iterator[Selected]:
    real = files.follow(to_bytes(path))
    found = files.find(real)
    if found[0].kind == DIR:
        listed = (Listed(name, below) for name, below in files.walk(real))
        yield Selected(b"", real, found, below=_kept(listed, exclusion))
    elif not exclusion.drops_source(path):
        yield Selected(to_bytes(path).rpartition(b"/")[2], real, found, chosen)


def _with_parents(files: Files, source: ParentsSource, exclusion: Exclusion) -> Iterator[Selected]:
    for base in _bases(files, source):
        paths = sorted(map(to_bytes, _matches_below(files, base, source)), key=order_key)
        listed = _kept(_with_directories(files, base, paths), exclusion)
        yield Selected(b"", base, files.find(base), below=listed)


def _bases(files: Files, source: ParentsSource) -> Iterator[bytes]:
    for path in files.matches(source.base):
        real = files.follow(to_bytes(path))
        if files.find(real)[0].kind == DIR:
            yield real


def _matches_below(files: Files, base: bytes, source: ParentsSource) -> Tuple[str, ...]:
    def list_dir(path: str) -> Sequence[str]:
        place = _below(base, to_bytes(path))
        if files.find(place)[0].kind != DIR:
            return ()
        return [to_text(name) for name in files.children(place)]

    return source.matches(list_dir)


def _with_directories(files: Files, base: bytes, paths: Iterable[bytes]) -> Iterator[Listed]:
    """Each of `paths` (sorted) with all that is in it, and before it the directories that lead to it."""
    seen: Set[bytes] = {ROOT}
    for path in paths:
        above: List[bytes] = []
        while (parent := parent_of((above or [path])[-1])) not in seen:
            seen.add(parent)
            above.append(parent)
        for directory in reversed(above):
            yield Listed(directory, files.find(join(base, directory)), made=True)
        place = _below(base, path)
        found = files.find(place)
        if path != ROOT:
            yield Listed(path, found)
        if found[0].kind == DIR:
            for name, below in files.walk(place):
                yield Listed(join(path, name), below)


def _kept(listed: Iterable[Listed], exclusion: Exclusion) -> Iterator[Listed]:
    """What no pattern excludes. Directories that are excluded, or made for others only, come with what is kept in them."""
    waiting: List[Listed] = []
    for item in listed:
        waiting = [directory for directory in waiting if is_under(item.name, directory.name)]
        if item.made or exclusion.drops(to_text(item.name)):
            if item.found[0].kind == DIR:
                waiting.append(item)
            continue
        yield from waiting
        waiting = []
        yield item


def _below(base: bytes, path: bytes) -> bytes:
    return base if path == ROOT else join(base, path)


def require_matches(files: Files, action: CopyAction) -> None:
    """A wildcard may match nothing (BuildKit's AllowEmptyWildcard).

    :raises SourceNotInContextError: for a path that is not there.
    """
    for source in action.sources:
        if not is_optional(action, source) and not matched(files, action, source):
            raise SourceNotInContextError(
                f'"{source}" matches nothing in the stage or image it is copied from',
                expected="a path or Go glob of that filesystem",
                hint="check that an earlier instruction of that stage makes it, and its spelling",
            )
