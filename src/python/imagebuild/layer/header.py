"""Tar headers as we write them: ustar where everything fits, else preceded by one PAX header.

Nothing in a header depends on the machine: numeric owners only, no user or group names, no atime or ctime, and always the
same order of records. A sparse file is written as plain bytes: its map of holes is a property of the file system that it was
read from, so it would make the same file two different layers; zeros compress and are made holes again at extraction.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from imagebuild.errors import MalformedError
from imagebuild.layer.entry import (
    BLOCK,
    CHAR,
    DIR,
    FIFO,
    FILE,
    HARDLINK,
    NANOSECONDS,
    OPAQUE,
    OPAQUE_NAME,
    ROOT,
    SYMLINK,
    WHITEOUT,
    WHITEOUT_PREFIX,
    Entry,
    join,
    shown,
)
from imagebuild.layer.pax import encode_records, format_time

BLOCK_SIZE = 512
END_OF_ARCHIVE = bytes(2 * BLOCK_SIZE)

_TYPE = {
    FILE: b"0",
    HARDLINK: b"1",
    SYMLINK: b"2",
    CHAR: b"3",
    BLOCK: b"4",
    DIR: b"5",
    FIFO: b"6",
    WHITEOUT: b"0",
    OPAQUE: b"0",
}
MAGIC = b"ustar\x0000"
_NO_NAMES = bytes(64)
"""Those of the owner and the group."""
_MAX_8 = 0o7777777
_MAX_12 = 0o77777777777
_PAX_NAME = b"././@PaxHeader"


def encode_header(entry: Entry) -> bytes:
    """The header block of `entry`, with its PAX header in front where ustar cannot hold it all."""
    name, link = tar_name(entry), entry.linkname
    records: List[Tuple[bytes, bytes]] = []
    split = _split(name)
    if split is None:
        records.append((b"path", name))
        split = (b"", name[:100])
    if len(link) > 100:
        records.append((b"linkpath", link))
    numbers = _numbers(entry, records)
    if entry.xattrs:
        records.extend(_xattr(entry, key, value) for key, value in entry.xattrs)
    block = _block(
        split,
        _TYPE[entry.kind],
        entry.mode & 0o7777,
        numbers,
        link[:100],
        (entry.dev_major, entry.dev_minor),
    )
    return _pax_header(records, name, link) + block if records else block


def padding(size: int) -> bytes:
    """The zeros that fill `size` bytes of content up to a whole block."""
    return bytes(-size % BLOCK_SIZE)


def tar_name(entry: Entry) -> bytes:
    """The name an entry has inside the archive: whiteouts by their marker, directories with a "/" at the end."""
    if entry.kind == DIR:
        return b"./" if entry.path == ROOT else entry.path + b"/"
    if entry.kind == OPAQUE:
        return join(entry.path, OPAQUE_NAME)
    if entry.kind == WHITEOUT:
        head, _, name = entry.path.rpartition(b"/")
        return join(head or ROOT, WHITEOUT_PREFIX + name)
    return entry.path


def _xattr(entry: Entry, name: str, value: bytes) -> Tuple[bytes, bytes]:
    if "=" in name:
        raise MalformedError(
            f"{shown(entry.path)} has the extended attribute {name!r}, whose name no tar can hold",
            expected='no "=" in the name of an attribute',
        )
    return b"SCHILY.xattr." + name.encode("utf-8", "surrogateescape"), value


def _numbers(entry: Entry, records: List[Tuple[bytes, bytes]]) -> Tuple[int, int, int, int]:
    """uid, gid, size and mtime as the header holds them; what does not fit goes to `records`."""
    size = entry.size if entry.kind == FILE else 0
    seconds, fraction = divmod(entry.mtime, NANOSECONDS)
    small = entry.uid <= _MAX_8 and entry.gid <= _MAX_8 and size <= _MAX_12
    if small and not fraction and 0 <= seconds <= _MAX_12:  # as nearly all are
        return entry.uid, entry.gid, size, seconds
    fields = [(b"uid", entry.uid, _MAX_8), (b"gid", entry.gid, _MAX_8), (b"size", size, _MAX_12)]
    fitting = [value if value <= limit else 0 for _, value, limit in fields]
    records.extend(
        (keyword, str(value).encode()) for keyword, value, limit in fields if value > limit
    )
    if fraction or not 0 <= seconds <= _MAX_12:
        records.append((b"mtime", format_time(entry.mtime)))
    return fitting[0], fitting[1], fitting[2], min(max(seconds, 0), _MAX_12)


def _split(name: bytes) -> Optional[Tuple[bytes, bytes]]:
    """ustar's (prefix, name), or None where the name does not fit."""
    if len(name) <= 100:
        return b"", name
    slash = name.find(b"/", len(name) - 101, len(name) - 1)
    return (name[:slash], name[slash + 1 :]) if 0 < slash <= 155 else None


def _pax_header(records: List[Tuple[bytes, bytes]], name: bytes, link: bytes) -> bytes:
    charset = [] if _is_utf8(name) and _is_utf8(link) else [(b"hdrcharset", b"BINARY")]
    data = encode_records([*charset, *sorted(records)])
    block = _block((b"", _PAX_NAME), b"x", 0o644, (0, 0, len(data), 0), b"", (0, 0))
    return block + data + padding(len(data))


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _block(
    name: Tuple[bytes, bytes],
    kind: bytes,
    mode: int,
    numbers: Tuple[int, int, int, int],
    link: bytes,
    device: Tuple[int, int],
) -> bytes:
    numbered = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, *numbers)
    devices = b"%07o\0%07o\0" % device
    # With its own field full of spaces (8 x 0x20). What fills fields up adds nothing, and would be most of the work.
    parts = (name[1], numbered, kind, link, MAGIC, devices, name[0])
    checksum = sum(map(sum, parts)) + 256
    return b"%s%s%06o\0 %s%s%s%s%s%s" % (
        name[1].ljust(100, b"\0"),
        numbered,
        checksum,
        kind,
        link.ljust(100, b"\0"),
        MAGIC,
        _NO_NAMES,
        devices,
        name[0].ljust(167, b"\0"),
    )
