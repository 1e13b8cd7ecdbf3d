"""A layer in the making: new entries over the tree below, as FileOps (COPY, ADD, WORKDIR) write it.

Nothing is mounted or unpacked: where a destination lies, through which links, and what metadata its parents have comes
from the indexes of the layers below.
"""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO, Callable, Dict, Iterator, Optional, Tuple

from imagebuild.errors import ContextError
from imagebuild.layer.entry import DIR, ROOT, SYMLINK, Entry, shown
from imagebuild.layer.resolve import resolve
from imagebuild.layer.tree import TreeView

OpenContent = Callable[[], BinaryIO]
DraftEntry = Tuple[Entry, Optional[OpenContent]]
Owner = Tuple[int, int]

DIR_MODE = 0o755


class Draft:
    """New entries by path. A directory above a new entry is recorded too, with the metadata it has below: a layer that
    only implied it would reset its mode and owner for whoever unpacks the layer by itself."""

    def __init__(self, below: TreeView, mtime: int) -> None:
        self._below, self.mtime = below, mtime
        self._new: Dict[bytes, DraftEntry] = {}

    def entries(self) -> Iterator[DraftEntry]:
        """In no particular order; empty when nothing changed."""
        return iter(self._new.values())

    @property
    def empty(self) -> bool:
        return not self._new

    def lookup(self, path: bytes) -> Optional[Entry]:
        made = self._new.get(path)
        return made[0] if made else self._below.lookup(path)

    def is_dir(self, path: bytes) -> bool:
        if path == ROOT:
            return True
        entry = self.lookup(path)
        return entry is not None and entry.kind == DIR

    def resolve(self, path: bytes) -> bytes:
        """`path` with every link in it followed inside the root; what does not exist stays as it is written.

        :raises UnsafePathError: for links that never end.
        """
        return resolve(path, self._readlink)

    def _readlink(self, path: bytes) -> Optional[bytes]:
        entry = self.lookup(path)
        return entry.linkname if entry is not None and entry.kind == SYMLINK else None

    def mkdir(self, path: bytes, mode: int, owner: Owner) -> None:
        """Make a directory and its missing parents; one that exists stays as it is.

        :raises ContextError: when something else than a directory is in the way.
        """
        if self.is_dir(path):
            return
        self._need_no_other(path)
        self._adopt_parents(path, owner)
        self._put(self._dir(path, mode, owner))

    def place(self, entry: Entry, content: Optional[OpenContent], owner: Owner) -> None:
        """Put `entry` in its place, over whatever file or link is there; missing parents get `owner`.

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
        self._adopt_parents(entry.path, owner)
        self._put(replace(entry, mtime=self.mtime), content)

    def _need_no_other(self, path: bytes) -> None:
        if self.lookup(path) is not None:
            raise ContextError(
                f"a directory cannot replace the file {shown(path)}",
                hint="remove the file in a RUN before, or copy to another place",
            )

    def _adopt_parents(self, path: bytes, owner: Owner) -> None:
        parts = path.split(b"/")[:-1]
        for depth in range(1, len(parts) + 1):
            parent = b"/".join(parts[:depth])
            if parent in self._new:
                continue
            known = self._below.lookup(parent)
            if known is not None and known.kind == DIR:
                self._put(replace(known, opaque=False, implied=False))
            else:
                self._need_no_other(parent)
                self._put(self._dir(parent, DIR_MODE, owner))

    def _dir(self, path: bytes, mode: int, owner: Owner) -> Entry:
        return Entry(path, DIR, mode, owner[0], owner[1], mtime=self.mtime)

    def _put(self, entry: Entry, content: Optional[OpenContent] = None) -> None:
        self._new[entry.path] = (entry, content)
