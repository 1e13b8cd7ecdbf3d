"""A bounded streaming reader of layer tars: ustar, GNU and PAX, as image producers of all kinds write them.

It reads names as bytes, trusts no size, and holds one header and one chunk in memory. What it yields is cleaned: see `Entry`.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

from imagebuild.errors import MalformedError, UnsafePathError
from imagebuild.layer import entry as kinds
from imagebuild.layer.content import Content, Held
from imagebuild.layer.entry import Entry, clamp_name, clean_name, plain_file, shown
from imagebuild.layer.header_fields import Fields, Header, parse_any, plain_fields, text
from imagebuild.layer.pax import MAX_HEADER, parse_integer, parse_time, read_records
from imagebuild.layer.sparse import SparseMap, read_old_gnu, read_pax_0, read_pax_1
from imagebuild.layer.streams import ByteSource
from imagebuild.layer.tape import Tape
from imagebuild.layer.whiteouts import meant

MAX_ENTRIES = 3_000_000
MAX_FILE = 1 << 40
MAX_TRAILING = 64 << 20
MAX_PATH = (
    32 << 10
)  # Linux itself takes 4,096 bytes at once, but deeper trees can be made step by step
MAX_TARGET = 4095  # what symlink(2) takes
MAX_ID = 0xFFFFFFFE
_MAX_META = 32
_BLOCK = 512
_ZERO_BLOCK = bytes(_BLOCK)
_KINDS = {
    b"0": kinds.FILE,
    b"\0": kinds.FILE,
    b"7": kinds.FILE,
    b"S": kinds.FILE,
    b"1": kinds.HARDLINK,
    b"2": kinds.SYMLINK,
    b"3": kinds.CHAR,
    b"4": kinds.BLOCK,
    b"5": kinds.DIR,
    b"D": kinds.DIR,
    b"6": kinds.FIFO,
}
_SKIPPED = b"V"  # a volume label says nothing about the tree
_OVERLAY = ("trusted.overlay.", "user.overlay.")


class _Extended:
    """What the meta entries in front of an entry say about it."""

    def __init__(self) -> None:
        self.records: Dict[bytes, bytes] = {}
        self.sparse: List[Tuple[bytes, bytes]] = []
        self.count = 0

    def add(self, header: Header, data: bytes) -> None:
        self.count += 1
        if self.count > _MAX_META:
            raise MalformedError("a tar entry has too many extended headers")
        if header.type == b"L":
            self.records[b"path"] = text(data)
        elif header.type == b"K":
            self.records[b"linkpath"] = text(data)
        elif header.type in b"xX":
            records, self.sparse = read_records(data)
            self.records.update(records)
        # A global header ("g") applies to nothing, as in every container runtime: Go's archive/tar hands it out unapplied.


def read_entries(stream: ByteSource) -> Iterator[Tuple[Entry, ByteSource]]:
    """The entries of a layer's uncompressed tar, as `read_archive` gives them, with deletions by their kinds.

    :raises MalformedError: as `read_archive`.
    :raises UnsafePathError: as `read_archive`.
    """
    for entry, content in read_archive(stream):
        if entry.kind == kinds.FILE and kinds.WHITEOUT_PREFIX not in entry.path:
            yield entry, content
            continue
        meaning = meant(entry)
        if meaning is not None:
            yield meaning, content


def read_archive(stream: ByteSource) -> Iterator[Tuple[Entry, ByteSource]]:
    """The entries of an uncompressed tar in their order, each with its content; every name is an ordinary one.

    The content is valid until the next entry is asked for. The stream is read to its end.

    :raises MalformedError: when the tar is damaged or truncated or breaks a bound.
    :raises UnsafePathError: for a name that climbs above the root, or a root that is no directory.
    """
    tape, extended = Tape(stream), _Extended()
    for _ in range(MAX_ENTRIES + 1):
        block = tape.block_or_end(_BLOCK)
        fields = plain_fields(block) if block else None
        if fields is None and block in (b"", _ZERO_BLOCK):
            return _drain(tape)
        entry = _plain(fields) if fields and not extended.count else None
        if entry is not None:
            padding = -entry.size % _BLOCK
            data = tape.at_hand(entry.size, padding)
            if data is not None:
                yield entry, Held(data)
                continue
            content = Content(tape, entry.size)
            yield entry, content
            content.finish(padding)
            continue
        header = Header(*fields) if fields else parse_any(block)
        if header.type in b"xXgLK":
            if header.size > MAX_HEADER:
                raise MalformedError(
                    "a tar header is larger than 1 MiB", hint="the layer is broken or hostile"
                )
            extended.add(header, tape.exactly(header.size))
            tape.skip(-header.size % _BLOCK)
            continue
        yield from _one(tape, block, header, extended)
        extended = _Extended()
    raise MalformedError(f"the layer has more than {MAX_ENTRIES} entries")


def _plain(fields: Fields) -> Optional[Entry]:
    """The entry of a regular file whose header says all of it: what `_one` makes of it, in one step.

    None for anything that needs a second look, also where that look refuses it.
    """
    name, mode, uid, gid, size, mtime, kind, _, _, _, _ = fields
    if kind != b"0" or name.endswith(b"/") or size > MAX_FILE or uid > MAX_ID or gid > MAX_ID:
        return None
    path = clean_name(name)
    if path == kinds.ROOT:
        return None
    return plain_file(path, mode, uid, gid, size, mtime * kinds.NANOSECONDS)


def _one(
    tape: Tape, block: bytes, header: Header, extended: _Extended
) -> Iterator[Tuple[Entry, ByteSource]]:
    records = extended.records
    kind = _kind(header, records)
    stored = parse_integer(records[b"size"], "size") if b"size" in records else header.size
    if kind not in (kinds.FILE, _SKIPPED.decode()):
        stored = 0 if header.type not in b"D" else stored
    content = Content(tape, stored)
    sparse, map_bytes = _sparse_map(tape, block, header, extended)
    if sparse is not None:
        content = Content(tape, stored - map_bytes)
        if sparse.stored > stored - map_bytes:
            raise MalformedError("a sparse file's map is larger than its data")
        content.expand(sparse)
    size = sparse.size if sparse else stored
    if size > MAX_FILE:
        raise MalformedError(
            f"a file of {size} bytes is larger than we unpack", expected=f"at most {MAX_FILE}"
        )
    if kind in kinds.KINDS:
        yield _entry(header, records, kind, size if kind == kinds.FILE else 0), content
    content.finish()
    tape.skip(-stored % _BLOCK)


def _drain(tape: Tape) -> None:
    """Read what follows the end-of-archive mark: the diff_id covers it, and no more than padding belongs there."""
    left = MAX_TRAILING
    while left > 0:
        data = tape.read(left)
        if not data:
            return
        left -= len(data)
    raise MalformedError(
        f"more than {MAX_TRAILING} bytes follow the end of the tar",
        hint="the layer is broken or hostile",
    )


def _kind(header: Header, records: Dict[bytes, bytes]) -> str:
    if header.type in (b"0", b"\0", b"7") and records.get(b"path", header.name).endswith(b"/"):
        return kinds.DIR  # v7 tars had no type for directories
    if header.type == _SKIPPED:
        return _SKIPPED.decode()
    kind = _KINDS.get(header.type)
    if kind is None:
        raise MalformedError(
            f"layer entry {shown(header.name)} has the unknown type {header.type!r}"
        )
    return kind


def _sparse_map(
    tape: Tape, block: bytes, header: Header, extended: _Extended
) -> Tuple[Optional[SparseMap], int]:
    """The map of a sparse file, and the bytes of data that the map itself takes."""
    records = extended.records
    if header.type == b"S" and header.gnu:
        return read_old_gnu(block, tape), 0
    if header.type not in (b"0", b"\0"):
        return None, 0
    if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
        return read_pax_1(records, tape)
    if b"GNU.sparse.map" in records or b"GNU.sparse.size" in records or extended.sparse:
        return read_pax_0(records, extended.sparse), 0
    return None, 0


def _entry(header: Header, records: Dict[bytes, bytes], kind: str, size: int) -> Entry:
    name = records.get(b"GNU.sparse.name") or records.get(b"path") or header.name
    path = clean_name(name)
    linkname = records.get(b"linkpath", header.linkname)
    if b"\0" in path or b"\0" in linkname:
        raise MalformedError(f"layer entry {shown(path)} has a NUL in its name")
    if len(path) > MAX_PATH or len(linkname) > (MAX_TARGET if kind == kinds.SYMLINK else MAX_PATH):
        raise MalformedError(f"layer entry {shown(path)} has a name or target that is too long")
    if path == kinds.ROOT and kind != kinds.DIR:
        raise UnsafePathError(
            f"a layer entry makes the root a {kind}",
            expected="a directory",
            hint="the layer is broken or hostile",
        )
    return Entry(
        path,
        kind,
        header.mode,
        _owner(records, b"uid", header.uid),
        _owner(records, b"gid", header.gid),
        size,
        parse_time(records[b"mtime"]) if b"mtime" in records else header.mtime * kinds.NANOSECONDS,
        _link(path, kind, linkname),
        header.dev_major,
        header.dev_minor,
        _xattrs(records) if len(records) else (),
    )


def _owner(records: Dict[bytes, bytes], keyword: bytes, value: int) -> int:
    value = parse_integer(records[keyword], keyword.decode()) if keyword in records else value
    if value > MAX_ID:  # (uid_t) -1 means "leave as it is" to chown(2)
        raise MalformedError(
            f"a tar header's {keyword.decode()} is {value}", expected="at most 4294967294"
        )
    return value


def _link(path: bytes, kind: str, linkname: bytes) -> bytes:
    if kind == kinds.HARDLINK:
        target = clamp_name(linkname)
        if target == kinds.ROOT:
            raise UnsafePathError(f"layer entry {shown(path)} is a hard link to the root")
        return target
    if kind == kinds.SYMLINK and not linkname:
        raise MalformedError(f"layer entry {shown(path)} is a symlink to nothing")
    return linkname if kind == kinds.SYMLINK else b""


def _xattrs(records: Dict[bytes, bytes]) -> Tuple[Tuple[str, bytes], ...]:
    """``SCHILY.xattr.*``, and libarchive's base64 twin is left out as Go does; overlayfs' own names never come from a layer."""
    prefix = b"SCHILY.xattr."
    found = [
        (key[len(prefix) :].decode("utf-8", "surrogateescape"), value)
        for key, value in records.items()
        if key.startswith(prefix)
    ]
    return tuple(sorted(pair for pair in found if not pair[0].startswith(_OVERLAY)))
