"""Records of PAX extended headers (POSIX.1-2017, pax, "Extended Header")."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Tuple

from imagebuild.errors import MalformedError

MAX_HEADER = 1 << 20
MAX_RECORDS = 20_000


def encode_records(records: Iterable[Tuple[bytes, bytes]]) -> bytes:
    """``"<length> <keyword>=<value>\\n"`` for each record, in the order given."""
    return b"".join(_encode(keyword, value) for keyword, value in records)


def _encode(keyword: bytes, value: bytes) -> bytes:
    body = b" " + keyword + b"=" + value + b"\n"
    length = len(body)
    while len(str(length)) + len(body) != length:  # the length counts its own digits
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def decode_records(data: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """The records of one extended header, in order.

    :raises MalformedError: for a length that is not what it says, a missing "=", or too many records.
    """
    at, count = 0, 0
    while at < len(data):
        count += 1
        space = data.find(b" ", at, at + 12)
        digits = data[at:space] if space > 0 else b""
        end = at + (int(digits) if digits.isdigit() else 0)
        if count > MAX_RECORDS:
            raise MalformedError(f"a PAX header has more than {MAX_RECORDS} records")
        if not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise MalformedError(
                "a PAX header has a record of impossible length",
                expected='"<length> <keyword>=<value>"',
            )
        keyword, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not keyword:
            raise MalformedError("a PAX header has a record without a keyword")
        yield keyword, value
        at = end


def read_records(data: bytes) -> Tuple[Dict[bytes, bytes], List[Tuple[bytes, bytes]]]:
    """One extended header as (last value of each keyword, the repeatable ``GNU.sparse.*`` 0.0 records in order)."""
    records: Dict[bytes, bytes] = {}
    sparse: List[Tuple[bytes, bytes]] = []
    for keyword, value in decode_records(data):
        if keyword in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse.append((keyword, value))
        else:
            records[keyword] = value
    return records, sparse


def parse_integer(text: bytes, what: str) -> int:
    """A decimal number that is not negative.

    :raises MalformedError: for anything else.
    """
    if not text.isdigit() or len(text) > 19:
        raise MalformedError(
            f"a tar header's {what} is {text[:40]!r}", expected="a number that is not negative"
        )
    return int(text)


def parse_time(text: bytes) -> int:
    """Seconds with an optional fraction, to nanoseconds.

    :raises MalformedError: when it is not a number.
    """
    sign = -1 if text.startswith(b"-") else 1
    seconds, _, fraction = text.lstrip(b"-").partition(b".")
    if not seconds.isdigit() or len(seconds) > 12 or not (fraction.isdigit() or not fraction):
        raise MalformedError(
            f"a tar header's mtime is {text[:40]!r}", expected="seconds since 1970"
        )
    return sign * (int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0")))


def format_time(nanoseconds: int) -> bytes:
    """Nanoseconds as PAX writes a time: "-1.5", "7", "7.000000001"."""
    sign, value = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    seconds, rest = divmod(value, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{sign}{seconds}{fraction}".encode()
