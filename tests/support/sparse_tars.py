"""Sparse files as the four dialects of tar write them: (size of the file, [(offset, data)]) to an archive."""

from __future__ import annotations

from typing import List, Tuple

from support.tars import END, octal, padded, pax, raw_header, record


def sparse_pax_1(size: int, regions: List[Tuple[int, bytes]]) -> bytes:
    text = (
        "\n".join(map(str, [len(regions), *(n for at, data in regions for n in (at, len(data)))]))
        + "\n"
    )
    body = padded(text.encode()) + b"".join(data for _, data in regions)
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.name", b"real") + record(b"GNU.sparse.realsize", b"%d" % size)
    return (
        pax(records, raw_header(b"GNUSparseFile.0/real", size=octal(len(body))) + padded(body))
        + END
    )


def sparse_pax_0_1(size: int, regions: List[Tuple[int, bytes]]) -> bytes:
    body = b"".join(data for _, data in regions)
    listed = b",".join(b"%d,%d" % (at, len(data)) for at, data in regions)
    records = record(b"GNU.sparse.map", listed) + record(b"GNU.sparse.size", b"%d" % size)
    records += record(b"GNU.sparse.name", b"real")
    return (
        pax(records, raw_header(b"GNUSparseFile.0/real", size=octal(len(body))) + padded(body))
        + END
    )


def sparse_pax_0_0(size: int, regions: List[Tuple[int, bytes]]) -> bytes:
    body = b"".join(data for _, data in regions)
    records = record(b"GNU.sparse.size", b"%d" % size) + record(
        b"GNU.sparse.numblocks", b"%d" % len(regions)
    )
    for at, data in regions:
        records += record(b"GNU.sparse.offset", b"%d" % at) + record(
            b"GNU.sparse.numbytes", b"%d" % len(data)
        )
    return pax(records, raw_header(b"real", size=octal(len(body))) + padded(body)) + END


def sparse_old_gnu(size: int, regions: List[Tuple[int, bytes]]) -> bytes:
    body = b"".join(data for _, data in regions)
    fields = [octal(at) + octal(len(data)) for at, data in regions]
    more = [fields[at : at + 21] for at in range(4, len(fields), 21)]
    tail = (
        bytes(64 + 16 + 41)
        + b"".join(fields[:4]).ljust(96, b"\0")
        + (b"\1" if more else b"\0")
        + octal(size)
    )
    header = raw_header(b"real", kind=b"S", size=octal(len(body)), magic=b"ustar  \0", tail=tail)
    blocks = [
        (b"".join(part).ljust(504, b"\0") + (b"\1" if part is not more[-1] else b"\0")).ljust(
            512, b"\0"
        )
        for part in more
    ]
    return header + b"".join(blocks) + padded(body) + END
