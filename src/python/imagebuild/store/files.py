"""Files that appear whole or not at all: temp file, fsync, rename, fsync of the directory."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Iterator, Optional

from imagebuild.errors import HostError, ImageBuildError, StoreFullError
from imagebuild.store.scratch import Scratch


@contextlib.contextmanager
def store_errors(path: str, need: int = 0) -> Iterator[None]:
    """Turn a full or broken disk under `path` into an error that says where.

    :param need: bytes that are about to be written, if known.
    :raises StoreFullError: for ENOSPC and EDQUOT.
    :raises HostError: for a read-only store, missing permissions or a failing disk.
    """
    try:
        yield
    except OSError as error:
        raise translated(error, path, need) from error


def translated(error: OSError, path: str, need: int = 0) -> ImageBuildError:
    """What an OSError of the store means to its user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        needed = f", {need} bytes are needed" if need else ""
        return StoreFullError(
            f"no room in the store {path}: {error.strerror}{needed}",
            hint="free space there, or put the store (Pants' named caches) on another disk",
        )
    return HostError(
        f"the store {path} cannot be used: {error.strerror} ({error.filename or 'no file'})",
        hint="check the directory's owner, permissions and disk",
    )


def sync_directory(path: str) -> None:
    """Make renames in the directory `path` survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_whole(scratch: Scratch, target: str, data: bytes, *, durable: bool = True) -> None:
    """Put `data` at `target` in one step; a reader sees all of it or what was there before.

    :param durable: also after a power cut. False for what can be made again from what is durable.
    :raises StoreFullError: when there is no room.
    """
    with store_errors(os.path.dirname(target), len(data)), scratch.file() as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())
        os.rename(file.name, target)
        if durable:
            sync_directory(os.path.dirname(target))


def read_whole(path: str) -> Optional[bytes]:
    """Content of a file, or None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
