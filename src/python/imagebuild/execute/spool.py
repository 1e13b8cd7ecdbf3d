"""Contents that arrive before their place in a layer is known, on disk rather than in memory."""

from __future__ import annotations

import io
import os
import tempfile
from typing import BinaryIO, Optional

from imagebuild.layer.streams import ByteSource

_PIECE = 1 << 18
_ZEROS = bytes(_PIECE)


class Spool:
    """One file without a name, made when it is first written to; its bytes go when the process does, or at `close`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file: Optional[BinaryIO] = None
        self._end = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, content: ByteSource) -> int:
        """Write all of `content` behind what is there, runs of zeros as holes; gives its offset."""
        start, fd, hole = self._end, self._fd(), False
        while True:
            piece = content.read(_PIECE)
            if not piece:
                break
            hole = piece == _ZEROS[: len(piece)]
            if not hole:
                _write_at(fd, piece, self._end)
            self._end += len(piece)
        if hole:
            os.ftruncate(fd, self._end)
        return start

    def open(self, offset: int, size: int) -> BinaryIO:
        """The `size` bytes at `offset`."""
        return _Part(self._fd(), offset, size)

    def _fd(self) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)
        return self._file.fileno()


def _write_at(fd: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


class _Part(io.RawIOBase, BinaryIO):
    """A part of a file, read from its start to its end."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        super().__init__()
        self._fd, self._at, self._end = fd, offset, offset + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        return data
