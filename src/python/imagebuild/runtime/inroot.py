"""Resolve a path inside a root directory, the way a process that was chrooted there would.

Symbolic links are followed as text and never lead out of the root: an absolute target starts at the root again, ".."
stops at it. Descriptors are held at every step, so that nothing is looked up twice. It works where openat2 does not
exist or is filtered. The caller makes sure that nobody else changes the tree meanwhile (it is in no other mount
namespace), or uses only the descriptors.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import List, Tuple

_MAX_LINKS = 40  # as the kernel


@dataclass(frozen=True)
class Resolved:
    """Where a path leads.

    :param fd: O_PATH descriptor of the deepest part that exists; the caller closes it.
    :param found: the names from the root to ``fd``, without links.
    :param missing: the names behind it that do not exist; () where the path exists.
    """

    fd: int
    found: Tuple[str, ...]
    missing: Tuple[str, ...] = ()


def _names(path: str) -> List[str]:
    """The components of a path, last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


class _Walk:
    """The directories from the root down to where we are."""

    def __init__(self, root_fd: int) -> None:
        self.fds = [os.dup(root_fd)]
        self.names: List[str] = []

    def up(self, to: int) -> None:
        while len(self.fds) > max(to, 1):
            os.close(self.fds.pop())
            self.names.pop()

    def down(self, name: str) -> None:
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        self.fds.append(os.open(name, flags, dir_fd=self.fds[-1]))
        self.names.append(name)

    def finish(self, missing: List[str]) -> Resolved:
        fd = self.fds.pop()
        found = tuple(self.names)
        self.close()
        return Resolved(fd, found, tuple(missing))

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = []


def resolve(root_fd: int, path: str, *, follow_last: bool = True) -> Resolved:
    """Resolve ``path`` in the directory ``root_fd``.

    :param follow_last: False stops at a symbolic link in the last place instead of following it.
    :raises OSError: ELOOP after 40 links, ENOTDIR where a file stands in the way, ENOENT for ".." behind a missing part.
    """
    walk = _Walk(root_fd)
    try:
        return _resolve(walk, _names(path), follow_last)
    except BaseException:
        walk.close()
        raise


def _resolve(walk: _Walk, todo: List[str], follow_last: bool) -> Resolved:
    links = 0
    while todo:
        name = todo.pop()
        if name == "..":
            walk.up(len(walk.fds) - 1)
            continue
        try:
            mode = os.stat(name, dir_fd=walk.fds[-1], follow_symlinks=False).st_mode
        except FileNotFoundError:
            missing = [name, *reversed(todo)]
            if ".." in missing:
                raise
            return walk.finish(missing)
        if stat.S_ISLNK(mode) and (todo or follow_last):
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
            target = os.readlink(name, dir_fd=walk.fds[-1])
            if target.startswith("/"):
                walk.up(1)
            todo += _names(target)
            continue
        if todo and not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        walk.down(name)
    return walk.finish([])
