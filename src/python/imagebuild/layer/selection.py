"""The content digest of a selection of paths: what COPY --from reads, and nothing that it does not."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Tuple

from imagebuild import canonical
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry
from imagebuild.layer.pyc import source_path
from imagebuild.oci.hash import Hash

if TYPE_CHECKING:
    from imagebuild.layer.tree import TreeView


Item = Tuple[bytes, Entry, int]
"""A name, and the entry that it is given, with the number of its layer."""


def selection_digest(
    tree: TreeView, groups: Iterable[Iterable[Item]], *, times: bool = False
) -> Hash:
    """sha256 over names, kind, mode, owner, size, content, link target, devices and xattrs.

    The places in the tree are left out. So are times, but for the one that a copy of compiled Python depends on: its source's.
    Files that are one file under several names within the selection are marked as such, because a copy keeps them together.

    :param times: they count after all.
    """
    leaders: Dict[Tuple[int, bytes], List[Any]] = {}
    selected = [
        [
            {
                **_facts(entry, number, name, at, leaders),
                **({"mtime": entry.mtime} if times else _source_time(tree, entry)),
            }
            for name, entry, number in group
        ]
        for at, group in enumerate(groups)
    ]
    return canonical.fingerprint(selected)


def whole(tree: TreeView, path: bytes) -> Iterator[Item]:
    """All that is at `path`, by names relative to it."""
    for entry, number in tree.walk(path):
        yield entry.path[len(path) + 1 :] if entry.path != path else b"", entry, number


def _source_time(tree: TreeView, entry: Entry) -> Dict[str, Any]:
    path = source_path(entry.path)
    source = tree.lookup(path) if path else None
    return {"source_mtime": source.mtime // kinds.NANOSECONDS} if source else {}


def _facts(
    entry: Entry, number: int, name: bytes, at: int, leaders: Dict[Tuple[int, bytes], List[Any]]
) -> Dict[str, Any]:
    kind = kinds.FILE if entry.kind == kinds.HARDLINK else entry.kind
    facts: Dict[str, Any] = {
        "name": _text(name),
        "kind": kind,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
    }
    if kind == kinds.FILE:
        facts["size"], facts["sha256"] = entry.size, entry.sha256
        inode = number, entry.linkname if entry.kind == kinds.HARDLINK else entry.path
        leader = leaders.setdefault(inode, [at, facts["name"]])
        if leader != [at, facts["name"]]:
            facts["same_file_as"] = leader
    elif kind == kinds.SYMLINK:
        facts["target"] = _text(entry.linkname)
    elif kind in (kinds.CHAR, kinds.BLOCK):
        facts["device"] = [entry.dev_major, entry.dev_minor]
    if entry.xattrs:
        facts["xattrs"] = [[name, base64.b64encode(value).decode()] for name, value in entry.xattrs]
    return facts


def _text(name: bytes) -> str:
    return name.decode("latin-1")
