"""What an extraction for overlayfs does when the whole layer has been read: deletions, links and parents that lie lower."""

from __future__ import annotations

import os
import stat
from typing import Dict, Iterable, List, Sequence, Tuple

from imagebuild.errors import MalformedError
from imagebuild.layer.entry import ROOT, parent_of, shown
from imagebuild.layer.index import LayerIndex
from imagebuild.layer.lower import open_in_lower
from imagebuild.layer.metadata import OPAQUE_XATTR, copy_metadata, own_by_root, set_times
from imagebuild.layer.nodes import PIECE, write_all
from imagebuild.layer.rooted import ParentCache, RootedDir, readable_dir


def mark_deletions(parents: ParentCache, index: LayerIndex) -> None:
    """Whiteouts become 0:0 devices and opaque directories get their attribute (kernel, overlayfs.rst)."""
    for path, members in index.lines():
        if members.startswith(b'{"k":"whiteout"'):
            parent_fd = parents.open(parent_of(path))
            os.mknod(path.rpartition(b"/")[2], stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent_fd)
    for path in sorted(index.opaques):
        with readable_dir(parents.open(path)) as fd:
            os.setxattr(fd, OPAQUE_XATTR, b"y")


def settle_alone(root_fd: int, index: LayerIndex, lower: Sequence[str]) -> None:
    """Give an extraction that was made with nothing below it what it would have taken from `lower`. It has no foreign links."""
    parents = ParentCache(RootedDir(root_fd), _refuse)
    implied = (path for path, members in index.lines() if members.startswith(b'{"i":1,'))
    try:
        settle_implied(parents, implied if index.implied else (), index, lower)
    finally:
        parents.drop()
    settle_root(root_fd, index, lower)


def _refuse(_fd: int, _name: bytes, path: bytes) -> None:
    raise MalformedError(f"the index of a layer implies {shown(path)}, which the layer has not")


def settle_root(root_fd: int, index: LayerIndex, lower: Sequence[str]) -> None:
    """Give the root the metadata of the root below where the layer has no entry for it, as the merged view shows it."""
    if index.get(ROOT) is not None:
        return
    source = open_in_lower(lower, ROOT)
    if source is None:
        own_by_root(root_fd, 0o755)
        set_times(root_fd, 0)
        return
    try:
        copy_metadata(source, root_fd)
    finally:
        os.close(source)


def copy_foreign(
    parents: ParentCache, links: Iterable[Tuple[bytes, bytes]], lower: Sequence[str]
) -> None:
    """Hard links into lower layers become copies, as overlayfs would copy up; links to one file stay one file.

    :raises MalformedError: when no lower layer has the target.
    """
    made: Dict[bytes, bytes] = {}
    for path, target in links:
        if target in made:
            _link(parents, made[target], path)
            continue
        made[target] = path
        source = open_in_lower(lower, target)
        try:
            if source is None or not stat.S_ISREG(os.fstat(source).st_mode):
                raise MalformedError(
                    f"layer entry {shown(path)} is a hard link to {shown(target)}, which no layer has"
                )
            _copy_file(source, parents.open(parent_of(path)), path.rpartition(b"/")[2])
        finally:
            if source is not None:
                os.close(source)


def settle_implied(
    parents: ParentCache, paths: Iterable[bytes], index: LayerIndex, lower: Sequence[str]
) -> List[bytes]:
    """Give directories without an entry the metadata they have in `lower`; tells which ones were found there."""
    settled = []
    for path in paths:
        parents.open(path)  # one that only a whiteout implied has not been made yet
        source = None if _hidden(path, index) else open_in_lower(lower, path)
        if source is None:
            continue
        try:
            if stat.S_ISDIR(os.fstat(source).st_mode):
                with readable_dir(parents.open(path)) as fd:
                    copy_metadata(source, fd)
                settled.append(path)
        finally:
            os.close(source)
    return settled


def _hidden(path: bytes, index: LayerIndex) -> bool:
    while path != ROOT and path not in index.opaques:
        path = parent_of(path)
    return path in index.opaques


def _link(parents: ParentCache, source: bytes, path: bytes) -> None:
    source_fd = os.dup(parents.open(parent_of(source)))
    try:
        names = source.rpartition(b"/")[2], path.rpartition(b"/")[2]
        os.link(
            *names,
            src_dir_fd=source_fd,
            dst_dir_fd=parents.open(parent_of(path)),
            follow_symlinks=False,
        )
    finally:
        os.close(source_fd)


def _copy_file(source: int, parent_fd: int, name: bytes) -> None:
    fd = os.open(
        name,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
        dir_fd=parent_fd,
    )
    try:
        piece = os.read(source, PIECE)
        while piece:
            write_all(fd, piece)
            piece = os.read(source, PIECE)
        copy_metadata(source, fd)
    finally:
        os.close(fd)
