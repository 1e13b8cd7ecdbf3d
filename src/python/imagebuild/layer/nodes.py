"""Creating the nodes of a file system: contents with their holes, symlinks, devices and fifos."""

from __future__ import annotations

import os
import stat
from typing import Iterable

from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry

PIECE = 1 << 18
_HOLE = 1 << 16
_ZEROS = bytes(_HOLE)
_DEVICE = {kinds.CHAR: stat.S_IFCHR, kinds.BLOCK: stat.S_IFBLK}


def write_content(fd: int, data: bytes, rest: Iterable[bytes], size: int) -> None:
    """Write `data` and then `rest`, `size` bytes in all, to the new file `fd`, runs of zeros as holes."""
    hole = _write_piece(fd, data)
    for piece in rest:
        hole = _write_piece(fd, piece)
    if hole:
        os.ftruncate(fd, size)


def _write_piece(fd: int, piece: bytes) -> bool:
    """Write one piece; tells whether it ended in a hole, so that the file's length is not yet set."""
    if len(piece) < _HOLE or _ZEROS not in (
        piece[:_HOLE],
        piece[-_HOLE:],
        piece[_HOLE : 2 * _HOLE],
    ):
        write_all(fd, piece)
        return False
    hole = False
    for at in range(0, len(piece), _HOLE):
        part = piece[at : at + _HOLE]
        hole = part == _ZEROS
        if hole:
            os.lseek(fd, _HOLE, os.SEEK_CUR)
        else:
            write_all(fd, part)
    return hole


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all of it is written."""
    written = os.write(fd, data) if data else 0
    while written < len(data):
        data = data[written:]
        written = os.write(fd, data)


def make_special(parent_fd: int, name: bytes, entry: Entry) -> None:
    """Make a symlink, device or fifo; its metadata comes later.

    :raises FileExistsError: when something stands there.
    """
    if entry.kind == kinds.SYMLINK:
        os.symlink(entry.linkname, name, dir_fd=parent_fd)
    elif entry.kind == kinds.FIFO:
        os.mkfifo(name, 0o600, dir_fd=parent_fd)
    else:
        device = os.makedev(entry.dev_major, entry.dev_minor)
        os.mknod(name, _DEVICE[entry.kind] | 0o600, device, dir_fd=parent_fd)
