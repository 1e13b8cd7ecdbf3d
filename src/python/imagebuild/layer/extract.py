"""Extraction of a layer into a directory, safe against hostile layers (links are data, paths resolve inside the root).

Two modes:
- ``overlay``: into an empty directory that becomes a lower directory of overlayfs; whiteouts become 0:0 devices and opaque
  directories get overlayfs' attribute.
- ``apply``: onto an existing tree; whiteouts delete what lower layers put there, never what this layer does.
"""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple

from imagebuild.errors import HostError, ImageBuildError, MalformedError, StoreFullError, UsageError
from imagebuild.layer import entry as kinds
from imagebuild.layer.compression import decompress
from imagebuild.layer.content import Content
from imagebuild.layer.entry import Entry, shown
from imagebuild.layer.extraction import Extraction
from imagebuild.layer.index import MAX_TEXT, TEXT_PATHS, LayerIndex
from imagebuild.layer.index_builder import IndexBuilder
from imagebuild.layer.reader import read_entries
from imagebuild.layer.streams import ByteSource, Hashing, ReadAhead
from imagebuild.oci.hash import Hash

_PIECE = 1 << 18


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
) -> ExtractResult:
    """Extract a layer, compressed or not, into the directory `root_fd`.

    The caller compares `diff_id` with what it expects and throws the directory away when it differs.

    :param lower: extracted directories of the layers below, topmost first.
    :param walk: do without openat2.
    :raises MalformedError: for a damaged layer.
    :raises UnsafePathError: for a layer that wants out of its root.
    :raises StoreFullError: when the disk is full.
    """
    if mode not in ("overlay", "apply"):
        raise UsageError(f'extraction mode "{mode}" is not known', expected="overlay, apply")
    tar = Hashing(decompress(stream))
    ahead = ReadAhead(tar)
    extraction = Extraction(root_fd, onto_existing=mode == "apply", walk=walk)
    entry: Optional[Entry] = None
    try:
        for entry, content in read_entries(ahead):
            extraction.add(entry, content)
        entry = None
        index = extraction.finish(lower)
    except OSError as error:
        raise _translated(error, entry) from error
    finally:
        ahead.close()
        extraction.close()
    return ExtractResult(tar.digest, tar.size, index, index.implied, index.foreign)


def _translated(error: OSError, entry: Optional[Entry]) -> ImageBuildError:
    what = f"layer entry {shown(entry.path)}" if entry else "the layer"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(
            f"no room to extract {what}: {error.strerror}",
            hint="free space where the store is, or move the store",
        )
    if error.errno in (
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EINVAL,
        errno.ELOOP,
        errno.EISDIR,
        errno.ENOENT,
        errno.EEXIST,
    ):
        return MalformedError(
            f"{what} cannot be extracted: {error.strerror}", hint="the layer is broken"
        )
    return HostError(
        f"{what} cannot be extracted: {error.strerror}",
        hint="extraction keeps owners and devices and needs root",
    )


def index_layer(stream: ByteSource) -> Tuple[Hash, int, LayerIndex]:
    """(diff_id, size of the tar, index) of a layer, read once and extracted nowhere."""
    tar = Hashing(decompress(stream))
    ahead, builder = ReadAhead(tar), IndexBuilder()
    try:
        for entry, content in read_entries(ahead):
            if entry.kind != kinds.FILE:
                builder.add(entry)
                continue
            keep = builder.place(entry.path) in TEXT_PATHS and entry.size <= MAX_TEXT
            digest, text = _read(content, keep)
            placed = builder.add_file(entry, digest)
            if keep:
                builder.add_text(placed, text)
    finally:
        ahead.close()
    return tar.digest, tar.size, builder.build()


def _read(content: Content, keep: bool) -> Tuple[str, bytes]:
    sha256 = hashlib.sha256()
    kept: List[bytes] = []
    for piece in _pieces(content):
        sha256.update(piece)
        if keep:
            kept.append(piece)
    return sha256.hexdigest(), b"".join(kept)


def _pieces(content: Content) -> Iterator[bytes]:
    while True:
        piece = content.read(_PIECE)
        if not piece:
            return
        yield piece
