"""Finding what lower layers hold, in their extracted directories: for parents a layer implies and links into lower layers."""

from __future__ import annotations

import errno
import os
import stat
from typing import Optional, Sequence

from imagebuild.layer.entry import ROOT
from imagebuild.layer.metadata import OPAQUE_XATTR

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_in_lower(lower: Sequence[str], path: bytes) -> Optional[int]:
    """A read-only descriptor of the file or directory that stands at `path` in the layers `lower` (topmost first), or None.

    Whiteouts and opaque directories are honoured; links are never followed.
    """
    for directory in lower:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        covered = False
        try:
            for part in path.split(b"/") if path != ROOT else ():
                covered = covered or _is_opaque(fd)
                fd = _step(fd, part)
            return _reopen(fd)
        except FileNotFoundError:
            if covered or _is_opaque(fd):
                return None
        except NotADirectoryError:  # a whiteout, a link or a file: nothing below shows
            return None
        finally:
            os.close(fd)
    return None


def _step(fd: int, name: bytes) -> int:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a directory")
    child = os.open(name, _STEP, dir_fd=fd)
    os.close(fd)
    return child


def _reopen(fd: int) -> Optional[int]:
    """A readable descriptor of a regular file or directory held by its O_PATH one."""
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return None
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(f"/proc/self/fd/{fd}", OPAQUE_XATTR) == b"y"
    except OSError:
        return False
