"""The state of one extraction: see `extract` for what it promises."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Dict, Iterable, Sequence, Set, Tuple

from imagebuild.errors import MalformedError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import ROOT, Entry, is_under, order_key, parent_of, shown
from imagebuild.layer.index import LayerIndex
from imagebuild.layer.index_builder import IMPLIED_MODE, IndexBuilder
from imagebuild.layer.metadata import (
    clear_xattrs,
    finish_node,
    finish_symlink,
    own_by_root,
    set_owner_and_mode,
    set_times,
    set_xattrs,
)
from imagebuild.layer.new_files import NewFiles
from imagebuild.layer.nodes import make_special, write_content
from imagebuild.layer.removal import prune, prune_children, remove
from imagebuild.layer.rooted import ParentCache, RootedDir, open_leaf_dir, readable_dir
from imagebuild.layer.settle import copy_foreign, mark_deletions, settle_implied, settle_root


class Extraction:
    """Takes entries with `add` and `add_file` in the order of the tar, then `finish`.

    :ivar directories: those whose attributes and times are set at the end.
    """

    def __init__(self, root_fd: int, *, onto_existing: bool, walk: bool) -> None:
        self._root_fd = root_fd
        self._apply = onto_existing
        self._parents = ParentCache(RootedDir(root_fd, walk=walk), self._make_implied)
        self._files = NewFiles(bare=not onto_existing)
        self.directories: Dict[bytes, Entry] = {}
        self._mine: Set[
            Tuple[int, int]
        ] = set()  # (device, inode) of what this layer made; only kept where it decides

    def add(self, entry: Entry) -> None:
        """Put one entry that is no regular file in its place."""
        self._files.forget()
        if entry.kind in (kinds.WHITEOUT, kinds.OPAQUE):
            if self._apply:
                self._delete_lower(entry)
            return
        head, _, name = entry.path.rpartition(b"/")
        parent_fd = self._parents.open(head or ROOT)
        if entry.kind == kinds.DIR:
            self._add_directory(parent_fd, name, entry)
        elif entry.kind == kinds.HARDLINK:
            self._add_hard_link(name, entry)
        else:
            self._add_special(parent_fd, name, entry)
        self._note(entry, name)

    def add_file(self, entry: Entry, data: bytes, rest: Iterable[bytes]) -> None:
        """Put a regular file in its place."""
        head, _, name = entry.path.rpartition(b"/")
        self._files.enter(head)
        parent_fd = self._parents.open(head or ROOT)
        try:
            fd, settled = self._files.create(parent_fd, name, entry)
        except FileExistsError:
            parent_fd = self._clear(name, entry)
            fd, settled = self._files.create(parent_fd, name, entry)
        try:
            write_content(fd, data, rest, entry.size)
            if not settled:
                set_owner_and_mode(fd, entry)
            if self._apply:
                clear_xattrs(fd)
            if entry.xattrs:
                set_xattrs(fd, entry.xattrs)
            set_times(fd, entry.mtime)
            if self._apply:
                self._note_status(os.fstat(fd))
        finally:
            os.close(fd)

    def finish(self, builder: IndexBuilder, lower: Sequence[str]) -> LayerIndex:
        """Do what has to wait for the whole layer: foreign links, implied directories, whiteouts, times of directories.

        :param builder: all entries have been added to it.
        """
        if not self._apply:
            copy_foreign(self._parents, builder.foreign_links(), lower)
        index = builder.build()
        if not self._apply:
            if builder.deletes:  # else there is nothing to look for in all of the index
                mark_deletions(self._parents, index)
            for path in settle_implied(self._parents, builder.implied_directories(), index, lower):
                self.directories.pop(path, None)
        for path in sorted(self.directories, key=order_key):
            self._finish_directory(path, self.directories[path])
        if not self._apply:
            settle_root(self._root_fd, index, lower)
        return index

    def close(self) -> None:
        """Give up descriptors."""
        self._parents.drop()

    def _add_directory(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        if entry.path == ROOT:
            set_owner_and_mode(self._root_fd, entry)
        else:
            try:
                os.mkdir(name, 0o700, dir_fd=parent_fd)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
                    parent_fd = self._clear(name, entry)
                    os.mkdir(name, 0o700, dir_fd=parent_fd)
            fd = open_leaf_dir(parent_fd, name)
            try:
                set_owner_and_mode(fd, entry)
            finally:
                os.close(fd)
        # Default ACLs would be inherited by what comes below, and times would move: both wait until the end.
        self.directories[entry.path] = entry

    def _add_special(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        try:
            make_special(parent_fd, name, entry)
        except FileExistsError:
            parent_fd = self._clear(name, entry)
            make_special(parent_fd, name, entry)
        if entry.kind == kinds.SYMLINK:
            finish_symlink(parent_fd, entry, name)
        else:
            finish_node(parent_fd, entry, name)

    def _add_hard_link(self, name: bytes, entry: Entry) -> None:
        """The target's parents are followed, the target itself is not; its metadata stays (CVE-2021-32760)."""
        head, _, target = entry.linkname.rpartition(b"/")
        if entry.foreign and not self._apply:
            self._make_way(name, entry)
            return
        source_fd = os.dup(self._parents.open(head or ROOT))
        try:
            parent_fd = self._parents.open(parent_of(entry.path))
            self._link(source_fd, target, parent_fd, name, entry)
        except FileNotFoundError:
            raise MalformedError(
                f"layer entry {shown(entry.path)} is a hard link to {shown(entry.linkname)}, which does not exist"
            ) from None
        finally:
            os.close(source_fd)

    def _link(
        self, source_fd: int, target: bytes, parent_fd: int, name: bytes, entry: Entry
    ) -> None:
        source = os.stat(target, dir_fd=source_fd, follow_symlinks=False)
        if stat.S_ISDIR(source.st_mode):
            raise MalformedError(f"layer entry {shown(entry.path)} is a hard link to a directory")
        try:
            os.link(target, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except FileExistsError:
            present = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if (present.st_dev, present.st_ino) == (source.st_dev, source.st_ino):
                return
            parent_fd = self._clear(name, entry)
            os.link(target, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)

    def _clear(self, name: bytes, entry: Entry) -> int:
        """Remove what stands where `entry` goes; gives the parent's descriptor anew."""
        if entry.path == ROOT:
            raise OSError(errno.EISDIR, "the root cannot be replaced")
        self._files.forget()
        remove(self._parents.open(parent_of(entry.path)), name)
        self._parents.drop()
        if entry.path in self.directories:
            self.directories = {
                path: kept
                for path, kept in self.directories.items()
                if not is_under(path, entry.path)
            }
        return self._parents.open(parent_of(entry.path))

    def _make_way(self, name: bytes, entry: Entry) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._clear(name, entry)

    def _make_implied(self, parent_fd: int, name: bytes, path: bytes) -> None:
        os.mkdir(name, IMPLIED_MODE, dir_fd=parent_fd)
        fd = open_leaf_dir(parent_fd, name)
        try:
            own_by_root(fd, IMPLIED_MODE)
        finally:
            os.close(fd)
        self.directories.setdefault(path, Entry(path, kinds.DIR, IMPLIED_MODE, implied=True))

    def _note(self, entry: Entry, name: bytes) -> None:
        if self._apply and entry.path != ROOT:
            parent_fd = self._parents.open(parent_of(entry.path))
            self._note_status(os.stat(name, dir_fd=parent_fd, follow_symlinks=False))

    def _note_status(self, status: os.stat_result) -> None:
        self._mine.add((status.st_dev, status.st_ino))

    def _is_mine(self, status: os.stat_result) -> bool:
        return (status.st_dev, status.st_ino) in self._mine

    def _delete_lower(self, entry: Entry) -> None:
        """Apply a whiteout: it concerns lower layers only, wherever in the tar it stands (layer.md, "Whiteouts")."""
        directory = entry.path if entry.kind == kinds.OPAQUE else parent_of(entry.path)
        try:
            fd = self._parents.open(directory, create=False)
        except (FileNotFoundError, NotADirectoryError):
            return  # nothing there, nothing to delete
        if entry.kind == kinds.WHITEOUT:
            prune(fd, entry.path.rpartition(b"/")[2], self._is_mine)
        else:
            with readable_dir(fd) as readable:
                prune_children(readable, self._is_mine)
        self._parents.drop()

    def _finish_directory(self, path: bytes, entry: Entry) -> None:
        try:
            with readable_dir(
                self._root_fd if path == ROOT else self._parents.open(path, create=False)
            ) as fd:
                if self._apply:
                    clear_xattrs(fd)
                set_xattrs(fd, entry.xattrs)
                set_times(fd, entry.mtime)
        except (FileNotFoundError, NotADirectoryError):
            return  # something else took its place later in the layer
