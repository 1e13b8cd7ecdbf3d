"""Fetched things become layers of the store. They go no further: a step copies out of them, so nothing is compressed."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO, Iterator, Optional, Tuple

from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import NANOSECONDS, Entry, whole_seconds
from imagebuild.layer.writer import ContentSource, write_layer
from imagebuild.oci.descriptor import Layer
from imagebuild.store.store import Store

FILE_MODE = 0o600
"""What a fetched file has (Dockerfile reference, "Adding files from URLs")."""

Entries = Iterator[Tuple[Entry, ContentSource]]


def file_tree(store: Store, path: str, name: str, mtime: int) -> Layer:
    """The file at `path` as the only one of a tree, called `name`.

    :param mtime: seconds.
    """
    size = os.stat(path).st_size
    entry = Entry(
        name.encode("utf-8", "surrogateescape"),
        kinds.FILE,
        FILE_MODE,
        size=size,
        mtime=mtime * NANOSECONDS,
    )
    return _write(store, iter([(entry, _LazyFile(os.fsencode(path), size))]))


def directory_tree(store: Store, root: bytes, epoch: Optional[int]) -> Layer:
    """Everything in the directory `root`, owned by root, whoever owns it here. Only files, directories and links are taken.

    :param epoch: the mtime of everything, in seconds; None for the times that things have.
    """
    return _write(store, _entries(root, epoch))


def _entries(root: bytes, epoch: Optional[int]) -> Entries:
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            mtime = whole_seconds(status.st_mtime_ns) if epoch is None else epoch * NANOSECONDS
            relative, mode = os.path.relpath(path, root), stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                yield (
                    Entry(relative, kinds.SYMLINK, 0o777, mtime=mtime, linkname=os.readlink(path)),
                    None,
                )
            elif stat.S_ISDIR(status.st_mode):
                yield Entry(relative, kinds.DIR, mode, mtime=mtime), None
            elif stat.S_ISREG(status.st_mode):
                size = status.st_size
                yield (
                    Entry(relative, kinds.FILE, mode, size=size, mtime=mtime),
                    _LazyFile(path, size),
                )


def _write(store: Store, entries: Entries) -> Layer:
    with store.ingest() as sink:
        written = write_layer(sink, entries, compression="none")
        sink.commit(written.layer.descriptor)
    store.add_layer(written.layer, written.index)
    return written.layer


class _LazyFile:
    """A file that is opened when its turn comes, and closed after its last byte: a tree has more of them than descriptors."""

    def __init__(self, path: bytes, size: int) -> None:
        self._path, self._left = path, size
        self._file: Optional[BinaryIO] = None

    def read(self, size: int) -> bytes:
        if self._file is None:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._file = os.fdopen(fd, "rb", buffering=0)
        piece = self._file.read(size)
        self._left -= len(piece)
        if not piece or self._left <= 0:
            self._file.close()
        return piece
