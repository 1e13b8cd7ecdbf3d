"""Byte sources: anything with ``read(count)`` that gives between 1 and `count` bytes, and b"" at the end."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Optional, Protocol, Union

from imagebuild.oci.hash import Hash

if TYPE_CHECKING:
    import queue
    import threading

CHUNK = 1 << 20
_DEPTH = 4
_TURN = 0.0005


class ByteSource(Protocol):
    """A stream to read from."""

    def read(self, count: int, /) -> bytes:
        ...


class ByteSink(Protocol):
    """A stream to write to; `write` takes all that it is given."""

    def write(self, data: bytes, /) -> object:
        ...


class PushedBack:
    """`head` and then the rest of `source`."""

    def __init__(self, head: bytes, source: ByteSource) -> None:
        self._head = head
        self._source = source

    def read(self, count: int) -> bytes:
        if self._head:
            data, self._head = self._head[:count], self._head[count:]
            return data
        return self._source.read(count)


class Hashing:
    """Passes bytes through and knows their sha256 and number; what it has read is what it has hashed."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._sha256 = hashlib.sha256()
        self.size = 0

    def read(self, count: int) -> bytes:
        data = self._source.read(count)
        self._sha256.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> Hash:
        return Hash(self._sha256.hexdigest())


class ReadAhead:
    """Reads `source` on a thread of its own, a few chunks ahead, so that decompression and hashing overlap with use.

    The thread starts when a second chunk is asked for: a small stream needs none. Whoever stops early calls `close`.
    """

    def __init__(self, source: ByteSource) -> None:
        import queue
        import threading

        self._source = source
        self._empty = queue.Empty
        self._new_thread = threading.Thread
        self._chunks: queue.Queue[Union[bytes, BaseException]] = queue.Queue(_DEPTH)
        self._thread: Optional[threading.Thread] = None
        self._turn = 0.0
        self._reads = 0
        self._rest = b""
        self._ended = False
        self._closed = threading.Event()

    def read(self, count: int) -> bytes:
        if not self._rest and not self._ended:
            self._rest = self._next()
            self._ended = not self._rest
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def _next(self) -> bytes:
        self._reads += 1
        if self._reads == 1:
            return self._source.read(CHUNK)
        if self._thread is None:
            self._thread = self._new_thread(target=self._run, daemon=True)
            # The thread needs the interpreter for moments only, and by default waits up to 5 ms for each.
            self._turn = sys.getswitchinterval()
            sys.setswitchinterval(_TURN)
            self._thread.start()
        item = self._chunks.get()
        if isinstance(item, BaseException):
            self._ended = True
            raise item
        return item

    def _run(self) -> None:
        try:
            data = b"-"
            while data and not self._closed.is_set():
                data = self._source.read(CHUNK)
                self._chunks.put(data)
        except BaseException as error:  # handed to the reader, whose thread it concerns
            self._chunks.put(error)

    def close(self) -> None:
        """Stop the thread and wait for it; nothing reads `source` afterwards."""
        self._closed.set()
        while self._thread is not None and self._thread.is_alive():
            try:
                self._chunks.get(timeout=0.01)
            except self._empty:
                continue
        if self._turn:
            sys.setswitchinterval(self._turn)
        self._turn = 0.0
        self._ended = True
