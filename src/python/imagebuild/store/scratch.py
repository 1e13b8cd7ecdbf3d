"""Temporary files and directories that are held by a lock for as long as their process lives.

What a killed process leaves behind is not locked any more, so the next one that starts removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from typing import BinaryIO, Iterator

from imagebuild.layer.removal import remove_path

WORK = "work"
"""The directory of a store for what lasts as long as a process."""

_counter = itertools.count()


class Scratch:
    """A directory for temporary things of many processes."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextlib.contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """A new empty file, locked; unless it has been renamed it is gone afterwards."""
        while True:
            path = self._name()
            with open(path, "x+b") as file:
                if not _try_lock(file.fileno()) or os.fstat(file.fileno()).st_nlink == 0:
                    continue  # somebody cleaned up between our two calls
                try:
                    yield file
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
                return

    @contextlib.contextmanager
    def directory(self) -> Iterator[str]:
        """The path of a new empty directory (0700); what is still in it is removed afterwards."""
        with self.file() as lock:
            path = lock.name + ".d"
            os.mkdir(path, 0o700)
            try:
                yield path
            finally:
                remove_path(path)

    def clean(self) -> None:
        """Remove what dead processes left."""
        names = os.listdir(self.path)
        for name in names:
            if not name.endswith(".d"):
                self._remove_if_dead(name)
        for name in names:
            if name.endswith(".d") and not os.path.exists(os.path.join(self.path, name[:-2])):
                remove_path(os.path.join(self.path, name))

    def _remove_if_dead(self, name: str) -> None:
        path = os.path.join(self.path, name)
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if _try_lock(fd):
                    remove_path(path + ".d")
                    os.unlink(path)
            finally:
                os.close(fd)

    def _name(self) -> str:
        return os.path.join(self.path, f"{os.getpid()}-{os.urandom(6).hex()}-{next(_counter)}")


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever has it; it ends with its process, however that dies."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
