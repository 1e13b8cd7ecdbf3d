"""The content of one entry of a tar."""

from __future__ import annotations

from typing import Optional

from imagebuild.errors import MalformedError
from imagebuild.layer.sparse import Expanded, SparseMap
from imagebuild.layer.streams import ByteSource
from imagebuild.layer.tape import Tape


class Content:
    """The bytes of one entry; what is not read is skipped."""

    __slots__ = ("_tape", "_left", "_expanded")

    def __init__(self, tape: Tape, stored: int) -> None:
        self._tape, self._left = tape, stored
        self._expanded: Optional[ByteSource] = None

    def read(self, count: int) -> bytes:
        """Between 1 and `count` bytes, b"" at the end.

        :raises MalformedError: when the stream ends before.
        """
        if self._expanded is not None:
            return self._expanded.read(count)
        return self.take(count)

    def expand(self, sparse: SparseMap) -> None:
        self._expanded = Expanded(_Run(self), sparse)

    def take(self, count: int) -> bytes:
        data = self._tape.read(min(count, self._left))
        if not data and self._left and count:
            raise MalformedError(
                "the tar stream ends in the middle of a file", hint="fetch or build the layer again"
            )
        self._left -= len(data)
        return data

    def finish(self, padding: int = 0) -> None:
        """Skip what was not read, and so many bytes more."""
        self._tape.skip(self._left + padding)
        self._left = 0


class Held:
    """The bytes of an entry that have been read already."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, count: int) -> bytes:
        """Like `Content`."""
        data = self._data
        if count >= len(data):
            self._data = b""
            return data
        self._data = data[count:]
        return data[:count]


class _Run:
    def __init__(self, content: Content) -> None:
        self._content = content

    def read(self, count: int) -> bytes:
        return self._content.take(count)
