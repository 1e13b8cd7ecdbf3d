"""The tar reader: every dialect that producers write, and bounds on everything (SECURITY: rows 13-16)."""

from __future__ import annotations

import io
import tarfile
from typing import Any, List, Tuple

import pytest

from imagebuild.errors import IntegrityError, MalformedError
from imagebuild.layer.entry import CHAR, DIR, FIFO, FILE, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, Entry
from imagebuild.layer.reader import read_entries
from support.sparse_tars import sparse_old_gnu, sparse_pax_0_0, sparse_pax_0_1, sparse_pax_1
from support.tars import (
    END,
    base256,
    directory,
    hardlink,
    make_tar,
    member,
    octal,
    padded,
    pax,
    raw_header,
    record,
    symlink,
)


def read(data: bytes) -> List[Tuple[Entry, bytes]]:
    found = []
    for entry, content in read_entries(io.BytesIO(data)):
        pieces = []
        while True:
            piece = content.read(1 << 16)
            if not piece:
                break
            pieces.append(piece)
        found.append((entry, b"".join(pieces)))
    return found


def only(data: bytes) -> Entry:
    ((entry, _),) = read(data)
    return entry


@pytest.mark.parametrize("dialect", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("length", [99, 100, 101, 156, 255, 256, 1000])
def test_long_names(dialect: int, length: int) -> None:
    name = ("n" * 40 + "/") * 30
    path, target = name[: length - 1] + "x", name[-length:-1] + "y"

    entries = read(
        make_tar(member(path, b"data"), symlink("l", target), hardlink("h", path), dialect=dialect)
    )

    assert [(path.encode(), b"data"), (b"l", b""), (b"h", b"")] == [
        (entry.path, data) for entry, data in entries
    ]
    assert [b"", target.encode(), path.encode()] == [entry.linkname for entry, _ in entries]


def test_names_are_bytes() -> None:
    names = [b"\xff\xfe", b"a\nb", b" ", b"\\", "é".encode(), b"\xff" * 200]
    data = make_tar(
        *(member(name.decode("utf-8", "surrogateescape")) for name in names),
        dialect=tarfile.GNU_FORMAT,
    )

    assert names == [entry.path for entry, _ in read(data)]


KINDS = [
    (directory("d"), Entry(b"d", DIR)),
    (member("v7/", type=tarfile.AREGTYPE), Entry(b"v7", DIR)),
    (symlink("l", "/t"), Entry(b"l", SYMLINK, linkname=b"/t")),
    (hardlink("h", "/a/../t"), Entry(b"h", HARDLINK, linkname=b"t")),
    (member("p", type=tarfile.FIFOTYPE), Entry(b"p", FIFO)),
    (
        member("c", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        Entry(b"c", CHAR, dev_major=1, dev_minor=3),
    ),
    (member("zero", type=tarfile.CHRTYPE), Entry(b"zero", WHITEOUT)),
    (member("d/.wh.f"), Entry(b"d/f", WHITEOUT)),
    (member(".wh.f"), Entry(b"f", WHITEOUT)),
    (member("d/.wh..wh..opq"), Entry(b"d", OPAQUE)),
    (member(".wh..wh..opq"), Entry(b".", OPAQUE)),
    (member("contiguous", type=tarfile.CONTTYPE), Entry(b"contiguous", FILE)),
]


@pytest.mark.parametrize(
    ("made", "expected"), KINDS, ids=[entry.path.decode() + " " + entry.kind for _, entry in KINDS]
)
def test_kinds(made: Any, expected: Entry) -> None:
    entry = only(make_tar(made))

    assert (expected.path, expected.kind, expected.linkname) == (
        entry.path,
        entry.kind,
        entry.linkname,
    )
    assert (expected.dev_major, expected.dev_minor) == (entry.dev_major, entry.dev_minor)


def test_bookkeeping_of_aufs_is_left_out() -> None:
    assert [] == read(
        make_tar(
            directory(".wh..wh.plnk"), member(".wh..wh.plnk/1.2", b"x"), member(".wh..wh.aufs")
        )
    )


def test_metadata_of_pax_records() -> None:
    records = {
        "SCHILY.xattr.user.a": "1",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.user.overlay.redirect": "/",
    }
    entry = only(
        make_tar(member("f", b"", mtime=1.5, uid=3_000_000_000, gid=1 << 22, pax_headers=records))
    )

    assert (1_500_000_000, 3_000_000_000, 1 << 22) == (entry.mtime, entry.uid, entry.gid)
    assert (("user.a", b"1"),) == entry.xattrs


def test_global_headers_apply_to_nothing() -> None:
    data = pax(record(b"uid", b"7") + record(b"path", b"other"), raw_header(b"f") + END, kind=b"g")

    assert (b"f", 0) == (only(data).path, only(data).uid)


def test_size_above_8_gib_in_base_256() -> None:
    entry, content = next(
        read_entries(io.BytesIO(raw_header(b"f", size=base256(9 << 30)) + b"data"))
    )

    assert 9 << 30 == entry.size
    assert b"data" == content.read(4)


SPARSE = {
    "old gnu": sparse_old_gnu,
    "pax 0.0": sparse_pax_0_0,
    "pax 0.1": sparse_pax_0_1,
    "pax 1.0": sparse_pax_1,
}
MAPS = {
    "3 holes": (100_000, [(10, b"a" * 10), (5_000, b"b" * 600), (70_000, b"c")]),
    "only a hole": (70_000, []),
    "data at the end": (20, [(10, b"d" * 10)]),
    "many": (600_000, [(at * 1000, b"x") for at in range(600)]),
}


@pytest.mark.parametrize("make", SPARSE.values(), ids=SPARSE.keys())
@pytest.mark.parametrize(("size", "regions"), MAPS.values(), ids=MAPS.keys())
def test_sparse_files(make: Any, size: int, regions: List[Tuple[int, bytes]]) -> None:
    expected = bytearray(size)
    for at, data in regions:
        expected[at : at + len(data)] = data

    ((entry, content),) = read(make(size, regions))

    assert (b"real", size, bytes(expected)) == (entry.path, entry.size, content)


def numbers(count: int) -> bytes:
    return b"1\n" * count


BAD = {
    "no tar": b"x" * 1024,
    "checksum": raw_header()[:-1] + b"x" + END,
    "header cut": raw_header()[:100],
    "content cut": raw_header(size=octal(1000)) + b"x" * 100,
    "padding cut": raw_header(size=octal(10)) + b"x" * 10,
    "octal": raw_header(size=b"xyz".ljust(12, b"\0")) + END,
    "negative octal": raw_header(size=b"-1".ljust(12, b"\0")) + END,
    "negative base-256 size": raw_header(size=base256(-512)) + END,
    "huge base-256 size": raw_header(size=b"\x80" + b"\x7f" * 11) + END,
    "uid -1": raw_header(uid=b"\xff" * 8) + END,
    "uid 2^32-1": pax(record(b"uid", b"4294967295"), raw_header() + END),
    "pax size -1": pax(record(b"size", b"-1"), raw_header() + END),
    "pax size text": pax(record(b"size", b"1e9"), raw_header() + END),
    "pax size unicode digit": pax(record(b"size", "²".encode()), raw_header() + END),
    "pax mtime": pax(record(b"mtime", b"soon"), raw_header() + END),
    "pax record length 0": pax(b"0 a=b\n", raw_header() + END),
    "pax record too long": pax(b"99 a=b\n", raw_header() + END),
    "pax record without =": pax(b"5 ab\n", raw_header() + END),
    "pax record length huge": pax(b"9" * 4000 + b" a=b\n", raw_header() + END),
    "pax NUL in a name": pax(record(b"path", b"a\0b"), raw_header() + END),
    "pax header of 1 GiB": raw_header(kind=b"x", size=octal(1 << 30)),
    "GNU name of 1 GiB": raw_header(kind=b"L", size=octal(1 << 30)),
    "a million records": pax(b"6 a=b\n" * 170_000, raw_header() + END),
    "headers for headers": (raw_header(kind=b"x") * 1000) + END,
    "GNU names for nothing": (raw_header(kind=b"L") * 1000) + END,
    "unknown type": raw_header(kind=b"?") + END,
    "a name of 40 KiB": pax(record(b"path", b"a/" * 20_000 + b"x"), raw_header() + END),
    "a link target of 5 KB": pax(record(b"linkpath", b"a/" * 2_500), raw_header(kind=b"2") + END),
    "link to nothing": raw_header(kind=b"2") + END,
    "hard link to the root": raw_header(kind=b"1", link=b"/") + END,
    "sparse out of order": sparse_pax_1(100, [(50, b"x"), (10, b"x")]),
    "sparse outside": sparse_pax_1(100, [(99, b"xx")]),
    "sparse larger than stored": pax(
        record(b"GNU.sparse.map", b"0,1000") + record(b"GNU.sparse.size", b"1000"),
        raw_header(size=octal(10)) + padded(b"x" * 10) + END,
    ),
    "sparse odd": pax(
        record(b"GNU.sparse.map", b"0,1,2") + record(b"GNU.sparse.size", b"9"), raw_header() + END
    ),
    "sparse without size": pax(record(b"GNU.sparse.map", b"0,0"), raw_header() + END),
    "sparse map of ten million": pax(
        record(b"GNU.sparse.major", b"1")
        + record(b"GNU.sparse.minor", b"0")
        + record(b"GNU.sparse.realsize", b"9"),
        raw_header(size=octal(1 << 30)) + b"10000000\n" + numbers(700_000),
    ),
    "sparse map without end": pax(
        record(b"GNU.sparse.major", b"1")
        + record(b"GNU.sparse.minor", b"0")
        + record(b"GNU.sparse.realsize", b"9"),
        raw_header(size=octal(1 << 30)) + b"9" * 2_000_000,
    ),
    "old GNU extensions without end": raw_header(
        kind=b"S",
        magic=b"ustar  \0",
        tail=bytes(64 + 16 + 41) + (octal(1) + octal(0)) * 4 + b"\1" + octal(9),
    )
    + ((octal(1) + octal(0)) * 21 + b"\1" + bytes(7)) * 6_000,
    "a file of 2 TiB": raw_header(size=base256(2 << 40)),
    "a sparse file of 8 EiB": sparse_pax_0_1((1 << 63) - 1, [(0, b"x")]),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_bad_tars_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        read(data)


def test_much_behind_the_end_is_refused() -> None:
    class Endless(io.RawIOBase):
        def read(self, count: int = -1) -> bytes:
            return bytes(count)

    with pytest.raises(MalformedError, match="follow the end"):
        list(read_entries(Endless()))


def test_ends_that_are_common() -> None:
    """Padding to 10 KiB, one zero block, or none at all."""
    for end in (bytes(10240), bytes(512), b""):
        assert [(b"f", b"data")] == [
            (e.path, c) for e, c in read(raw_header(size=octal(4)) + padded(b"data") + end)
        ]
