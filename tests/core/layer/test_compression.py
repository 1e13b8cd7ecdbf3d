"""Compression: reproducible bytes out; in, whatever image producers write, within bounds (SECURITY: rows 13, 16)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from typing import Callable, List

import pytest
import zstandard

from imagebuild.errors import MalformedError, UsageError
from imagebuild.layer import compression
from imagebuild.layer.compression import MEDIA_TYPES, compressor, decompress

DATA = b"".join(b"%d: the quick brown fox\n" % (n * n) for n in range(50_000))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def read(data: bytes) -> bytes:
    source = decompress(io.BytesIO(data))
    pieces: List[bytes] = []
    while True:
        piece = source.read(1 << 20)
        assert len(piece) <= 1 << 20
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_round_trip_is_reproducible(name: str) -> None:
    def compress() -> bytes:
        stream = compressor(name)
        parts = [stream.compress(DATA[at : at + 70_000]) for at in range(0, len(DATA), 70_000)]
        return b"".join(parts) + stream.flush()

    assert DATA == read(compress())
    assert compress() == compress()


def test_gzip_is_read_by_others_and_tells_nothing() -> None:
    stream = compressor("gzip")
    data = stream.compress(DATA) + stream.flush()

    assert DATA == gzip.decompress(data)
    assert b"\x1f\x8b\x08\0\0\0\0\0\0\xff" == data[:10]


def test_without_isal_it_is_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_deflate", zlib)
    monkeypatch.setattr(compression, "_GZIP_LEVEL", 6)
    stream = compressor("gzip")
    data = stream.compress(DATA) + stream.flush()

    assert DATA == gzip.decompress(data) == read(data)


def test_unknown_compression() -> None:
    with pytest.raises(UsageError, match="lzw"):
        compressor("lzw")


SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"extra"
GOOD = {
    "nothing": (b"", b""),
    "plain": (DATA, DATA),
    "gzip": (gzip.compress(DATA), DATA),
    "gzip members": (gzip.compress(DATA) + gzip.compress(b"more"), DATA + b"more"),
    "empty gzip members": (gzip.compress(b"") * 20 + gzip.compress(DATA), DATA),
    "gzip with zeros behind": (gzip.compress(DATA) + bytes(600_000), DATA),
    "gzip with a name": (
        gzip.compress(DATA)[:3]
        + b"\x08"
        + gzip.compress(DATA)[4:10]
        + b"name\0"
        + gzip.compress(DATA)[10:],
        DATA,
    ),
    "zstd": (zstd(DATA), DATA),
    "zstd frames": (zstd(DATA) + zstd(b"more"), DATA + b"more"),
    "zstd with skippable frames": (
        SKIPPABLE + zstd(DATA) + SKIPPABLE + zstd(b"more") + SKIPPABLE,
        DATA + b"more",
    ),
    "bzip2": (bz2.compress(DATA) + bz2.compress(b"more"), DATA + b"more"),
    "xz": (lzma.compress(DATA) + lzma.compress(b"more"), DATA + b"more"),
}


@pytest.mark.parametrize(("data", "expected"), GOOD.values(), ids=GOOD.keys())
def test_what_producers_write(data: bytes, expected: bytes) -> None:
    assert expected == read(data)


BAD = {
    "gzip cut": gzip.compress(DATA)[:-9],
    "gzip cut in the trailer": gzip.compress(DATA)[:-1],
    "gzip cut in the header": gzip.compress(DATA)[:5],
    "gzip damaged": gzip.compress(DATA)[:2000] + b"\xff" * 50 + gzip.compress(DATA)[2050:],
    "gzip checksum": gzip.compress(DATA)[:-8] + bytes(4) + gzip.compress(DATA)[-4:],
    "gzip and garbage": gzip.compress(DATA) + b"garbage",
    "gzip second member cut": gzip.compress(DATA) + gzip.compress(DATA)[:100],
    "zstd damaged": zstd(DATA)[:1000] + b"\xff" * 50 + zstd(DATA)[1050:],
    "zstd and garbage": zstd(DATA) + b"garbage!",
    "xz cut": lzma.compress(DATA)[:-9],
    "xz damaged": lzma.compress(DATA)[:1000] + b"\xff" * 50 + lzma.compress(DATA)[1050:],
    "bzip2 cut": bz2.compress(DATA)[:-9],
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_damaged_data_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read(data)


def zstd_window(bits: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=bits, compression_level=1)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(b"x" * 1000) + stream.flush()


def test_zstd_windows_are_bounded() -> None:
    assert b"x" * 1000 == read(zstd_window(27))
    with pytest.raises(MalformedError, match="zstd"):
        read(zstd_window(31))


BOMBS = {"gzip": gzip.compress, "zstd": zstd, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("compress", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_comes_in_small_pieces(compress: Callable[[bytes], bytes]) -> None:
    source, size = decompress(io.BytesIO(compress(bytes(64 << 20)))), 0
    while True:
        piece = source.read(1 << 30)
        if not piece:
            break
        assert len(piece) <= 1 << 20
        size += len(piece)

    assert 64 << 20 == size
