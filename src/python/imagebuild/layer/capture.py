"""Capture: a real directory tree, plain or an overlay's upper directory, becomes a layer, in one walk.

The tree is brought in line with the layer on the way (clamped times, times inside compiled Python), so that a step that runs
on the tree and one that runs on the extracted layer see the same.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Tuple, Union

from imagebuild.errors import HostError, MalformedError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import (
    ROOT,
    Entry,
    altered,
    join,
    plain_file,
    reject_reserved,
    shown,
)
from imagebuild.layer.pyc import PYCACHE, follow_source
from imagebuild.layer.writer import LayerWriter, clamped

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIR = _OPEN | os.O_DIRECTORY
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_UNEXPECTED = (
    "trusted.overlay.redirect",
    "trusted.overlay.metacopy",
    "user.overlay.redirect",
    "user.overlay.metacopy",
)
_KEPT = ("system.posix_acl_access", "system.posix_acl_default", "security.capability")
_DEFAULT_ROOT = Entry(ROOT, kinds.DIR, 0o755)

Listing = List[Tuple[bytes, os.stat_result]]
OpenFile = Union[int, str]  # a descriptor, or the path of one in /proc
LookUp = Callable[[bytes], Optional[Entry]]


@dataclass
class _Place:
    """A directory that is being walked.

    :param left: what is still to come, in reverse order.
    :param modules: mtimes before clamping of the Python sources in it.
    :param sources: the `modules` that its compiled files belong to: the parent's where this is a ``__pycache__``.
    """

    entry: Entry
    status: os.stat_result
    left: Listing
    modules: Mapping[bytes, int]
    sources: Mapping[bytes, int]


def capture_upper(
    upper: str,
    writer: LayerWriter,
    *,
    epoch: Optional[int],
    root: Entry = _DEFAULT_ROOT,
    below: LookUp = lambda _: None,
) -> None:
    """Add all of the tree `upper` to `writer` and normalise the tree in place. The caller finishes the writer.

    Overlay whiteouts and opaque directories become the layer's; hard links are found; sockets are removed; of xattrs,
    capabilities, ACLs and ``user.`` are kept.

    :param epoch: mtimes newer than this second become it, others lose their fraction; None keeps times as they are.
    :param root: what the root's metadata is without this layer; an entry for the root is written only where it differs.
    :param below: what is at a path without this layer; a socket in its place hides it.
    :raises MalformedError: for a file whose name means a whiteout, or an upper of an overlay with features we do not use.
    :raises StoreFullError: when there is no room for the layer.
    """
    fd = os.open(upper, _OPEN_DIR)
    _Capture(writer, epoch, fd, below).run(root)


class _Capture:
    """:ivar _fd: the innermost directory of the walk; no other is held open, so that depth costs no descriptors."""

    def __init__(self, writer: LayerWriter, epoch: Optional[int], fd: int, below: LookUp) -> None:
        self._fd = fd
        self._below = below
        self._writer = writer
        self._epoch = epoch
        self._first_names: Dict[Tuple[int, int], bytes] = {}

    def run(self, root: Entry) -> None:
        """Walk the tree and close its descriptor; `root` as in `capture_upper`."""
        try:
            status = os.fstat(self._fd)
            entry = self._entry(ROOT, kinds.DIR, status, self._fd)
            if _identity(entry) != _identity(root) or entry.opaque:
                self._writer.add(entry)
            stack = [_place(self._fd, entry, status, None)]
            while stack:
                if stack[-1].left:
                    self._visit(stack, *stack[-1].left.pop())
                else:
                    self._leave(stack)
        finally:
            os.close(self._fd)

    def _visit(self, stack: List[_Place], name: bytes, status: os.stat_result) -> None:
        place = stack[-1]
        path = join(place.entry.path, name)
        if stat.S_ISREG(status.st_mode):
            self._add_file(place, name, path, status)
        elif stat.S_ISDIR(status.st_mode):
            self._enter(stack, name, path, status)
        else:
            self._add_special(name, path, status)

    def _enter(self, stack: List[_Place], name: bytes, path: bytes, status: os.stat_result) -> None:
        reject_reserved(path)
        self._move(name)
        entry = self._entry(path, kinds.DIR, status, self._fd)
        sources = stack[-1].modules if name == PYCACHE else None
        stack.append(_place(self._fd, entry, status, sources))
        self._writer.add(entry)

    def _leave(self, stack: List[_Place]) -> None:
        done = stack.pop()
        if not stack:
            return
        self._clamp(self._fd, done.status, done.entry)
        self._move(b"..")
        if not os.path.samestat(stack[-1].status, os.fstat(self._fd)):
            raise HostError(f"{shown(done.entry.path)} was moved while it was captured")

    def _move(self, name: bytes) -> None:
        fd = os.open(name, _OPEN_DIR, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = fd

    def _add_file(self, place: _Place, name: bytes, path: bytes, status: os.stat_result) -> None:
        if status.st_nlink > 1 and self._is_another_name(path, status):
            return
        patchable = self._epoch is not None and name.endswith(b".pyc")
        fd = os.open(name, _OPEN | (os.O_RDWR if patchable else 0), dir_fd=self._fd)
        try:
            if patchable and self._epoch is not None:
                in_cache = place.entry.path.rpartition(b"/")[2] == PYCACHE
                follow_source(fd, name, in_cache=in_cache, sources=place.sources, epoch=self._epoch)
            entry = self._entry(path, kinds.FILE, status, fd)
            self._writer.add(entry, fd)
            if patchable:
                self._clamp(fd, status, entry)
            elif status.st_mtime_ns != entry.mtime:
                os.utime(fd, ns=(status.st_atime_ns, entry.mtime))
        finally:
            os.close(fd)

    def _is_another_name(self, path: bytes, status: os.stat_result) -> bool:
        """Has the file been met before? Then it is recorded as a hard link to its first name."""
        first = self._first_names.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            self._writer.add(Entry(path, kinds.HARDLINK, linkname=first))
        return first != path

    def _add_special(self, name: bytes, path: bytes, status: os.stat_result) -> None:
        kind = _special_kind(status)
        if kind is None:
            self._remove_socket(name, path)
            return
        if kind == kinds.CHAR and status.st_rdev == os.makedev(0, 0):
            self._writer.add(Entry(path, kinds.WHITEOUT))
            return
        if status.st_nlink > 1 and kind != kinds.SYMLINK and self._is_another_name(path, status):
            return
        if kind == kinds.SYMLINK:
            link = os.readlink(name, dir_fd=self._fd)
            entry = altered(self._entry(path, kind, status, None), linkname=link)
        else:
            entry = self._node(name, path, kind, status)
        self._writer.add(entry)
        if entry.mtime != status.st_mtime_ns:
            times = (entry.mtime, entry.mtime)
            os.utime(name, ns=times, dir_fd=self._fd, follow_symlinks=False)

    def _node(self, name: bytes, path: bytes, kind: str, status: os.stat_result) -> Entry:
        """A device or fifo; it can have an ACL, and opening it could wait or do something."""
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            entry = self._entry(path, kind, status, f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        if kind == kinds.FIFO:
            return entry
        device = os.major(status.st_rdev), os.minor(status.st_rdev)
        return altered(entry, dev_major=device[0], dev_minor=device[1])

    def _remove_socket(self, name: bytes, path: bytes) -> None:
        """It is of no use without the process behind it, and no tar can hold it; what it hides stays hidden."""
        os.unlink(name, dir_fd=self._fd)
        if self._below(path) is not None:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=self._fd)
            self._writer.add(Entry(path, kinds.WHITEOUT))

    def _entry(
        self, path: bytes, kind: str, status: os.stat_result, file: Optional[OpenFile]
    ) -> Entry:
        xattrs, opaque = _read_xattrs(file, path) if file is not None else ((), False)
        if kind == kinds.FILE and not xattrs:  # as most are
            mode, mtime = stat.S_IMODE(status.st_mode), self._mtime(status)
            return plain_file(path, mode, status.st_uid, status.st_gid, status.st_size, mtime)
        return Entry(
            path,
            kind,
            stat.S_IMODE(status.st_mode) if kind != kinds.SYMLINK else 0o777,
            status.st_uid,
            status.st_gid,
            status.st_size if kind == kinds.FILE else 0,
            self._mtime(status),
            xattrs=xattrs,
            opaque=opaque,
        )

    def _mtime(self, status: os.stat_result) -> int:
        mtime = status.st_mtime_ns
        return mtime if self._epoch is None else clamped(mtime, self._epoch)

    @staticmethod
    def _clamp(fd: int, status: os.stat_result, entry: Entry) -> None:
        if os.fstat(fd).st_mtime_ns != entry.mtime:
            os.utime(fd, ns=(status.st_atime_ns, entry.mtime))


def _listing(fd: int) -> Listing:
    """The names in the directory with their status, in the order of a layer."""
    names = sorted(os.fsencode(name) for name in os.listdir(fd))
    return [(name, os.stat(name, dir_fd=fd, follow_symlinks=False)) for name in names]


def _place(
    fd: int, entry: Entry, status: os.stat_result, sources: Optional[Mapping[bytes, int]]
) -> _Place:
    listing = _listing(fd)
    modules = {name: found.st_mtime_ns for name, found in listing if name.endswith(b".py")}
    listing.reverse()
    return _Place(entry, status, listing, modules, modules if sources is None else sources)


def _special_kind(status: os.stat_result) -> Optional[str]:
    kinds_by_type = {
        stat.S_IFLNK: kinds.SYMLINK,
        stat.S_IFCHR: kinds.CHAR,
        stat.S_IFBLK: kinds.BLOCK,
        stat.S_IFIFO: kinds.FIFO,
    }
    return kinds_by_type.get(stat.S_IFMT(status.st_mode))


def _read_xattrs(file: OpenFile, path: bytes) -> Tuple[Tuple[Tuple[str, bytes], ...], bool]:
    """(xattrs that a layer keeps, is the directory opaque)."""
    try:
        names = os.listxattr(file)
    except OSError:  # a file system without them
        return (), False
    if not names:
        return (), False
    odd = [name for name in names if name in _UNEXPECTED]
    if odd:
        raise MalformedError(
            f"{shown(path)} has the overlay attribute {odd[0]}",
            expected="an overlay mounted with redirect_dir=off,metacopy=off",
        )
    opaque = any(name in _OPAQUE and os.getxattr(file, name) == b"y" for name in names)
    kept = sorted(
        name
        for name in names
        if name in _KEPT or (name.startswith("user.") and not name.startswith("user.overlay."))
    )
    return tuple((name, os.getxattr(file, name)) for name in kept), opaque


def _identity(entry: Entry) -> Tuple[int, int, int, Tuple[Tuple[str, bytes], ...]]:
    return entry.mode, entry.uid, entry.gid, entry.xattrs
