"""Static programs of a few machine instructions, for what busybox cannot do."""

from __future__ import annotations

import os


def elf(code: bytes) -> bytes:
    """An x86-64 program of one segment, loaded at 0x400000 and entered at its first instruction."""
    assert os.uname().machine == "x86_64", "write the tests' programs for this machine too"
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0\x01\0\0\0"
    header += (0x400078).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(12)
    header += b"".join(n.to_bytes(2, "little") for n in (64, 56, 1, 0, 0, 0))
    segment = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(8)
    segment += (0x400000).to_bytes(8, "little") * 2 + (0x1000).to_bytes(8, "little") * 3
    return header + segment + code
