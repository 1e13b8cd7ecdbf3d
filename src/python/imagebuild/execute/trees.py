"""Merged views of layers in the store, and their paths as text."""

from __future__ import annotations

from typing import Optional, Sequence

from imagebuild.errors import LayerMissingError
from imagebuild.layer.tree import TreeView
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store


def to_bytes(path: str) -> bytes:
    """A path of an op as bytes; names that are not UTF-8 survive as surrogates."""
    return path.encode("utf-8", "surrogateescape")


def to_text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def text_of(tree: TreeView, path: bytes) -> str:
    """The text of etc/passwd or etc/group, "" where the tree has none."""
    return to_text(tree.read_text(path) or b"")


def needed_tree(store: Store, diff_ids: Sequence[Hash]) -> TreeView:
    """:raises LayerMissingError: naming the layers whose index the store lacks."""
    tree = tree_of(store, diff_ids)
    if tree is None:
        missing = tuple(str(each) for each in diff_ids if store.index_of(each) is None)
        raise LayerMissingError(f"the store lacks {len(missing)} layer indexes", diff_ids=missing)
    return tree


def tree_of(store: Store, diff_ids: Sequence[Hash]) -> Optional[TreeView]:
    """The merged view of layers, None when the store lacks the index of one of them."""
    indexes = [store.index_of(diff_id) for diff_id in diff_ids]
    known = [index for index in indexes if index is not None]
    return TreeView(known) if len(known) == len(indexes) else None
