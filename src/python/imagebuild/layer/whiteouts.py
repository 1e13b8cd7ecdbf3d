"""Names of a layer's tar that mean deletions (image-spec layer.md, "Whiteouts")."""

from __future__ import annotations

from typing import Optional

from imagebuild.errors import UnsafePathError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry, shown


def meant(entry: Entry) -> Optional[Entry]:
    """`entry` with whiteout names turned into their kinds, or None for a marker that means nothing any more.

    :raises UnsafePathError: for a whiteout of a directory's own name or its parent.
    """
    if entry.kind != kinds.CHAR and kinds.WHITEOUT_PREFIX not in entry.path:
        return entry
    head, _, name = entry.path.rpartition(b"/")
    if entry.kind == kinds.CHAR and entry.dev_major == entry.dev_minor == 0:
        return Entry(
            entry.path, kinds.WHITEOUT
        )  # what overlayfs, and so every runtime on it, takes it for
    if not name.startswith(kinds.WHITEOUT_PREFIX):
        return None if kinds.WHITEOUT_META_PREFIX in entry.path and _in_meta(head) else entry
    if name == kinds.OPAQUE_NAME:
        return Entry(head or kinds.ROOT, kinds.OPAQUE)
    if name.startswith(kinds.WHITEOUT_META_PREFIX):
        return None  # AUFS bookkeeping
    hidden = name[len(kinds.WHITEOUT_PREFIX) :]
    if hidden in (b"", b".", b".."):
        raise UnsafePathError(
            f"layer entry {shown(entry.path)} deletes a directory's own name or its parent"
        )
    return Entry(kinds.join(head or kinds.ROOT, hidden), kinds.WHITEOUT)


def _in_meta(head: bytes) -> bool:
    return any(part.startswith(kinds.WHITEOUT_META_PREFIX) for part in head.split(b"/"))
