"""The fields of a 512-byte tar header block: v7, ustar and old GNU (POSIX.1-1988; GNU tar manual, "Basic Tar Format")."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import NamedTuple, Optional, Tuple

from imagebuild.errors import MalformedError

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
_PLAIN = struct.Struct("100s24s11sc11sc6s2sc100s8s80x155s12x")
_ENDS = (b"\0", b" ")
_CHECK_ENDS = (b"\0 ", b" \0", b"\0\0", b"  ")
MAX_NUMBER = (1 << 63) - 1

Fields = Tuple[bytes, int, int, int, int, int, bytes, bytes, int, int, bool]


class Header(NamedTuple):
    """One header block, numbers parsed and names cut at their first NUL."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    type: bytes
    linkname: bytes
    dev_major: int
    dev_minor: int
    gnu: bool


def parse_header(block: bytes) -> Header:
    """:raises MalformedError: for a wrong checksum or a number that is damaged, negative (but for the mtime) or too large."""
    return parse_plain(block) or parse_any(block)


def parse_plain(block: bytes) -> Optional[Header]:
    """The same as `parse_any` at a quarter of its price for what nearly all headers are: ASCII with octal numbers, no device.

    None for everything else, damage included: `parse_any` knows what to say of it.
    """
    fields = plain_fields(block)
    return Header(*fields) if fields else None


def plain_fields(block: bytes) -> Optional[Fields]:
    """What `parse_plain` finds, as a bare tuple: most headers never need to be more."""
    if not block.isascii():
        return None
    name, owner, size, end, mtime, mend, check, cend, kind, link, magic, prefix = _PLAIN.unpack(
        block
    )
    if not ((check + size + mtime).isdigit() and kind not in b"34"):
        return None
    if not (cend in _CHECK_ENDS and end in _ENDS and mend in _ENDS):
        return None
    # 512 bytes below 128 add up to less than 65,521, the modulus of Adler-32: its low half is their sum plus one.
    total = (zlib.adler32(block) & 0xFFFF) - (zlib.adler32(block[148:156]) & 0xFFFF) + 256
    try:
        if total != int(check, 8):
            return None
        mode, uid, gid = _owner(owner)
        length, seconds = int(size, 8), int(mtime, 8)
    except (ValueError, MalformedError):
        return None
    name = name.partition(b"\0")[0]
    if prefix[0] and magic.startswith(b"ustar\0"):
        name = text(prefix) + b"/" + name
    link = text(link) if link[0] else b""
    gnu = magic.startswith(b"ustar  ")
    return name, mode, uid, gid, length, seconds, kind, link, 0, 0, gnu


@lru_cache(maxsize=256)
def _owner(field: bytes) -> Tuple[int, int, int]:
    """Mode, uid and gid; a layer has few different ones."""
    mode, uid, gid = field[:8], field[8:16], field[16:]
    return number(mode, "mode") & 0o7777, number(uid, "uid"), number(gid, "gid")


def parse_any(block: bytes) -> Header:
    """`parse_header` for headers of every kind."""
    f = _FIELDS.unpack(block)
    _check(block, f[6])
    gnu = f[9].startswith(b"ustar  ")
    name = text(f[0])
    if f[9].startswith(b"ustar\0"):
        prefix = text(f[14])
        name = prefix + b"/" + name if prefix else name
    kind: bytes = f[7]
    device = kind in b"34"
    return Header(
        name,
        number(f[1], "mode") & 0o7777,
        number(f[2], "uid"),
        number(f[3], "gid"),
        number(f[4], "size"),
        number(f[5], "mtime", negative=True),
        kind,
        text(f[8]),
        number(f[12], "device") if device else 0,
        number(f[13], "device") if device else 0,
        gnu,
    )


def text(field: bytes) -> bytes:
    """A field up to its first NUL."""
    return field.partition(b"\0")[0]


def number(field: bytes, what: str, *, negative: bool = False) -> int:
    """An octal field, or a base-256 one (first bit set; GNU and star).

    :raises MalformedError: when it is neither, or out of range.
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if value > MAX_NUMBER or value < (-MAX_NUMBER if negative else 0):
            raise MalformedError(
                f"a tar header's {what} is {value}", expected="a number that is not negative"
            )
        return value
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    try:
        if digits.isdigit():  # int() would also take "0o7", "1_0" and "+7"
            return int(digits, 8)
    except ValueError:
        pass
    raise MalformedError(f"a tar header's {what} is {field!r}", expected="octal digits")


def _check(block: bytes, checksum: bytes) -> None:
    unsigned = sum(block) - sum(checksum) + 256
    stored = number(checksum, "checksum")
    if stored != unsigned:
        high = sum(
            1 for byte in block[:148] + block[156:] if byte > 127
        )  # some old tars summed signed bytes
        if stored != unsigned - 256 * high:
            raise MalformedError(
                "a tar header's checksum is wrong", hint="the layer is damaged or is not a tar"
            )
