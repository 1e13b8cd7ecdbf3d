"""A layer in the making: new entries over the tree below, as FileOps (COPY, ADD, WORKDIR) write it.

Nothing is mounted or unpacked: where a destination lies, through which links, and what metadata its parents have comes
from the indexes of the layers below.
"""

from __future__ import annotations

from typing import BinaryIO, Callable, Dict, Hashable, List, NamedTuple, Optional, Set, Tuple

from imagebuild.errors import ContextError, MalformedError
from imagebuild.layer.entry import (
    DIR,
    FILE,
    HARDLINK,
    ROOT,
    SYMLINK,
    Entry,
    altered,
    is_under,
    order_key,
    parent_of,
    shown,
)
from imagebuild.layer.resolve import resolve
from imagebuild.layer.tree import TreeView

OpenContent = Callable[[], BinaryIO]
DraftEntry = Tuple[Entry, Optional[OpenContent]]
Owner = Tuple[int, int]

DIR_MODE = 0o755


class _New(NamedTuple):
    """:param inode: equal for names of one file; None for a file of its own."""

    entry: Entry
    content: Optional[OpenContent] = None
    inode: Optional[Hashable] = None


class Draft:
    """New entries by path. A directory above a new entry is recorded too, with the metadata it has below: a layer that
    only implied it would reset its mode and owner for whoever unpacks the layer by itself."""

    def __init__(self, below: TreeView, mtime: int, *, keeps_times: bool = False) -> None:
        self._below, self.mtime, self.keeps_times = below, mtime, keeps_times
        self._new: Dict[bytes, _New] = {}
        self._hidden: Set[bytes] = set()  # directories below that something else took the place of
        self._budget = 5_000_000

    def entries(self) -> List[DraftEntry]:
        """In a layer's order. Of the names of one file the first has the content, and the others are links to it."""
        first_names: Dict[Hashable, bytes] = {}
        found: List[DraftEntry] = []
        for path in sorted(self._new, key=order_key):
            entry, content, inode = self._new[path]
            first = path if inode is None else first_names.setdefault(inode, path)
            if first != path:
                entry, content = altered(entry, kind=HARDLINK, linkname=first), None
            found.append((entry, content))
        return found

    @property
    def empty(self) -> bool:
        return not self._new

    def lookup(self, path: bytes) -> Optional[Entry]:
        made = self._new.get(path)
        return made.entry if made else self._lookup_below(path)

    def _lookup_below(self, path: bytes) -> Optional[Entry]:
        above = path
        while self._hidden and above != ROOT:
            if above in self._hidden:
                return None
            above = parent_of(above)
        return self._below.lookup(path)

    def content(self, path: bytes) -> Tuple[Optional[OpenContent], Optional[Hashable]]:
        """The bytes of the new entry at `path`, and what it has in common with its other names."""
        return self._new[path].content, self._new[path].inode

    def is_new(self, path: bytes) -> bool:
        return path in self._new

    def is_dir(self, path: bytes) -> bool:
        if path == ROOT:
            return True
        entry = self.lookup(path)
        return entry is not None and entry.kind == DIR

    def resolve(self, path: bytes) -> bytes:
        """`path` with every link in it followed inside the root; what does not exist stays as it is written.

        :raises UnsafePathError: for links that never end.
        """
        return resolve(path, self.readlink)

    def readlink(self, path: bytes) -> Optional[bytes]:
        """The target of the link at `path`, None where there is none."""
        entry = self.lookup(path)
        return entry.linkname if entry is not None and entry.kind == SYMLINK else None

    def mkdir(self, path: bytes, mode: int, owner: Owner) -> None:
        """Make a directory and its missing parents; one that exists stays as it is.

        :raises ContextError: when something else than a directory is in the way.
        """
        if self.is_dir(path):
            return
        self._need_no_other(path)
        self.adopt_parents(path, owner)
        self._put(self._dir(path, mode, owner))

    def place(
        self,
        entry: Entry,
        content: Optional[OpenContent],
        owner: Owner,
        inode: Optional[Hashable] = None,
    ) -> None:
        """Put `entry` in its place, over whatever file or link is there; missing parents get `owner`.

        :param inode: equal for the names of one file.
        :raises ContextError: for a file over a directory, or a directory over a file.
        """
        if entry.kind == DIR:
            if not self.is_dir(entry.path):
                self._need_no_other(entry.path)
        elif self.is_dir(entry.path):
            raise ContextError(
                f"a file cannot replace the directory {shown(entry.path)}",
                hint="remove the directory in a RUN before, or copy to another place",
            )
        self.adopt_parents(entry.path, owner)
        mtime = entry.mtime if self.keeps_times and entry.mtime else self.mtime
        self._put(altered(entry, mtime=mtime), content, inode)

    def replace(
        self,
        entry: Entry,
        content: Optional[OpenContent],
        owner: Owner,
        inode: Optional[Hashable] = None,
    ) -> None:
        """As `place`, with the entry's own time, and over whatever is there: a directory goes with all that is in it.

        :raises ContextError: when a parent is no directory.
        """
        path = entry.path
        present = self.lookup(path)
        if present is not None and present.kind == DIR and entry.kind != DIR:
            self._drop(path)
        self.adopt_parents(path, owner)
        self._put(entry, content, inode)

    def _drop(self, directory: bytes) -> None:
        lower = self._lookup_below(directory)
        if lower is not None and lower.kind == DIR:
            self._hidden.add(directory)
        self._budget -= len(self._new)
        if self._budget < 0:
            raise MalformedError("an archive replaces too many of its own directories")
        for path in [path for path in self._new if is_under(path, directory)]:
            del self._new[path]

    def _need_no_other(self, path: bytes) -> None:
        if self.lookup(path) is not None:
            raise ContextError(
                f"a directory cannot replace the file {shown(path)}",
                hint="remove the file in a RUN before, or copy to another place",
            )

    def adopt_parents(self, path: bytes, owner: Owner) -> None:
        """Record the directories above `path`, those that are missing with `owner`.

        :raises ContextError: when one of them is something else.
        """
        parts = path.split(b"/")[:-1]
        for depth in range(1, len(parts) + 1):
            parent = b"/".join(parts[:depth])
            known = self.lookup(parent)
            if known is None or known.kind != DIR:
                self._need_no_other(parent)
                self._put(self._dir(parent, DIR_MODE, owner))
            elif parent not in self._new:
                self._put(altered(known, opaque=False, implied=False))

    def _dir(self, path: bytes, mode: int, owner: Owner) -> Entry:
        return Entry(path, DIR, mode, owner[0], owner[1], mtime=self.mtime)

    def _put(
        self,
        entry: Entry,
        content: Optional[OpenContent] = None,
        inode: Optional[Hashable] = None,
    ) -> None:
        if entry.kind == DIR and entry.path in self._hidden:
            entry = altered(entry, opaque=True)
        inode = inode if entry.kind == FILE else None
        self._new[entry.path] = _New(entry, content, inode)
