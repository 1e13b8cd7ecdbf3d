"""What most headers and files take is the same as what the general path makes of them."""

from __future__ import annotations

import io
from typing import Any, List, Optional, Tuple
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagebuild.errors import UnsafePathError
from imagebuild.layer import reader
from imagebuild.layer.entry import Entry, clean_name
from imagebuild.layer.header_fields import Header, parse_any, parse_header, parse_plain
from imagebuild.layer.reader import read_entries
from support.outcomes import outcome
from support.tars import END, make_tar, member, octal, padded, pax, raw_header, record

NUMBERS = [b"0000644\0", b"0000000 ", b"    644 ", b"644\0\0\0\0\0", b"\x800000001", b"00+644 \0"]
NUMBERS += [
    b"0000648\0",
    b"       \0",
    b"07777777",
    b"0_0_644\0",
    b"-000644\0",
    b"0x00644\0",
    b"\0" * 8,
]
LONG = [b"00000000017\0", b"00000000017 ", b"         17 ", b"17".ljust(12, b"\0"), b"000000000017"]
LONG += [b"\x80" + bytes(10) + b"\1", b"\xff" * 12, b"00000000018\0", b"0000000+017\0", b"\0" * 12]
MAGICS = [b"ustar\x0000", b"ustar  \0", b"\0" * 8, b"ustar\0\0\0", b"ustar \x000"]
NAMES = [b"f", b"a/b", b"d/", b"/abs", b"./x", b"../up", b"a/../b", b".", b"", b"\xff", b"n" * 100]
NAMES += [b"cut\0tail", b"d/.wh.f", b".wh..wh..opq", b".wh..wh.plnk/1", b"a//b"]


def checksummed(block: bytes, form: bytes = b"%06o\0 ", wrong: int = 0) -> bytes:
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + (form % (sum(blank) + wrong))[:8] + block[156:]


@st.composite
def headers(draw: st.DrawFn, kind: Optional[bytes] = None) -> bytes:
    """Headers of the shapes that tools write, and near misses."""

    def one_of(choices: List[bytes], width: int) -> bytes:
        first = draw(st.booleans())
        return (choices[0] if first else draw(st.sampled_from(choices))).ljust(width, b"\0")

    parts = [
        one_of(NAMES, 100),
        *(one_of(NUMBERS, 8) for _ in range(3)),
        *(one_of(LONG, 12) for _ in range(2)),
        b" " * 8,
        draw(st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"7", b"x", b"S", b"?"]))
        if kind is None
        else kind,
        one_of([b"", b"target", b"cut\0tail", b"\xff"], 100),
        one_of(MAGICS, 8),
        bytes(64),
        one_of([b"", *NUMBERS], 8),
        one_of([b"", *NUMBERS], 8),
        one_of([b"", b"prefix", b"pre\0fix"], 155),
        one_of([b"", b"\1"], 12),
    ]
    forms = [b"%06o\0 ", b"%07o\0", b"%06o \0", b"%06o\0\0", b"%06o  ", b" %05o\0 ", b"%08o"]
    form = forms[0] if draw(st.booleans()) else draw(st.sampled_from(forms))
    wrong = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1, 65521, -256]))
    return checksummed(b"".join(parts), form, max(wrong, 256 - sum(map(sum, parts))))


@given(block=headers())
@example(block=bytes(512))
@example(block=checksummed(b"\x7f" * 512))
def test_a_plain_header_is_the_one_that_the_general_path_reads(block: bytes) -> None:
    plain = parse_plain(block)

    assert plain is None or parse_any(block) == plain
    assert outcome(parse_any, block) == outcome(parse_header, block)


@given(block=headers(), at=st.integers(0, 511), byte=st.integers(0, 255))
def test_one_wrong_byte_is_never_missed(block: bytes, at: int, byte: int) -> None:
    damaged = block[:at] + bytes([byte]) + block[at + 1 :]

    assert outcome(parse_any, damaged) == outcome(parse_header, damaged)


@pytest.mark.parametrize("wrong", [-65521, -1, 1, 256, 65521, 65520])
def test_a_checksum_that_agrees_modulo_something_is_wrong(wrong: int) -> None:
    block = raw_header(b"n" * 100, link=b"z" * 100, tail=b"y" * 90)
    total = int(block[148:154], 8)
    damaged = block[:148] + b"%06o\0 " % ((total + wrong) % 0o1000000) + block[156:]

    assert parse_plain(block) is not None
    assert parse_plain(damaged) is None


def test_what_usual_tools_write_is_plain() -> None:
    for dialect in (0, 1, 2):
        block = make_tar(member("usr/lib/f", b"data"), dialect=dialect)[:512]

        assert isinstance(parse_plain(block), Header)


def read(data: bytes) -> List[Tuple[Entry, bytes]]:
    return [(entry, content.read(1 << 20)) for entry, content in read_entries(io.BytesIO(data))]


def general_path() -> Any:
    return mock.patch.object(reader, "plain_fields", lambda block: None)


@given(blocks=st.lists(st.tuples(headers(b"0"), st.booleans()), max_size=4))
def test_a_plain_file_is_the_entry_that_the_general_path_makes(
    blocks: List[Tuple[bytes, bool]]
) -> None:
    pieces = []
    for block, extended in blocks:
        padding = padded(b"d" * 15) if b"17" in block[124:136] or block[124] > 127 else b""
        records = record(b"mtime", b"7.5") + record(b"SCHILY.xattr.user.a", b"1")
        pieces.append(pax(records, block + padding) if extended else block + padding)
    data = b"".join(pieces) + END

    fast = outcome(read, data)

    with general_path():
        assert outcome(read, data) == fast


@pytest.mark.parametrize(
    "fields",
    [
        {"size": octal(1 << 32)},
        {"size": b"\x80" + (2 << 40).to_bytes(11, "big")},
        {"uid": b"\x80\0\0\0\xff\xff\xff\xff"},
        {"uid": b"\x80\0\0\0\xff\xff\xff\xfe"},
    ],
    ids=["cut", "too-large", "no-owner", "last-owner"],
)
def test_bounds_are_those_of_the_general_path(fields: Any) -> None:
    data = raw_header(b"f", **fields) + END

    fast = outcome(read, data)

    with general_path():
        assert outcome(read, data) == fast


parts = st.sampled_from([b"", b".", b"..", b"a", b".a", b"a.", b"b", b"..."])


@given(name=st.lists(parts, max_size=5).map(b"/".join))
def test_a_name_is_cleaned_as_the_same_name_from_the_root(name: bytes) -> None:
    """A name that starts with "/" never takes the short way."""
    short, long = outcome(clean_name, name), outcome(clean_name, b"/" + name)

    assert long == short or (UnsafePathError, UnsafePathError) == (long[0], short[0])
