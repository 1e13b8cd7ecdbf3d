"""The digest of what a step reads from another stage or image, from layer indexes alone."""

from __future__ import annotations

from typing import Iterator, Optional, Sequence

from imagebuild.errors import SourceNotInContextError
from imagebuild.execute.selection import Selected, require_matches, selection
from imagebuild.execute.sources import TreeFiles
from imagebuild.execute.trees import to_bytes, tree_of
from imagebuild.layer import selection as layer_selection
from imagebuild.layer.selection import Item, whole
from imagebuild.layer.tree import TreeView
from imagebuild.llb.ops import BindMount, CacheMount, CopyAction, ExecOp, Op
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store


def input_digest(tree: TreeView, op: Op, number: int) -> Hash:
    """Digest of what `op` reads from its input `number`.

    :raises SourceNotInContextError: for a source that matches nothing.
    """
    if isinstance(op, ExecOp):
        return _mounted_digest(tree, op, number)
    actions = op.actions
    copies = [item for item in actions if isinstance(item, CopyAction) and item.input == number]
    files = TreeFiles(tree)
    for action in copies:
        require_matches(files, action)
    groups = [_items(item) for action in copies for item in selection(files, action)]
    return layer_selection.selection_digest(tree, groups)


def _mounted_digest(tree: TreeView, op: ExecOp, number: int) -> Hash:
    """A command sees the times of what is mounted, so they count."""
    mounts = [item for item in op.mounts if isinstance(item, (BindMount, CacheMount))]
    sources = [to_bytes(item.source) for item in mounts if item.input == number]
    groups = [whole(tree, tree.resolve(source)) for source in sources]
    return layer_selection.selection_digest(tree, groups, times=True)


def _items(selected: Selected) -> Iterator[Item]:
    """A file's name matters where a wildcard gave it. Of a directory only the contents are copied, so only they matter."""
    if not selected.is_dir:
        yield selected.name if selected.chosen else b"", *selected.found
        return
    for item in selected.below:
        yield item.name, *item.found


def selection_digest(store: Store, op: Op, number: int, diff_ids: Sequence[Hash]) -> Optional[Hash]:
    """As `input_digest`, None while it cannot be told (an index is not here, or nothing matches)."""
    tree = tree_of(store, diff_ids)
    if tree is None:
        return None
    try:
        return input_digest(tree, op, number)
    except SourceNotInContextError:
        return None
