"""The time inside a compiled Python file follows its source's, so that Python still starts from its caches after clamping.

A ``.pyc`` that is checked by time (flags 0, PEP 552) holds the mtime of its source; when the source's mtime is clamped in the
layer, the interpreter would find the two different and compile again at every start.
"""

from __future__ import annotations

import os
import struct
from typing import Mapping, Optional

_HEAD = struct.Struct("<4sIII")
HEAD_SIZE = _HEAD.size
_MASK = 0xFFFFFFFF
_SECOND = 1_000_000_000
PYCACHE = b"__pycache__"


def source_name(name: bytes, *, in_cache: bool) -> Optional[bytes]:
    """The source's file name of a compiled file (PEP 3147): ``m.cpython-39.opt-1.pyc`` in a cache, ``m.pyc`` beside it."""
    if not name.endswith(b".pyc"):
        return None
    return name.split(b".", 1)[0] + b".py" if in_cache else name[:-1]


def follow_source(
    fd: int, name: bytes, *, in_cache: bool, sources: Mapping[bytes, int], epoch: int
) -> None:
    """Patch the file `fd` in place when its head has the mtime that its source had before clamping.

    :param fd: open for reading and writing.
    :param sources: original mtimes in nanoseconds of the files in the source's directory.
    :param epoch: the latest second a layer's file may have.
    """
    source = source_name(name, in_cache=in_cache)
    original = sources.get(source) if source is not None else None
    if original is None or original // _SECOND <= epoch:
        return
    head = os.pread(fd, HEAD_SIZE, 0)
    if head != (patched := retimed(head, original, epoch)):
        os.pwrite(fd, patched, 0)


def source_path(path: bytes) -> Optional[bytes]:
    """The source of the compiled file at `path`; None for another file."""
    directory, _, name = path.rpartition(b"/")
    above, _, last = directory.rpartition(b"/")
    in_cache = last == PYCACHE
    source = source_name(name, in_cache=in_cache)
    place = above if in_cache else directory
    return source and (place + b"/" + source if place else source)


def retimed(head: bytes, original: int, seconds: int) -> bytes:
    """The head of a compiled file, with the time of its source as it will be.

    :param head: the file's first `HEAD_SIZE` bytes.
    :param original: the source's mtime until now, in nanoseconds; another time in `head` stays as it is.
    """
    if len(head) < HEAD_SIZE:
        return head
    magic, flags, mtime, size = _HEAD.unpack(head)
    if flags != 0 or mtime != (original // _SECOND) & _MASK:
        return head
    return _HEAD.pack(magic, flags, seconds & _MASK, size)
