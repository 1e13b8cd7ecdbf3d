"""The layer writer: deterministic tar, digests, compression and index, in one pass over the bytes."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from dataclasses import dataclass
from typing import Callable, Iterable, List, Optional, Tuple, Union

from imagebuild.errors import MalformedError, StoreFullError
from imagebuild.layer import entry as kinds
from imagebuild.layer.compression import MEDIA_TYPES, compressor
from imagebuild.layer.entry import Entry, altered, order_key, reject_reserved, shown
from imagebuild.layer.header import END_OF_ARCHIVE, encode_header, padding
from imagebuild.layer.index import MAX_TEXT, TEXT_PATHS, LayerIndex
from imagebuild.layer.index_builder import IndexBuilder
from imagebuild.layer.pipeline import PIECE, LayerPipeline, Worker
from imagebuild.layer.streams import ByteSink, ByteSource
from imagebuild.oci.descriptor import Descriptor, Layer

_LARGE = 4 * PIECE
"""Bytes of a file that is hashed on a thread of its own."""

ContentSource = Union[ByteSource, int, bytes, None]


@dataclass(frozen=True)
class WrittenLayer:
    """A layer that has been written: its names, its index, and the size of its tar."""

    layer: Layer
    index: LayerIndex
    tar_size: int


class LayerWriter:
    """Takes entries in `order_key` order, each path once, and writes the compressed layer to `out`.

    Equal entries give equal bytes and so an equal diff_id, on every machine. The digest of the compressed blob also depends
    on the compression library.

    :param compression: "gzip", "zstd" or "none".
    :param level: the library's own scale; None for our default.
    """

    def __init__(
        self, out: ByteSink, *, compression: str = "gzip", level: Optional[int] = None
    ) -> None:
        self._media_type = MEDIA_TYPES.get(compression, "")
        self._pipeline = LayerPipeline(out, compressor(compression, level))
        self._builder = IndexBuilder()
        self._last: Optional[bytes] = None

    def add(self, entry: Entry, content: ContentSource = None) -> None:
        """Write one entry.

        A directory with `opaque` is followed by its marker, so no separate entry of kind ``opaque`` is needed. A hard link's
        target must have been added before.

        :param content: a file's bytes, a source to read them from, or an open descriptor (read from its position).
        :raises MalformedError: for a file whose name means a whiteout, or that does not have `entry.size` bytes.
        :raises StoreFullError: when there is no room for the layer.
        :raises ValueError: for an entry out of order: the caller's bug.
        """
        self._check(entry)
        try:
            self._pipeline.write(encode_header(entry))
            if entry.kind == kinds.FILE:
                self._add_content(entry, content)
            else:
                self._builder.add(entry)
            if entry.opaque and entry.kind == kinds.DIR:
                marker = Entry(entry.path, kinds.OPAQUE)
                self._pipeline.write(encode_header(marker))
                self._builder.add(marker)
        except BaseException as error:
            self._give_up(error)
            raise

    def finish(self) -> WrittenLayer:
        """End the tar and give the layer's names; `out` is neither flushed nor closed.

        :raises StoreFullError: when there is no room for the layer.
        """
        try:
            self._pipeline.write(END_OF_ARCHIVE)
            self._pipeline.close()
        except BaseException as error:
            self._give_up(error)
            raise
        descriptor = Descriptor(self._media_type, self._pipeline.digest, self._pipeline.blob_size)
        layer = Layer(self._pipeline.diff_id, descriptor)
        return WrittenLayer(layer, self._builder.build(), self._pipeline.tar_size)

    def abort(self) -> None:
        """Give up: stop the threads."""
        self._pipeline.abort()

    def _give_up(self, error: BaseException) -> None:
        """Stop the threads when anything fails, and say so plainly when it is for want of room."""
        self.abort()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFullError(
                f"no room to write a layer: {error.strerror}",
                hint="free space where the store is, or move the store",
            ) from None

    def _check(self, entry: Entry) -> None:
        key = order_key(entry.path)
        if self._last is not None and key <= self._last and entry.kind != kinds.OPAQUE:
            raise ValueError(f"layer entry {shown(entry.path)} is out of order")
        self._last = key
        if entry.kind not in (kinds.WHITEOUT, kinds.OPAQUE):
            reject_reserved(entry.path)

    def _add_content(self, entry: Entry, content: ContentSource) -> None:
        sha256 = hashlib.sha256()
        if entry.size < _LARGE:
            kept = self._copy_content(entry, content, sha256.update)
        else:
            with Worker(sha256.update) as worker:
                kept = self._copy_content(entry, content, worker.put)
        path = self._builder.add_file(entry, sha256.hexdigest())
        if kept is not None:
            self._builder.add_text(path, kept)

    def _copy_content(
        self, entry: Entry, content: ContentSource, update: Callable[[bytes], None]
    ) -> Optional[bytes]:
        """Content and padding; all of it for a file whose text the index keeps."""
        keep = entry.path in TEXT_PATHS and entry.size <= MAX_TEXT
        kept: List[bytes] = []
        left = entry.size
        if isinstance(content, bytes):
            content = _whole(content, entry.size)
        while left:
            piece = _read(content, min(left, PIECE))
            if not piece:
                raise MalformedError(
                    f"file {shown(entry.path)} has another size than {entry.size} bytes: it changed while it was read"
                )
            update(piece)
            self._pipeline.write(piece)
            left -= len(piece)
            if keep:
                kept.append(piece)
        self._pipeline.write(padding(entry.size))
        return b"".join(kept) if keep else None


def write_layer(
    out: ByteSink,
    entries: Iterable[Tuple[Entry, ContentSource]],
    *,
    epoch: Optional[int] = None,
    compression: str = "gzip",
    level: Optional[int] = None,
) -> WrittenLayer:
    """Write a layer from entries in any order, with mtimes newer than `epoch` (seconds) set to it and the rest cut to seconds.

    :raises MalformedError: as `LayerWriter.add`.
    """
    writer = LayerWriter(out, compression=compression, level=level)
    for entry, content in sorted(entries, key=lambda pair: order_key(pair[0].path)):
        writer.add(
            entry if epoch is None else altered(entry, mtime=clamped(entry.mtime, epoch)), content
        )
    return writer.finish()


def clamped(mtime: int, epoch: int) -> int:
    """`mtime` (nanoseconds) in whole seconds, no later than `epoch` (seconds)."""
    return min(kinds.whole_seconds(mtime), epoch * kinds.NANOSECONDS)


def _whole(content: bytes, size: int) -> ByteSource:
    """Bytes as a source, which is empty when they are not as many as they should be."""
    return io.BytesIO(content if len(content) == size else b"")


def _read(content: Union[ByteSource, int, None], count: int) -> bytes:
    if isinstance(content, int):
        return os.read(content, count)
    return content.read(count) if content is not None else b""
