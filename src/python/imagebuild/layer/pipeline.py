"""tar bytes -> sha256 -> compression -> sha256 -> file, on threads, in constant memory.

hashlib, isal, zlib and zstandard let go of the interpreter's lock on large pieces, so the stages run side by side where there
are cores for them. A layer that fits into one piece starts no thread.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Callable, List, Optional

from imagebuild.layer.compression import Compressor
from imagebuild.layer.streams import ByteSink
from imagebuild.oci.hash import Hash

if TYPE_CHECKING:
    import queue

PIECE = 1 << 20
"""Bytes that are worth the way to another thread."""
_DEPTH = 4


class LayerPipeline:
    """`write` takes tar bytes; after `close`, the digests and sizes are known."""

    def __init__(self, out: ByteSink, compressor: Compressor) -> None:
        self._out, self._compressor = out, compressor
        self._tar_sha256, self._blob_sha256 = hashlib.sha256(), hashlib.sha256()
        self._pending: List[bytes] = []
        self._pending_size = 0
        self._workers: List[Worker] = []
        self.tar_size = 0
        self.blob_size = 0

    def write(self, data: bytes) -> None:
        """Take tar bytes; errors of the stages behind come up here or in `close`."""
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= PIECE:
            self._send()

    def close(self) -> None:
        """Finish all stages.

        :raises OSError: when writing failed.
        """
        if self._workers:
            self._send()
            *others, last = self._workers
            for worker in others:
                worker.join()
            self._emit(self._compressor.flush())
            last.join()
        else:
            piece = self._take()
            self._tar_sha256.update(piece)
            self._compress(piece)
            self._emit(self._compressor.flush())

    def abort(self) -> None:
        """Stop the threads; nothing more is written."""
        for worker in self._workers:
            worker.stop()
        self._workers = []

    @property
    def diff_id(self) -> Hash:
        return Hash(self._tar_sha256.hexdigest())

    @property
    def digest(self) -> Hash:
        return Hash(self._blob_sha256.hexdigest())

    def _take(self) -> bytes:
        piece = b"".join(self._pending)
        self._pending, self._pending_size = [], 0
        self.tar_size += len(piece)
        return piece

    def _send(self) -> None:
        if not self._workers:
            work = (self._tar_sha256.update, self._compress, self._store)
            self._workers = [Worker(each) for each in work]
        piece = self._take()
        for worker in self._workers[:-1]:
            worker.put(piece)

    def _compress(self, piece: bytes) -> None:
        self._emit(self._compressor.compress(piece))

    def _emit(self, data: bytes) -> None:
        if data and self._workers:
            self._workers[-1].put(data)
        elif data:
            self._store(data)

    def _store(self, data: bytes) -> None:
        self._blob_sha256.update(data)
        self._out.write(data)
        self.blob_size += len(data)


class Worker:
    """Calls `work` for each piece, in order, on a thread of its own; as a context, until its end."""

    def __init__(self, work: Callable[[bytes], None]) -> None:
        import queue
        import threading

        self._work = work
        self._queue: queue.Queue[Optional[bytes]] = queue.Queue(_DEPTH)
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """:raises BaseException: what `work` raised, where the context itself ends well."""
        (self.join if kind is None else self.stop)()

    def put(self, piece: bytes) -> None:
        """Have it worked on; an error of a piece before comes up here or in `join`."""
        if self._error is not None:
            raise self._error
        self._queue.put(piece)

    def join(self) -> None:
        """Wait until all is done."""
        self.stop()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the thread, whatever becomes of the work."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            piece = self._queue.get()
            if piece is None:
                return
            if self._error is None:
                try:
                    self._work(piece)
                except BaseException as error:  # handed to the writer, whose thread it concerns
                    self._error = error
