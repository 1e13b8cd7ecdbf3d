"""Comparing a merged view of layer indexes with a tree on disk."""

from __future__ import annotations

import stat
from typing import Any, Dict, Tuple

from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry, order_key
from imagebuild.layer.tree import TreeView

_TYPES = {
    kinds.FILE: stat.S_IFREG,
    kinds.HARDLINK: stat.S_IFREG,
    kinds.DIR: stat.S_IFDIR,
    kinds.SYMLINK: stat.S_IFLNK,
    kinds.FIFO: stat.S_IFIFO,
    kinds.CHAR: stat.S_IFCHR,
    kinds.BLOCK: stat.S_IFBLK,
}


def facts(entry: Entry) -> Tuple[Any, ...]:
    """What `tree_state` says about the same file, but for device, xattrs and link names."""
    content: Any = None
    if entry.kind == kinds.SYMLINK:
        content = entry.linkname
    elif entry.kind in (kinds.FILE, kinds.HARDLINK):
        assert entry.sha256 is not None
        content = entry.size, entry.sha256.hex
    return _TYPES[entry.kind] | entry.mode, entry.uid, entry.gid, entry.mtime, content, entry.xattrs


def assert_same_tree(view: TreeView, state: Dict[bytes, Tuple[Any, ...]]) -> None:
    """The view's walk, look-ups and listings all describe the tree that `tree_state` found (its root aside)."""
    expected = {
        path: (mode, uid, gid, mtime, content, xattrs)
        for path, (mode, uid, gid, _, mtime, content, xattrs, _) in state.items()
        if path != b"."
    }
    walked = [(entry.path, facts(entry)) for entry, _ in view.walk() if entry.path != b"."]

    assert sorted(expected.items(), key=lambda item: order_key(item[0])) == walked
    for path in expected:
        found = view.lookup(path)
        assert found is not None and expected[path] == facts(found)
        below = sorted(
            other[len(path) + 1 :] for other in expected if other.startswith(path + b"/")
        )
        assert [name for name in below if b"/" not in name] == view.children(path)
        assert view.lookup(path + b"/missing") is None
    assert sorted(path for path in expected if b"/" not in path) == view.children(b".")
