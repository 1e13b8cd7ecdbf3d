"""What ADD takes for an archive: a tar, bare or compressed, told by its content and not by its name."""

from __future__ import annotations

from typing import BinaryIO

from imagebuild.errors import ImageBuildError
from imagebuild.layer.compression import decompress
from imagebuild.layer.header import BLOCK_SIZE
from imagebuild.layer.tape import Tape

_CHECKSUM = slice(148, 156)


def is_archive(content: BinaryIO) -> bool:
    """Whether `content` begins with a tar header, after decompression where it is compressed."""
    try:
        block = Tape(decompress(content)).exactly(BLOCK_SIZE)
    except (ImageBuildError, OSError, EOFError):
        return False
    stored = block[_CHECKSUM].strip(b" \0")
    blank = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    return stored.isdigit() and _octal(stored) == sum(blank)


def _octal(text: bytes) -> int:
    try:
        return int(text, 8)
    except ValueError:
        return -1
