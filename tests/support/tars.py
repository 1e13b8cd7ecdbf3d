"""Layer tars made by the standard library, as other tools would make them, and raw headers that it would refuse to write."""

from __future__ import annotations

import io
import os
import tarfile
from typing import Any, Optional

Member = "tuple[tarfile.TarInfo, bytes]"


def member(name: str, data: bytes = b"", **fields: Any) -> Any:
    """A regular file, or what `type` says; owned by whoever runs the test, so that no root is needed."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    info.uid, info.gid = os.getuid(), os.getgid()
    info.mtime = 1_000_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def directory(name: str, mode: int = 0o755, **fields: Any) -> Any:
    return member(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def symlink(name: str, target: str) -> Any:
    return member(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


def hardlink(name: str, target: str, **fields: Any) -> Any:
    return member(name, type=tarfile.LNKTYPE, linkname=target, **fields)


def make_tar(*members: Any, dialect: int = tarfile.PAX_FORMAT) -> bytes:
    """An uncompressed tar of `members`, in their order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dialect) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def raw_header(
    name: bytes = b"f",
    *,
    kind: bytes = b"0",
    size: Optional[bytes] = None,
    uid: bytes = b"0000000\0",
    magic: bytes = b"ustar\x0000",
    link: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """A header block with fields as given, and a right checksum."""
    size = b"%011o\0" % 0 if size is None else size
    head = name.ljust(100, b"\0") + b"0000644\0" + uid + b"0000000\0" + size + b"%011o\0" % 0
    rest = (kind + link.ljust(100, b"\0") + magic + tail).ljust(356, b"\0")
    checksum = sum(head) + sum(rest) + 256
    return head + b"%06o\0 " % checksum + rest


def octal(number: int) -> bytes:
    return b"%011o\0" % number


def base256(number: int) -> bytes:
    return bytes([0x80 if number >= 0 else 0xFF]) + (number & ((1 << 88) - 1)).to_bytes(11, "big")


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(records: bytes, entry: bytes, *, kind: bytes = b"x") -> bytes:
    """`entry` with an extended header in front; `records` are written as they are."""
    return raw_header(b"pax", kind=kind, size=octal(len(records))) + padded(records) + entry


def record(keyword: bytes, value: bytes) -> bytes:
    body = b" " + keyword + b"=" + value + b"\n"
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


END = bytes(1024)
