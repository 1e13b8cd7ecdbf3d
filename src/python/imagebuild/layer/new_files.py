"""Making the regular files of an extraction, with no system call more than each needs."""

from __future__ import annotations

import os
import stat
from typing import Dict, Tuple

from imagebuild.layer.entry import Entry

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE = 0o600


class NewFiles:
    """Makes files in one directory after the other.

    :param bare: nothing but this extraction has a say in the tree, so that open(2) may give files their owner and mode.
    """

    def __init__(self, *, bare: bool) -> None:
        self._bare = bare
        self._uid, self._gid = os.geteuid(), os.getegid()
        self._given: Dict[int, bool] = {}
        self._directory = b""

    def enter(self, directory: bytes) -> None:
        """The next files are made in this one."""
        if directory != self._directory:
            self._directory = directory
            self._given.clear()

    def forget(self) -> None:
        """Something else than a file has been made: what was seen of the directory may hold no more."""
        self._given.clear()

    def create(self, parent_fd: int, name: bytes, entry: Entry) -> Tuple[int, bool]:
        """A new file that is open for writing, and whether it has its owner and mode already.

        open(2) gives them unless a setgid parent, a mount option, a default ACL or the umask interferes. None of that is inferred:
        the first file of each mode in a directory is looked at, and speaks for those that follow it in a row. The mode shows
        nobody more than the finished file will; all else is private until its owner is set, and setuid always comes after that.

        :raises FileExistsError: when something stands there.
        """
        mode = entry.mode
        if not self._bare or mode > 0o777 or entry.uid != self._uid or entry.gid != self._gid:
            return os.open(name, _CREATE, _PRIVATE, dir_fd=parent_fd), False
        fd = os.open(name, _CREATE, mode, dir_fd=parent_fd)
        given = self._given.get(mode)
        if given:
            return fd, True
        try:
            status = os.fstat(fd)
            given = (status.st_uid, status.st_gid) == (self._uid, self._gid)
            given = given and stat.S_IMODE(status.st_mode) == mode
            self._given[mode] = given
            if not given:
                os.fchmod(fd, _PRIVATE)
        except BaseException:
            os.close(fd)
            raise
        return fd, given
