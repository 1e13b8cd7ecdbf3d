"""Context files that are no text: ``-- app.tar.gz (fixture tar-gz) --`` is what ``FIXTURES["tar-gz"]`` makes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from typing import Callable, Dict, Optional

_TIME = 1577836800


def _tar(prefix: str = "") -> bytes:
    """An archive with one of each kind of member that ADD has to keep."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, data: Optional[bytes] = None, **facts: object) -> None:
            info = tarfile.TarInfo(prefix + name)
            info.mtime, info.mode = _TIME, 0o644
            info.size = len(data or b"")
            for key, value in facts.items():
                setattr(info, key, value)
            tar.addfile(info, None if data is None else io.BytesIO(data))

        add("pack", type=tarfile.DIRTYPE, mode=0o750, uid=7, gid=8)
        add("pack/plain", b"plain\n", uid=1000, gid=1000)
        add("pack/tool", b"#!/bin/sh\n", mode=0o4755)
        add("pack/soft", type=tarfile.SYMTYPE, linkname="plain")
        plain = prefix + "pack/plain"
        add("pack/hard", type=tarfile.LNKTYPE, linkname=plain, uid=1000, gid=1000)
        add("top", b"top\n", mode=0o600)
    return out.getvalue()


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


FIXTURES: Dict[str, Callable[[], bytes]] = {
    "tar": _tar,
    "tar-dot": lambda: _tar("./"),
    "tar-gz": lambda: gzip.compress(_tar(), mtime=0),
    "tar-bz2": lambda: bz2.compress(_tar()),
    "tar-xz": lambda: lzma.compress(_tar()),
    "tar-zst": lambda: _zstd(_tar()),
    "gz": lambda: gzip.compress(b"no archive\n", mtime=0),
    "not-a-tar": lambda: b"This is no archive, whatever its name says.\n" * 20,
    "empty-tar": lambda: b"\0" * 10240,
    "zeros": lambda: bytes(1 << 20),
    "long-line": lambda: f"FROM base/busybox\nRUN echo {'x' * 100_000} | wc -c > /f\n".encode(),
    "all-bytes": lambda: bytes(range(256)),
}
