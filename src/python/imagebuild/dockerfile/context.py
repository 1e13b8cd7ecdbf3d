"""What a COPY selects from the build context: patterns to entries to one digest."""

from __future__ import annotations

import difflib
import posixpath
from typing import Dict, Optional, Sequence, Set, Tuple

from imagebuild import canonical
from imagebuild.dockerfile.patterns import Listing, clean, glob, has_wildcards
from imagebuild.errors import OutsideContextError, SourceNotInContextError
from imagebuild.llb.plan import ContextEntry, ContextInput

_MAX_LINKS = 40
_COMPARED = 2000  # files, for a suggestion


class Context:
    """The files that a build may copy, by path; directories are implied by what is in them."""

    def __init__(self, entries: Sequence[ContextEntry]) -> None:
        self._entries: Dict[str, ContextEntry] = {entry.path: entry for entry in entries}
        self._listing = Listing(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def matches(self, source: str) -> Tuple[str, ...]:
        """Paths that a COPY source names, sorted; () where nothing does.

        :raises OutsideContextError: for a source above the context's root.
        :raises DockerfileSyntaxError: for a malformed pattern.
        """
        relative = posixpath.normpath(source.lstrip("/") or ".")
        if relative == ".." or relative.startswith("../"):
            raise OutsideContextError(
                f'"{source}" is outside of the build context',
                expected="a path inside the context",
                hint="build from a directory that holds it (`context_root`), or add the target that owns it to "
                "`dependencies`",
            )
        relative = clean(source)
        if not has_wildcards(relative) and "\\" not in relative:
            return (relative,) if self._exists(relative) else ()
        return tuple(glob(relative, self._list_dir))

    def select(self, paths: Sequence[str]) -> ContextInput:
        """The input that holds `paths` with all that is under them; links that are copied bring what they point to.

        Its digest covers every path, kind, content, x bit and link target. A directory counts only where it is empty.

        :raises OutsideContextError: for a link that leaves the context.
        """
        selected: Set[str] = set()
        for path in paths:
            selected.update(self._listing.below(self._resolve(path, selected)))
        chosen = sorted(path for path in selected if not self._is_full_directory(path))
        facts = (fact for path in chosen for fact in _facts(self._entries[path]))
        digest = canonical.fingerprint(list(facts))
        return ContextInput(digest, tuple(chosen))

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

    def _nearest(self, source: str) -> str:
        name = posixpath.basename(source)
        same_name = [path for path in self._entries if posixpath.basename(path) == name]
        candidates = same_name or self._listing.paths[:_COMPARED]
        close = difflib.get_close_matches(
            source[:200], candidates, n=1, cutoff=0.0 if same_name else 0.4
        )
        return close[0] if close else ""

    def _exists(self, path: str) -> bool:
        if path == "." or path in self._entries or self._listing.below(path):
            return True
        return self._entry_behind_links(path) is not None

    def _entry_behind_links(self, path: str) -> Optional[str]:
        """Where `path` leads when a directory on the way is a link; None where it leads nowhere."""
        above = posixpath.dirname(path)
        while above and above not in self._entries:
            above = posixpath.dirname(above)
        if not above or self._entries[above].kind != "symlink":
            return None
        found = self._resolve(path, set())
        return found if found in self._entries or self._listing.below(found) else None

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

    def _is_full_directory(self, path: str) -> bool:
        return self._entries[path].kind == "dir" and bool(self._listing.below(path))


def _facts(entry: ContextEntry) -> Tuple[str, str, str]:
    """All that counts of an entry, as three texts: a flat list of these is quick to encode and has one reading only."""
    content = entry.digest.hex if entry.digest else ""
    return entry.path, f"{entry.kind} {entry.executable} {entry.size} {content}", entry.target


def _leaves(path: str) -> OutsideContextError:
    return OutsideContextError(
        f'"{path}" leads out of the build context through a symbolic link, or in a circle',
        hint="copy the file that it points to into the context",
    )
