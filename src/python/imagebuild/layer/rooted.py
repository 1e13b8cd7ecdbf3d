"""Opening directories inside a root that may hold hostile links: ``openat2(2)``, or a walk of our own where it is refused.

A path resolves as it would for a process whose root this is: absolute links start at the root and ".." stops there. The walk
never lets the kernel follow a link: each component is opened with O_NOFOLLOW from the descriptor of its parent.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional

from imagebuild.errors import UnsafePathError
from imagebuild.layer.entry import ROOT, shown
from imagebuild.layer.resolve import MAX_LINKS

_SYS_OPENAT2 = 437  # the same number on every architecture since Linux 5.6
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_PATH_MAX = 4096
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_STEP = _DIRECTORY | os.O_NOFOLLOW

Make = Callable[[int, bytes, bytes], None]


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class RootedDir:
    """A directory as the root of all look-ups. The descriptor stays its owner's.

    :param walk: never try openat2; tests use it to hold both ways to the same rules.
    """

    def __init__(self, fd: int, *, walk: bool = False) -> None:
        self.fd = fd
        self._syscall = None if walk else ctypes.CDLL(None, use_errno=True).syscall
        self._how = _OpenHow(_DIRECTORY, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)

    def open_dir(self, path: bytes, make: Optional[Make] = None) -> int:
        """An O_PATH descriptor of the directory that `path` leads to, links followed inside the root.

        :param make: called as ``make(parent_fd, name, path)`` for each missing component, to create it; without it a missing
            component is FileNotFoundError.
        :raises NotADirectoryError: when something else stands on the way.
        :raises UnsafePathError: for a loop of links.
        """
        fd = self._openat2(path)
        return fd if fd >= 0 else self._walk(path, make)

    def _openat2(self, path: bytes) -> int:
        """The descriptor, or -1 where the walk has to find out (or say what is wrong)."""
        if self._syscall is None or len(path) >= _PATH_MAX:
            return -1
        for _ in range(3):  # EAGAIN: something was renamed meanwhile
            fd = self._syscall(
                _SYS_OPENAT2, self.fd, path, ctypes.byref(self._how), ctypes.sizeof(self._how)
            )
            if fd >= 0:
                return int(fd)
            error = ctypes.get_errno()
            if error != errno.EAGAIN:
                break
        if error in (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG):
            self._syscall = (
                None  # an old kernel, or a container's seccomp profile: do not ask again
            )
        return -1

    def _walk(self, path: bytes, make: Optional[Make]) -> int:
        left = path.split(b"/")
        left.reverse()
        done: List[bytes] = []
        links = 0
        fd = os.open(".", _STEP, dir_fd=self.fd)
        try:
            while left:
                part = left.pop()
                if part in (b"", b"."):
                    continue
                if part == b"..":
                    del done[-1:]
                    fd = self._reopen(fd, done)
                    continue
                target = _link_at(fd, part)
                if target is None:
                    done.append(part)
                    fd = _descend(fd, part, make, b"/".join(done))
                    continue
                links += 1
                if links > MAX_LINKS:
                    raise UnsafePathError(
                        f"path {shown(path)} goes through more than {MAX_LINKS} symlinks"
                    )
                left.extend(reversed(target.split(b"/")))
                if target.startswith(b"/"):
                    done.clear()
                    fd = self._reopen(fd, done)
            return fd
        except BaseException:
            os.close(fd)
            raise

    def _reopen(self, fd: int, names: List[bytes]) -> int:
        """Replace `fd` by the directory at `names`, each of which was a real directory just now."""
        fresh = os.open(".", _STEP, dir_fd=self.fd)
        try:
            for name in names:
                fresh = _descend(fresh, name, None, name)
        except BaseException:
            os.close(fresh)
            raise
        os.close(fd)
        return fresh


def _link_at(fd: int, name: bytes) -> Optional[bytes]:
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _descend(fd: int, name: bytes, make: Optional[Make], path: bytes) -> int:
    """Open `name` in `fd`, which is closed when that works; links are not followed."""
    try:
        child = os.open(name, _STEP, dir_fd=fd)
    except FileNotFoundError:
        if make is None:
            raise
        make(fd, name, path)
        child = os.open(name, _STEP, dir_fd=fd)
    os.close(fd)
    return child


def open_leaf_dir(parent_fd: int, name: bytes) -> int:
    """A descriptor, fit for metadata, of the real directory `name` in `parent_fd`.

    :raises NotADirectoryError: (or OSError with ELOOP) when it is a link or anything else.
    """
    return os.open(
        name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd
    )


@contextmanager
def readable_dir(fd: int) -> Iterator[int]:
    """A descriptor fit for metadata and listing of the directory that `fd` (perhaps O_PATH) holds."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        yield readable
    finally:
        os.close(readable)


class ParentCache:
    """The descriptor of the last parent directory asked for: entries of one directory come in a row."""

    def __init__(self, root: RootedDir, make: Make) -> None:
        self._root, self._make = root, make
        self._path: Optional[bytes] = None
        self._fd = -1

    def open(self, path: bytes, *, create: bool = True) -> int:
        """The parent descriptor for an entry in directory `path`; it stays the cache's.

        :raises FileNotFoundError: when it is missing and `create` is false.
        """
        if path != self._path and not self._step_down(path):
            self.drop()
            self._fd = self._root.open_dir(
                b"." if path == ROOT else path, self._make if create else None
            )
            self._path = path
        return self._fd

    def _step_down(self, path: bytes) -> bool:
        """Go to a real directory in the present one without starting from the root again."""
        head, _, name = path.rpartition(b"/")
        if head != self._path or name in (b"", b".", b".."):
            return False
        try:
            fd = os.open(name, _STEP, dir_fd=self._fd)
        except OSError:  # missing, a link, or something else: for the whole walk to find out
            return False
        os.close(self._fd)
        self._path, self._fd = path, fd
        return True

    def drop(self) -> None:
        """Forget it: something that may be on its path has been replaced."""
        if self._path is not None:
            os.close(self._fd)
        self._path, self._fd = None, -1
