"""Builds a layer index from entries in the order of their tar: what later entries replace, links resolved, parents implied.

The builder is the pure model of an extraction into an empty directory: entries whose name leads through a symlink of the same
layer are placed where the link leads, and a hard link takes over what its target is. Only encoded lines are kept, so a layer of
100,000 files takes some tens of megabytes.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Set, Tuple

from imagebuild.errors import MalformedError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import ROOT, Entry, altered, is_under, join, order_key, parent_of, shown
from imagebuild.layer.index import MAX_TEXT, TEXT_PATHS, LayerIndex
from imagebuild.layer.index_format import (
    decode_members,
    encode_file,
    encode_head,
    encode_members,
    encode_texts,
    escape,
)
from imagebuild.layer.resolve import resolve
from imagebuild.oci.hash import Hash

IMPLIED_MODE = 0o755


class IndexBuilder:
    """Takes entries with `add`, gives the index with `build`."""

    def __init__(self) -> None:
        self._budget = 5_000_000
        self._members: Dict[bytes, str] = {}
        self._directories: Set[bytes] = {ROOT}
        self._implied: Set[bytes] = set()
        self._opaque: Set[bytes] = set()
        self._whiteouts: Set[bytes] = set()
        self._links: Dict[bytes, bytes] = {}
        self._foreign: Dict[bytes, bytes] = {}
        self._texts: Dict[bytes, bytes] = {}
        self._places: Dict[
            bytes, bytes
        ] = {}  # parents by the names entries gave them, to where they are
        self._walked: Set[bytes] = {ROOT}  # every path on the way to a place

    def add(self, entry: Entry) -> Entry:
        """Take one entry in; gives it back as the index has it: placed, and a hard link with its target's metadata."""
        path = self.place(entry.path)
        if entry.kind == kinds.WHITEOUT:
            self._imply_parents(path)
            self._whiteouts.add(path)
            return altered(entry, path=path)
        if entry.kind == kinds.OPAQUE:
            self._require_directory(path)
            self._opaque.add(path)
            return altered(entry, path=path)
        if entry.kind == kinds.HARDLINK and not entry.foreign:
            entry = self._linked(entry)
        if entry.path != path:
            entry = altered(entry, path=path)
        self._put(entry)
        return entry

    def add_file(self, entry: Entry, sha256: str) -> bytes:
        """Take a regular file with its content's sha256 in; gives where it is placed. The same as `add`, with less ado for the
        common case: a new path in a directory that is known, so that there is nothing to imply, to clear or to forget.
        """
        path = entry.path
        if (
            path not in self._members
            and path not in self._directories
            and (path.rpartition(b"/")[0] or ROOT) in self._directories
            and not entry.xattrs
            and self.place(path) == path
        ):
            self._members[path] = encode_file(entry, sha256)
            return path
        return self.add(altered(entry, sha256=Hash(sha256))).path

    def add_text(self, path: bytes, text: bytes) -> None:
        """Keep the content of etc/passwd or etc/group, unless it is too large."""
        if path in TEXT_PATHS and len(text) <= MAX_TEXT:
            self._texts[path] = text

    def place(self, path: bytes) -> bytes:
        """Where an entry named `path` comes to stand: its parent's links of this layer are followed."""
        if path == ROOT or not self._links:
            return path
        head, _, name = path.rpartition(b"/")
        if not head:
            return path
        place = self._places.get(head)
        if place is None:
            place = self._places[head] = resolve(head, self._links.get)
            self._walked.add(place)
            while place != ROOT and parent_of(place) not in self._walked:
                self._walked.add(place := parent_of(place))
            place = self._places[head]
        return path if place == head else join(place, name)

    def get(self, path: bytes) -> Optional[Entry]:
        """The entry that stands at `path` so far."""
        members = self._members.get(path)
        return None if members is None else decode_members(path, members.encode())

    def build(self) -> LayerIndex:
        """The index of everything that was added. A whiteout in an opaque directory means nothing and is left out."""
        opaque = {path for path in {*self._opaque, *self._whiteouts} if self._is_opaque(path)}
        kept = {path for path in self._whiteouts if not _is_below(path, opaque)}
        paths = sorted({*self._members, *self._implied, *kept}, key=order_key)
        special, members, final = {*opaque, *self._implied, *kept}, self._members, self._final
        of_paths = ((path, final(path) if path in special else members[path]) for path in paths)
        lines = [b"%s\t%s\n" % (escape(path), line.encode()) for path, line in of_paths]
        texts = {path: text for path, text in sorted(self._texts.items()) if path in self._members}
        head = {
            "entries": len(lines),
            "implied": bool(self._implied),
            "foreign": bool(self._foreign),
            "opaque": [path.decode("latin-1") for path in sorted(opaque)],
        }
        return LayerIndex(b"".join((encode_head(head), encode_texts(texts), *lines)))

    def _final(self, path: bytes) -> str:
        members = self._members.get(path)
        if path in self._implied:
            return encode_members(
                Entry(path, kinds.DIR, IMPLIED_MODE, opaque=self._is_opaque(path), implied=True)
            )
        if members is None:
            return encode_members(Entry(path, kinds.WHITEOUT))
        if self._is_opaque(path):
            return encode_members(altered(decode_members(path, members.encode()), opaque=True))
        return members

    def _is_opaque(self, path: bytes) -> bool:
        """A directory that is deleted and made anew in one layer hides what is below, like an opaque one (layer.md)."""
        return path in self._opaque or (path in self._whiteouts and path in self._directories)

    def _put(self, entry: Entry) -> None:
        path = entry.path
        self._imply_parents(path)
        if entry.kind == kinds.DIR:
            if path not in self._directories:
                self._forget(path)
                self._directories.add(path)
            self._implied.discard(path)
        else:
            self._clear(path)
        if entry.kind == kinds.SYMLINK:
            self._links[path] = entry.linkname
            if path in self._walked:
                self._reset_places()
        if entry.foreign:
            self._foreign[path] = entry.linkname
        self._members[path] = encode_members(entry)

    def _imply_parents(self, path: bytes) -> None:
        parent = parent_of(path)
        while parent not in self._directories:
            self._require_absent(parent)
            self._directories.add(parent)
            self._implied.add(parent)
            parent = parent_of(parent)

    def _require_directory(self, path: bytes) -> None:
        self._imply_parents(join(path, b"-"))

    def _require_absent(self, path: bytes) -> None:
        if path in self._members:
            raise MalformedError(
                f"a layer has entries under {shown(path)}, which is not a directory"
            )

    def _clear(self, path: bytes) -> None:
        """Remove what stands at `path`, a whole tree if need be, as extraction does before it puts something else there."""
        if path in self._directories:
            self._spend(len(self._members))
            for other in [
                known
                for known in (*self._members, *self._implied)
                if known != path and is_under(known, path)
            ]:
                self._forget(other)
        self._forget(path)

    def _spend(self, steps: int) -> None:
        """A layer that replaces directory after directory would take quadratic time; none but a hostile one does."""
        self._budget -= steps
        if self._budget < 0:
            raise MalformedError("a layer replaces too many of its own directories")

    def _forget(self, path: bytes) -> None:
        self._members.pop(path, None)
        self._foreign.pop(path, None)
        self._texts.pop(path, None)
        for group in (self._directories, self._implied, self._opaque):
            group.discard(path)
        if self._links.pop(path, None) is not None:
            self._reset_places()

    def _reset_places(self) -> None:
        self._places = {}
        self._walked = {ROOT}

    def _linked(self, entry: Entry) -> Entry:
        """A hard link as its target is: the same metadata, size and sha256; another name of a link or device is just that."""
        target = self.get(self.place(entry.linkname))
        if target is None:
            return altered(entry, linkname=entry.linkname, foreign=True)
        if target.kind == kinds.DIR:
            raise MalformedError(f"layer entry {shown(entry.path)} is a hard link to a directory")
        if kinds.has_content(target):
            leader = target.linkname if target.kind == kinds.HARDLINK else target.path
            return altered(target, path=entry.path, kind=kinds.HARDLINK, linkname=leader)
        return altered(target, path=entry.path)

    @property
    def deletes(self) -> bool:
        """Has it any whiteout or opaque directory?"""
        return bool(self._whiteouts or self._opaque)

    def foreign_links(self) -> List[Tuple[bytes, bytes]]:
        """(path, target) of the hard links whose target is not in this layer."""
        return sorted(self._foreign.items())

    def implied_directories(self) -> Iterator[bytes]:
        """Directories without an entry of their own, parents first."""
        return iter(sorted(self._implied, key=order_key))


def _is_below(path: bytes, directories: Set[bytes]) -> bool:
    while directories and path != ROOT:
        path = parent_of(path)
        if path in directories:
            return True
    return False
