"""Find what changed in a directory tree by comparing metadata, and move it out in overlayfs format.

No content is read: any write, chmod, chown, xattr or link changes the inode's ctime, which nothing but the kernel's
clock sets (an mtime can be set back, so it is not enough). A file that was replaced has another inode number.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import AbstractSet, Dict, List, Tuple

from imagebuild.snapshot.copying import copy_metadata

#: mode, owner, group, size, device number, inode, ctime and mtime in nanoseconds.
Fingerprint = Tuple[int, int, int, int, int, int, int, int]
_MODE, _CTIME = 0, 6


@dataclass(frozen=True)
class Snapshot:
    """The metadata of a tree: directory path relative to its root (b"" is the root) -> name -> fingerprint."""

    directories: Dict[bytes, Dict[bytes, Fingerprint]]
    newest_ctime: int


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_rdev,
        status.st_ino,
        status.st_ctime_ns,
        status.st_mtime_ns,
    )


def _scan(directory: bytes) -> Dict[bytes, Fingerprint]:
    with os.scandir(directory) as entries:
        return {e.name: _fingerprint(e.stat(follow_symlinks=False)) for e in entries}


def _is_directory(fingerprint: Fingerprint) -> bool:
    return stat.S_ISDIR(fingerprint[_MODE])


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def take(root: str) -> Snapshot:
    """The metadata of everything below ``root``."""
    base = os.fsencode(root)
    directories: Dict[bytes, Dict[bytes, Fingerprint]] = {}
    pending, newest = [b""], 0
    while pending:
        path = pending.pop()
        found = directories[path] = _scan(_join(base, path))
        for name, fingerprint in found.items():
            newest = max(newest, fingerprint[_CTIME])
            if _is_directory(fingerprint):
                pending.append(_join(path, name))
    return Snapshot(directories, newest)


def settle(snapshot: Snapshot, scratch: str) -> None:
    """Wait (some milliseconds) until a change would get a later ctime than anything in the snapshot has.

    The kernel stamps files with a clock that moves once per tick: a file changed in the tick in which it was copied
    would look untouched.

    :param scratch: a path on the same filesystem where a file can be made.
    """
    fd = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            os.fchmod(fd, 0o600)
            if os.fstat(fd).st_ctime_ns > snapshot.newest_ctime:
                return
            time.sleep(0.001)
    finally:
        os.close(fd)
        os.unlink(scratch)


def move_changes(root: str, before: Snapshot, upper: str, ignored: AbstractSet[bytes]) -> None:
    """Move what is not as in ``before`` from ``root`` to the empty directory ``upper``, in overlayfs format.

    Removed entries become whiteouts (0:0 character devices). ``root`` is spent afterwards.

    :param ignored: paths relative to the root, without a leading slash, whose changes are left behind.
    """
    _Move(os.fsencode(root), os.fsencode(upper), before, ignored).run()


class _Move:
    """The state of one `move_changes`."""

    def __init__(
        self, root: bytes, upper: bytes, before: Snapshot, ignored: AbstractSet[bytes]
    ) -> None:
        self.root, self.upper, self.before, self.ignored = root, upper, before, ignored
        self.made: Dict[bytes, None] = {b"": None}  # directories of upper, parents first

    def run(self) -> None:
        pending = [b""]
        while pending:
            pending += self._directory(pending.pop())
        for path in reversed(list(self.made)):  # children change their parent's times
            copy_metadata(_join(self.root, path), _join(self.upper, path))

    def _directory(self, path: bytes) -> List[bytes]:
        """Handle a directory that was one before as well; the directories to descend into."""
        former = self.before.directories.get(path, {})
        present = _scan(_join(self.root, path))
        # a moved child changes its parent's times before they are copied: note them first
        times = os.lstat(_join(self.root, path))
        descend = []
        for name, fingerprint in present.items():
            child, old = _join(path, name), former.get(name)
            if child in self.ignored:
                continue
            if old is None or (old != fingerprint and not (_both_directories(old, fingerprint))):
                self._take(path, child)
            elif _is_directory(fingerprint):
                descend.append(child)
                if old != fingerprint:
                    self._make(child)
        for name in former.keys() - present.keys():
            if _join(path, name) not in self.ignored:
                self._make(path)
                os.mknod(_join(self.upper, _join(path, name)), stat.S_IFCHR, os.makedev(0, 0))
        os.utime(_join(self.root, path), ns=(times.st_atime_ns, times.st_mtime_ns))
        return descend

    def _take(self, parent: bytes, child: bytes) -> None:
        self._make(parent)
        os.rename(_join(self.root, child), _join(self.upper, child))

    def _make(self, path: bytes) -> None:
        """Have ``path`` in upper; its metadata is copied at the end."""
        missing = []
        while path not in self.made:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for one in reversed(missing):
            os.mkdir(_join(self.upper, one), 0o700)
            self.made[one] = None


def _both_directories(old: Fingerprint, new: Fingerprint) -> bool:
    return _is_directory(old) and _is_directory(new)
