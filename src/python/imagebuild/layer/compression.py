"""Compressors with reproducible bytes, and decompression by magic in bounded memory.

gzip goes through isal where it is installed and zlib elsewhere: the two give different bytes, so the digest of a compressed
blob is recorded but never part of a key; the diff_id is.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from types import ModuleType
from typing import Any, BinaryIO, Callable, Optional, cast

from imagebuild.errors import ImageBuildError, MalformedError, UsageError
from imagebuild.layer.streams import ByteSource, PushedBack
from imagebuild.oci import media_types

_deflate: ModuleType = zlib
_GZIP_LEVEL = 6
with contextlib.suppress(ImportError):  # the executor always has it; the core also works without
    from isal import isal_zlib

    _deflate, _GZIP_LEVEL = isal_zlib, 2

MEDIA_TYPES = {
    "gzip": media_types.OCI_LAYER_GZIP,
    "zstd": media_types.OCI_LAYER_ZSTD,
    "none": media_types.OCI_LAYER_TAR,
}

# Windows above 128 MiB are refused; `zstd --ultra -22` writes exactly that, and RFC 8878 asks decoders for 8 MiB only.
MAX_ZSTD_WINDOW = 1 << 27
MAX_XZ_MEMORY = 128 << 20
_CHUNK = 1 << 18
_OUTPUT = 1 << 20


class Compressor:
    """`compress` and `flush` as `zlib.compressobj` has them."""

    def __init__(self, compress: Callable[[bytes], bytes], flush: Callable[[], bytes]) -> None:
        self.compress = compress
        self.flush = flush


def compressor(name: str, level: Optional[int] = None) -> Compressor:
    """A fresh compressor; its header holds no time, name or system.

    :raises UsageError: for an unknown name.
    """
    if name == "none":
        return Compressor(lambda data: data, lambda: b"")
    if name == "gzip":
        gzip = _Gzip(_GZIP_LEVEL if level is None else level)
        return Compressor(gzip.compress, gzip.flush)
    if name == "zstd":
        import zstandard

        stream = zstandard.ZstdCompressor(level=3 if level is None else level).compressobj()
        return Compressor(stream.compress, stream.flush)
    raise UsageError(f'compression "{name}" is not known', expected=", ".join(sorted(MEDIA_TYPES)))


class _Gzip:
    """One gzip member with a fixed header (RFC 1952): deflate, mtime 0, no flags, unknown system."""

    _HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def __init__(self, level: int) -> None:
        self._stream = _deflate.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = 0
        self._size = 0
        self._head = self._HEADER

    def compress(self, data: bytes) -> bytes:
        self._crc = _deflate.crc32(data, self._crc)
        self._size += len(data)
        head, self._head = self._head, b""
        return head + bytes(self._stream.compress(data))

    def flush(self) -> bytes:
        trailer = struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)
        return self._head + bytes(self._stream.flush()) + trailer


def decompress(source: ByteSource) -> ByteSource:
    """`source` without its compression, which its first bytes tell: gzip, zstd, bzip2, xz or none.

    Output comes in pieces of at most 1 MiB, whatever the ratio.
    """
    magic = _read_some(source, 6)
    source = PushedBack(magic, source)
    if magic.startswith(b"\x1f\x8b"):
        return _Inflate(
            source, lambda: _deflate.decompressobj(16 + zlib.MAX_WBITS), b"\x1f\x8b", "gzip"
        )
    if magic.startswith(b"\x28\xb5\x2f\xfd") or (
        magic[1:4] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50
    ):
        return _Zstd(source)
    if magic.startswith(b"BZh"):
        import bz2

        return _Inflate(source, lambda: _NeedsInput(bz2.BZ2Decompressor()), b"BZh", "bzip2")
    if magic.startswith(b"\xfd7zXZ\0"):
        import lzma

        return _Inflate(
            source,
            lambda: _NeedsInput(lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)),
            b"\xfd7zXZ\0",
            "xz",
        )
    return source


def _read_some(source: ByteSource, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = source.read(count - len(data))
        if not piece:
            break
        data += piece
    return data


class _NeedsInput:
    """A bz2 or lzma decompressor behind the interface of zlib's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.unconsumed_tail = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        result: bytes = self._stream.decompress(data, max_length)
        return result

    @property
    def pending(self) -> bool:
        """Is there output to be had without more input?"""
        return not self._stream.eof and not self._stream.needs_input

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)


class _Inflate:
    """Members of one format, one after the other; zero bytes after the last are ignored, as gzip does."""

    def __init__(
        self, source: ByteSource, fresh: Callable[[], Any], magic: bytes, name: str
    ) -> None:
        self._source, self._fresh, self._magic, self._name = source, fresh, magic, name
        self._stream = fresh()
        self._input = b""
        self._done = False

    def read(self, count: int) -> bytes:
        """At least one byte, at most `count`; b"" at the end.

        :raises MalformedError: when the data is damaged, truncated, or followed by something else.
        """
        while not self._done:
            if self._stream.eof:
                self._next_member()
                continue
            if not self._input and not getattr(self._stream, "pending", False):
                self._input = self._source.read(_CHUNK)
            at_end = not self._input
            data = self._step(min(count, _OUTPUT))
            if data:
                return data
            if at_end and not self._stream.eof:  # the library had nothing left inside either
                raise MalformedError(
                    f"the {self._name} data ends early", hint="fetch or build the layer again"
                )
        return b""

    def _step(self, limit: int) -> bytes:
        try:
            data: bytes = self._stream.decompress(self._input, limit)
        except (ImageBuildError, OSError):
            raise
        except Exception as error:  # zlib.error, IsalError, LZMAError: each library has its own
            raise MalformedError(
                f"the {self._name} data is damaged: {error}", hint="fetch or build the layer again"
            ) from None
        self._input = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        return data

    def _next_member(self) -> None:
        rest = self._input.lstrip(b"\0") or self._read_past_zeros()
        if not rest:
            self._done = True
            return
        head = rest + _read_some(self._source, max(0, len(self._magic) - len(rest)))
        if not head.startswith(self._magic):
            raise MalformedError(f"the {self._name} data is followed by something else")
        self._stream, self._input = self._fresh(), head

    def _read_past_zeros(self) -> bytes:
        while True:
            piece = self._source.read(_CHUNK)
            if not piece or piece.strip(b"\0"):
                return piece.lstrip(b"\0")


class _Zstd:
    """zstd frames, skippable ones included (RFC 8878, 3.1), with a cap on the window."""

    def __init__(self, source: ByteSource) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        decoder = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
        self._stream = decoder.stream_reader(
            cast(BinaryIO, source), read_size=_CHUNK, read_across_frames=True
        )

    def read(self, count: int) -> bytes:
        """At least one byte, at most `count`; b"" at the end.

        :raises MalformedError: when the data is damaged or wants too large a window.
        """
        try:
            data: bytes = self._stream.read(min(count, _OUTPUT))
            return data
        except self._error as error:
            raise MalformedError(f"the zstd data is damaged or unbounded: {error}") from None
