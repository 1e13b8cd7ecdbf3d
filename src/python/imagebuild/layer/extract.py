"""Extraction of a layer into a directory, safe against hostile layers (links are data, paths resolve inside the root).

Two modes:
- ``overlay``: into an empty directory that becomes a lower directory of overlayfs; whiteouts become 0:0 devices and opaque
  directories get overlayfs' attribute.
- ``apply``: onto an existing tree; whiteouts delete what lower layers put there, never what this layer does.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterable, Iterator, List, Optional, Sequence, Tuple

from imagebuild.errors import UsageError
from imagebuild.layer import entry as kinds
from imagebuild.layer.compression import decompress
from imagebuild.layer.entry import Entry, altered
from imagebuild.layer.extraction import Extraction
from imagebuild.layer.faults import translated
from imagebuild.layer.helper import Files, helped
from imagebuild.layer.index import MAX_TEXT, TEXT_PATHS, LayerIndex
from imagebuild.layer.index_builder import IndexBuilder
from imagebuild.layer.nodes import PIECE
from imagebuild.layer.reader import read_entries
from imagebuild.layer.streams import ByteSource, Hashing, ReadAhead
from imagebuild.oci.hash import Hash

if TYPE_CHECKING:
    from hashlib import _Hash as Sha256

_TEXT_NAMES = tuple(path.rpartition(b"/")[2] for path in TEXT_PATHS)


@dataclass(frozen=True)
class ExtractResult:
    """What was read: `diff_id` and `size` of the uncompressed tar, and the index of what it holds.

    :param implied: directories without an entry of their own took their metadata from `lower`.
    :param foreign_links: hard links took their content from `lower`.
    """

    diff_id: Hash
    size: int
    index: LayerIndex
    implied: bool
    foreign_links: bool


def extract_layer(
    stream: ByteSource,
    root_fd: int,
    *,
    lower: Sequence[str] = (),
    mode: str = "overlay",
    walk: bool = False,
    helper: bool = False,
) -> ExtractResult:
    """Extract a layer, compressed or not, into the directory `root_fd`.

    The caller compares `diff_id` with what it expects and throws the directory away when it differs.

    :param lower: extracted directories of the layers below, topmost first.
    :param walk: do without openat2.
    :param helper: a process of its own makes the files, where there is a processor for it and this one has no threads.
    :raises MalformedError: for a damaged layer.
    :raises UnsafePathError: for a layer that wants out of its root.
    :raises StoreFullError: when the disk is full.
    """
    if mode not in ("overlay", "apply"):
        raise UsageError(f'extraction mode "{mode}" is not known', expected="overlay, apply")
    tar = Hashing(decompress(stream))
    ahead = ReadAhead(tar)
    extraction = Extraction(root_fd, onto_existing=mode == "apply", walk=walk)
    builder = IndexBuilder()
    entry: Optional[Entry] = None
    try:
        with helped(extraction) if helper else contextlib.nullcontext(extraction) as files:
            for entry, content in read_entries(ahead):
                _add(entry, content, builder, files)
        entry = None
        index = extraction.finish(builder, lower)
    except OSError as error:
        raise translated(error, entry) from error
    finally:
        ahead.close()
        extraction.close()
    return ExtractResult(tar.digest, tar.size, index, index.implied, index.foreign)


def index_layer(stream: ByteSource) -> Tuple[Hash, int, LayerIndex]:
    """(diff_id, size of the tar, index) of a layer, read once and extracted nowhere."""
    tar = Hashing(decompress(stream))
    ahead, builder, nowhere = ReadAhead(tar), IndexBuilder(), _Nowhere()
    try:
        for entry, content in read_entries(ahead):
            _add(entry, content, builder, nowhere)
    finally:
        ahead.close()
    return tar.digest, tar.size, builder.build()


class _Nowhere:
    def add(self, entry: Entry) -> None:
        """It is no file system's business."""

    def add_file(self, entry: Entry, data: bytes, rest: Iterable[bytes]) -> None:
        for _ in rest:
            pass


def _add(entry: Entry, content: ByteSource, builder: IndexBuilder, files: Files) -> None:
    if entry.kind == kinds.FILE:
        _add_file(entry, content, builder, files)
        return
    placed = builder.add(entry)
    files.add(altered(entry, foreign=True) if placed.foreign else entry)


def _add_file(entry: Entry, content: ByteSource, builder: IndexBuilder, files: Files) -> None:
    size = entry.size
    data = content.read(PIECE) if size else b""
    sha256 = hashlib.sha256(data)
    keep = entry.path.endswith(_TEXT_NAMES) and builder.place(entry.path) in TEXT_PATHS
    if len(data) == size:
        files.add_file(entry, data, ())
    else:
        kept = [data] if keep and size <= MAX_TEXT else None
        files.add_file(entry, data, _rest(content, sha256, kept))
        data = b"".join(kept or ())
    placed = builder.add_file(entry, sha256.hexdigest())
    if keep and size <= MAX_TEXT:
        builder.add_text(placed, data)


def _rest(content: ByteSource, sha256: Sha256, kept: Optional[List[bytes]]) -> Iterator[bytes]:
    """The pieces of a file after its first, hashed when they have been read, and kept where that is wanted."""
    while True:
        piece = content.read(PIECE)
        if not piece:
            return
        sha256.update(piece)
        if kept is not None:
            kept.append(piece)
        yield piece
