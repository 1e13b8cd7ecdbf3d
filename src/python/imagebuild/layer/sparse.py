"""Sparse files in tars: old GNU, and PAX 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").

A map is a sequence of (offset, length) of data; the rest of the file reads as zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence, Tuple

from imagebuild.errors import MalformedError
from imagebuild.layer.header_fields import number
from imagebuild.layer.pax import parse_integer
from imagebuild.layer.streams import ByteSource
from imagebuild.layer.tape import Tape

Region = Tuple[int, int]

MAX_REGIONS = 100_000
MAX_MAP_BYTES = 1 << 20
_ZEROS = bytes(1 << 18)


@dataclass(frozen=True)
class SparseMap:
    """Where the data of a sparse file is; `size` is the file's logical size, `stored` the data's."""

    size: int
    regions: Tuple[Region, ...]

    @staticmethod
    def of(size: int, regions: Iterable[Region]) -> SparseMap:
        """:raises MalformedError: unless the regions are in order, apart, and inside the file."""
        kept, end = [], 0
        for offset, length in regions:
            if offset < end or length < 0 or offset + length > size:
                raise MalformedError("a sparse file's map is out of order or outside the file")
            end = offset + length
            if length:
                kept.append((offset, length))
        return SparseMap(size, tuple(kept))

    @property
    def stored(self) -> int:
        return sum(length for _, length in self.regions)


class Expanded:
    """A sparse file's content, holes included."""

    def __init__(self, source: ByteSource, sparse: SparseMap) -> None:
        self._source, self._size, self._at = source, sparse.size, 0
        self._regions: List[Region] = list(reversed(sparse.regions))

    def read(self, count: int) -> bytes:
        while self._regions and self._at >= sum(self._regions[-1]):
            self._regions.pop()
        offset, length = self._regions[-1] if self._regions else (self._size, 0)
        if self._at < offset:
            data = _ZEROS[: min(count, offset - self._at)]
        else:
            data = self._source.read(min(count, offset + length - self._at))
            if not data and length:
                raise MalformedError("a sparse file's data ends early")
        self._at += len(data)
        return data


def read_old_gnu(block: bytes, tape: Tape) -> SparseMap:
    """The map in a type "S" header and the extension blocks behind it."""
    regions = _fields(block[386:482])
    more = block[482] != 0
    while more:
        extension = tape.exactly(512)
        regions.extend(_fields(extension[:504]))
        more = extension[504] != 0
        if len(regions) > MAX_REGIONS:
            raise _too_many()
    return SparseMap.of(number(block[483:495], "real size"), regions)


def _fields(data: bytes) -> List[Region]:
    pairs = [(data[at : at + 12], data[at + 12 : at + 24]) for at in range(0, len(data) - 23, 24)]
    return [
        (number(a, "sparse offset"), number(b, "sparse length"))
        for a, b in pairs
        if a.strip(b"\0 ") or b.strip(b"\0 ")
    ]


def read_pax_0(records: Dict[bytes, bytes], repeated: Sequence[Tuple[bytes, bytes]]) -> SparseMap:
    """The map in the records of versions 0.0 (`repeated`) and 0.1 (``GNU.sparse.map``)."""
    numbers = (
        [text for text in records[b"GNU.sparse.map"].split(b",") if text]
        if b"GNU.sparse.map" in records
        else [value for _, value in repeated]
    )
    if len(numbers) > 2 * MAX_REGIONS:
        raise _too_many()
    return _from_numbers(records, [parse_integer(text, "sparse map") for text in numbers])


def read_pax_1(records: Dict[bytes, bytes], tape: Tape) -> Tuple[SparseMap, int]:
    """The map in the first blocks of the data (version 1.0), and how many bytes those blocks take."""
    data, wanted, used = b"", 1, 0
    lines: List[bytes] = []
    while len(lines) < wanted:
        data += tape.exactly(512)
        used += 512
        if used > MAX_MAP_BYTES:
            raise _too_many()
        *complete, data = data.split(b"\n")
        lines.extend(complete)
        if len(data) > 32 and data.strip(b"\0"):
            raise MalformedError("a sparse file's map is not a list of numbers")
        if lines and wanted == 1:
            wanted = 1 + 2 * parse_integer(lines[0], "sparse map")
            if wanted > 2 * MAX_REGIONS:
                raise _too_many()
    return (
        _from_numbers(records, [parse_integer(line, "sparse map") for line in lines[1:wanted]]),
        used,
    )


def _from_numbers(records: Dict[bytes, bytes], numbers: Sequence[int]) -> SparseMap:
    size = records.get(b"GNU.sparse.realsize", records.get(b"GNU.sparse.size"))
    if size is None or len(numbers) % 2:
        raise MalformedError("a sparse file's map is incomplete")
    return SparseMap.of(parse_integer(size, "real size"), list(zip(numbers[::2], numbers[1::2])))


def _too_many() -> MalformedError:
    return MalformedError(
        "a sparse file's map has too many regions", expected=f"at most {MAX_REGIONS}"
    )
