"""What ADD takes for an archive: a tar, bare or compressed, told by its content and not by its name."""

from __future__ import annotations

from typing import BinaryIO

from imagebuild.errors import ImageBuildError
from imagebuild.layer.compression import decompress
from imagebuild.layer.header import BLOCK_SIZE
from imagebuild.layer.header_fields import parse_header
from imagebuild.layer.tape import Tape


def is_archive(content: BinaryIO) -> bool:
    """Whether `content` begins with a tar header, after decompression where it is compressed (gzip, bzip2, xz, zstd).

    A compressed file that holds something else is none, nor is a tar without an entry.
    """
    try:
        block = Tape(decompress(content)).exactly(BLOCK_SIZE)
        parse_header(block)
    except (ImageBuildError, OSError, EOFError):
        return False
    return True
