"""An extraction in two processes, one that reads the tar and one that makes the files, where one would be bound by its interpreter.

Entries go through a pipe in the order of the tar, so that each finds the tree as it would in one process. What fails for an
entry fails before all that the reader comes to say of later ones, as it would in one process, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
from functools import partial
from typing import Any, Dict, Iterable, Iterator, List, Optional, Protocol, Tuple

from imagebuild.errors import HostError, ImageBuildError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry, revived
from imagebuild.layer.extraction import Extraction
from imagebuild.layer.faults import translated
from imagebuild.layer.forked import Forked, may_fork
from imagebuild.layer.nodes import write_all

_F_SETPIPE_SZ = 1031  # fcntl names it since Python 3.10
_PIPE = 1 << 20
_BATCH = 1 << 18
_LENGTH = 8

Item = Tuple[Optional[Dict[str, Any]], bytes]


class Files(Protocol):
    """Who makes what the entries of a tar say."""

    def add(self, entry: Entry) -> None:
        """Anything but a regular file. A hard link to a file of a lower layer is marked as `foreign`."""

    def add_file(self, entry: Entry, data: bytes, rest: Iterable[bytes]) -> None:
        """A regular file with that content, `rest` being empty where `data` is all of it."""


@contextlib.contextmanager
def helped(extraction: Extraction) -> Iterator[Files]:
    """What is given to this is done to `extraction` by a process of its own, and has been done when the context ends.

    :raises ImageBuildError: what the process failed with.
    :raises HostError: when it died.
    """
    if not may_fork() or len(os.sched_getaffinity(0)) == 1:
        yield extraction
        return
    helper = _Helper(extraction)
    try:
        try:
            yield helper
        except (ImageBuildError, OSError):
            helper.finish()  # raises what an earlier entry failed with
            raise
        helper.finish()
    finally:
        helper.close()


class _Helper:
    def __init__(self, extraction: Extraction) -> None:
        self._extraction = extraction
        self._batch: List[Item] = []
        self._weight = 0
        source, self._sink = os.pipe()
        with contextlib.suppress(OSError):  # beyond what this user may have in pipes
            fcntl.fcntl(self._sink, _F_SETPIPE_SZ, _PIPE)
        try:
            self._child = Forked(partial(self._receive, source))
        finally:
            os.close(source)

    def add(self, entry: Entry) -> None:
        self._send(entry.__dict__, b"", len(entry.linkname) + _BATCH * bool(entry.xattrs))

    def add_file(self, entry: Entry, data: bytes, rest: Iterable[bytes]) -> None:
        self._send(entry.__dict__, data, _BATCH * bool(entry.xattrs))
        if len(data) < entry.size:
            for piece in rest:
                self._send(None, piece)
            self._send(None, b"")

    def _send(self, members: Optional[Dict[str, Any]], data: bytes, more: int = 0) -> None:
        self._batch.append((members, data))
        self._weight += 512 + len(data) + more
        if self._weight >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        batch = marshal.dumps(self._batch)
        self._batch, self._weight = [], 0
        write_all(self._sink, len(batch).to_bytes(_LENGTH, "big"))
        write_all(self._sink, batch)

    def finish(self) -> None:
        """Wait until all is done, and take over what the process knows of directories."""
        with contextlib.suppress(BrokenPipeError):  # it has failed, and says with what
            self._flush()
        os.close(self._sink)
        self._sink = -1
        died = HostError(
            "the process that makes the files of a layer died", hint="was it out of memory?"
        )
        self._extraction.directories = self._child.outcome(died)

    def close(self) -> None:
        if self._sink >= 0:
            os.close(self._sink)
        self._child.close()

    def _receive(self, source: int) -> Dict[bytes, Entry]:
        """The work of the process. It ends with its pipe, so that it outlives no parent."""
        os.close(self._sink)
        extraction = self._extraction
        entry: Optional[Entry] = None
        items = _items(source)
        try:
            for members, data in items:
                assert members is not None, "a file has ended before the next entry"
                entry = revived(members)
                if entry.kind == kinds.FILE:
                    extraction.add_file(entry, data, _rest(items) if len(data) < entry.size else ())
                else:
                    extraction.add(entry)
        except OSError as error:
            raise translated(error, entry) from error
        return extraction.directories


def _items(source: int) -> Iterator[Item]:
    with open(source, "rb") as file:
        while True:
            size = int.from_bytes(file.read(_LENGTH), "big")
            batch = file.read(size)
            if not size or len(batch) < size:
                return
            yield from marshal.loads(batch)  # noqa: S302 - our own parent wrote it


def _rest(items: Iterator[Item]) -> Iterator[bytes]:
    """The pieces of one file's content."""
    for _, piece in items:
        if not piece:
            return
        yield piece
