"""What a COPY selects from the build context: patterns to entries to one digest."""

from __future__ import annotations

import difflib
import posixpath
from functools import partial
from typing import AbstractSet, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from imagebuild import canonical
from imagebuild.dockerfile.copied_paths import Exclusion, parse_parents_source
from imagebuild.dockerfile.patterns import Listing, clean, glob, has_wildcards
from imagebuild.errors import OutsideContextError, SourceNotInContextError
from imagebuild.llb.plan import ContextEntry, ContextInput

_MAX_LINKS = 40
_COMPARED = 2000  # files, for a suggestion


class Found(NamedTuple):
    """A path that a source names; with --parents relative to `base`, which is a path too."""

    path: str
    base: Optional[str] = None


class Context:
    """The files that a build may copy, by path; directories are implied by what is in them."""

    def __init__(self, entries: Sequence[ContextEntry]) -> None:
        self._entries: Dict[str, ContextEntry] = {entry.path: entry for entry in entries}
        self._listing = Listing(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def matches(self, source: str) -> Tuple[Found, ...]:
        """What a COPY source names, sorted; () where nothing does.

        :raises OutsideContextError: for a source above the context's root.
        :raises DockerfileSyntaxError: for a malformed pattern.
        """
        return tuple(Found(path) for path in self._paths(source))

    def matches_with_parents(self, source: str) -> Tuple[Found, ...]:
        """The same with --parents.

        :raises OutsideContextError: and DockerfileSyntaxError, as `matches`.
        """
        _check_inside(source)
        parsed = parse_parents_source(source)
        found: List[Found] = []
        for base in self._paths(parsed.base):
            real = self._resolve(base, set())
            paths = parsed.matches(partial(self._list_below, real))
            found.extend(Found(path, base) for path in paths)
        return tuple(found)

    def select(self, found: Sequence[Found], exclude: Sequence[str] = ()) -> ContextInput:
        """The input that holds what was `found` with all that is in it; links that are followed bring what they point to.

        Its digest covers every path, kind, content, x bit and link target that no pattern of `exclude` (see
        `copied_paths.Exclusion`) leaves out. A directory counts only where nothing in it does.

        :raises OutsideContextError: for a link that leaves the context.
        """
        exclusion = Exclusion(exclude) if exclude else None
        selected: Set[str] = set()
        for item in found:
            way: Set[str] = set()
            anchor = self._resolve(item.path if item.base is None else item.base, way)
            if not self._is_there(anchor):
                raise _leads_nowhere(item.path, anchor)
            # From the base of --parents on, no link is followed.
            real = anchor if item.base is None else _join(anchor, item.path)
            inside: AbstractSet[str] = {real, *self._listing.below(real)}
            if exclusion is not None:
                if item.base is None and not self.is_directory(real):
                    if exclusion.drops_source(item.path):
                        continue
                else:
                    inside = self._kept(anchor, real, exclusion)
            selected.update(way, inside)
        chosen = sorted(selected - _directories(selected) - {"."})
        facts = (fact for path in chosen for fact in _facts(self._entry(path)))
        return ContextInput(canonical.fingerprint(list(facts)), tuple(chosen))

    def _kept(self, anchor: str, real: str, exclusion: Exclusion) -> Set[str]:
        """What patterns, relative to `anchor`, leave of `real`: directories too, for they stay when all in them goes."""
        start = 0 if anchor == "." else len(anchor) + 1
        under = "" if real == "." else f"{real}/"
        below = self._listing.below(real)
        made = (above for above in _directories(below) if above.startswith(under))
        paths = {real, *below, *made}
        return {path for path in paths if path == anchor or not exclusion.drops(path[start:])}

    def _entry(self, path: str) -> ContextEntry:
        """A directory that is only implied has none of its own."""
        return self._entries.get(path) or ContextEntry(path, "dir")

    def at(self, path: str) -> ContextInput:
        """The input that holds the one `path` that a mount names, with all that is in it.

        :raises ContextError: when it is not there, or outside.
        """
        _check_inside(path)
        path = clean(path)
        if not self._exists(path):
            raise self.not_found(path)
        return self.select((Found(path),))

    def _paths(self, source: str) -> Tuple[str, ...]:
        _check_inside(source)
        relative = clean(source)
        if not has_wildcards(relative) and "\\" not in relative:
            return (relative,) if self._exists(relative) else ()
        return tuple(glob(relative, self._list_dir))

    def not_found(self, source: str) -> SourceNotInContextError:
        """The error for a source that matches nothing."""
        count = len(self._entries)
        nearest = self._nearest(clean(source))
        files = f"the {count} context file{'s' if count != 1 else ''}"
        return SourceNotInContextError(
            f'"{source}" matches no file in the build context',
            expected=f"a path or Go glob among {files}"
            + (f' (nearest: "{nearest}")' if nearest else "")
            if count
            else "a path in the build context, which is empty",
            hint="add the target that makes it to `dependencies`, correct the path, or see whether .dockerignore "
            "excludes it",
        )

    def is_directory(self, path: str) -> bool:
        entry = self._entries.get(path)
        return (entry is None or entry.kind == "dir") and self._exists(path)

    def _list_dir(self, path: str) -> Sequence[str]:
        try:
            return self._listing.list_dir(self._resolve(path, set()))
        except OutsideContextError:
            return ()

    def _list_below(self, base: str, path: str) -> Sequence[str]:
        return self._listing.list_dir(_join(base, path))

    def _nearest(self, source: str) -> str:
        name = posixpath.basename(source)
        same_name = [path for path in self._entries if posixpath.basename(path) == name]
        candidates = same_name or self._listing.paths[:_COMPARED]
        close = difflib.get_close_matches(
            source[:200], candidates, n=1, cutoff=0.0 if same_name else 0.4
        )
        return close[0] if close else ""

    def _exists(self, path: str) -> bool:
        return self._is_there(path) or self._entry_behind_links(path) is not None

    def _is_there(self, path: str) -> bool:
        return path == "." or path in self._entries or bool(self._listing.below(path))

    def _entry_behind_links(self, path: str) -> Optional[str]:
        """Where `path` leads when a directory on the way is a link; None where it leads nowhere."""
        above = posixpath.dirname(path)
        while above and above not in self._entries:
            above = posixpath.dirname(above)
        if not above or self._entries[above].kind != "symlink":
            return None
        found = self._resolve(path, set())
        return found if self._is_there(found) else None

    def _resolve(self, path: str, selected: Set[str]) -> str:
        """`path` with every link on the way followed; the links and what is found join `selected`."""
        todo, done, links = path.split("/"), "", 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise _leaves(path)
                done = posixpath.dirname(done)
                continue
            done = f"{done}/{part}" if done else part
            entry = self._entries.get(done)
            if entry is not None and entry.kind == "symlink":
                selected.add(done)
                links += 1
                if links > _MAX_LINKS or entry.target.startswith("/"):
                    raise _leaves(path)
                todo[:0] = entry.target.split("/")
                done = posixpath.dirname(done)
        if done in self._entries:
            selected.add(done)
        return done or "."


def _facts(entry: ContextEntry) -> Tuple[str, str, str]:
    """All that counts of an entry, as three texts: a flat list of these is quick to encode and has one reading only."""
    content = entry.digest.hex if entry.digest else ""
    return entry.path, f"{entry.kind} {entry.executable} {entry.size} {content}", entry.target


def _join(base: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(base, path))


def _directories(paths: Iterable[str]) -> Set[str]:
    """All that `paths` lie in, the root left out."""
    found: Set[str] = set()
    for path in paths:
        above = path.rpartition("/")[0]
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


def _check_inside(source: str) -> None:
    relative = posixpath.normpath(source.lstrip("/") or ".")
    if relative == ".." or relative.startswith("../"):
        raise OutsideContextError(
            f'"{source}" is outside of the build context',
            expected="a path inside the context",
            hint="build from a directory that holds it (`context_root`), or add the target that owns it to "
            "`dependencies`",
        )


def _leads_nowhere(path: str, end: str) -> SourceNotInContextError:
    return SourceNotInContextError(
        f'"{path}" is a link that leads to "{end}", which is not in the build context',
        hint="add what it points to, or see whether .dockerignore excludes it",
    )


def _leaves(path: str) -> OutsideContextError:
    return OutsideContextError(
        f'"{path}" leads out of the build context through a symbolic link, or in a circle',
        hint="copy the file that it points to into the context",
    )
