"""Exact reads from a byte source, in blocks and runs, without copying more than once."""

from __future__ import annotations

from typing import Optional

from imagebuild.errors import MalformedError
from imagebuild.layer.streams import CHUNK, ByteSource


class Tape:
    """A forward-only reader that knows its position."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0

    def read(self, count: int) -> bytes:
        """Between 1 and `count` bytes, b"" at the end."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._source.read(CHUNK), 0
        data = self._buffer[self._at : self._at + count]
        self._at += len(data)
        return data

    def at_hand(self, count: int, padding: int) -> Optional[bytes]:
        """`count` bytes, and `padding` skipped, where the buffer holds all of it; else nothing is read."""
        end = self._at + count
        if end + padding > len(self._buffer):
            return None
        data = self._buffer[self._at : end]
        self._at = end + padding
        return data

    def exactly(self, count: int) -> bytes:
        """`count` bytes.

        :raises MalformedError: when the stream ends before.
        """
        end = self._at + count
        if end <= len(self._buffer):
            data = self._buffer[self._at : end]
            self._at = end
            return data
        pieces = []
        while count:
            piece = self.read(count)
            if not piece:
                raise _ends_early()
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def block_or_end(self, size: int) -> bytes:
        """One block of `size` bytes, or b"" when the stream ends right here."""
        end = self._at + size
        if end <= len(self._buffer):
            block = self._buffer[self._at : end]
            self._at = end
            return block
        first = self.read(size)
        return first + self.exactly(size - len(first)) if first else first

    def skip(self, count: int) -> None:
        """Move on by `count` bytes.

        :raises MalformedError: when the stream ends before.
        """
        end = self._at + count
        if end <= len(self._buffer):
            self._at = end
            return
        while count:
            piece = self.read(count)
            if not piece:
                raise _ends_early()
            count -= len(piece)


def _ends_early() -> MalformedError:
    return MalformedError(
        "the tar stream ends in the middle of an entry", hint="fetch or build the layer again"
    )
