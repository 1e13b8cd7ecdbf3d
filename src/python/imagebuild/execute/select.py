"""What a COPY --from selects in a tree: patterns to paths to one digest, from layer indexes alone."""

from __future__ import annotations

from itertools import chain
from typing import List, Mapping, Optional, Sequence, Tuple

from imagebuild.dockerfile.patterns import glob, has_wildcards
from imagebuild.errors import SourceNotInContextError
from imagebuild.execute.trees import to_bytes, to_text, tree_of
from imagebuild.layer.tree import TreeView
from imagebuild.llb.ops import CopyAction, FileOp, Op
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store


def matches(tree: TreeView, pattern: str) -> Tuple[str, ...]:
    """Paths of `tree` that `pattern` (Go's filepath.Match) matches, sorted; a leading slash means nothing."""

    def list_dir(path: str) -> Sequence[str]:
        return [to_text(name) for name in tree.children(tree.resolve(to_bytes(path)))]

    return tuple(sorted(glob(pattern.lstrip("/") or ".", list_dir)))


def selected(tree: TreeView, actions: Sequence[CopyAction]) -> Tuple[bytes, ...]:
    """Everything that `actions` copy from `tree`, with links at the ends of sources followed.

    :raises SourceNotInContextError: for a source that matches nothing.
    """
    paths: List[bytes] = []
    for action in actions:
        found = {pattern: matches(tree, pattern) for pattern in action.sources}
        require_matches(found)
        paths.extend(tree.resolve(to_bytes(path)) for path in chain(*found.values()))
    return tuple(paths)


def require_matches(found: Mapping[str, Sequence[str]]) -> None:
    """A wildcard may match nothing as long as another source of its COPY matches (BuildKit's rule).

    :raises SourceNotInContextError: for a path that is not there, and a COPY that selects nothing at all.
    """
    for pattern, paths in found.items():
        if not paths and (not has_wildcards(pattern) or not any(found.values())):
            raise SourceNotInContextError(
                f'"{pattern}" matches nothing in the stage or image it is copied from',
                expected="a path or Go glob of that filesystem",
                hint="check that an earlier instruction of that stage makes it, and its spelling",
            )


def input_digest(tree: TreeView, op: Op, number: int) -> Hash:
    """Digest of what `op` reads from its input `number`."""
    actions = op.actions if isinstance(op, FileOp) else ()
    copies = [item for item in actions if isinstance(item, CopyAction) and item.input == number]
    return tree.selection_digest(selected(tree, copies))


def selection_digest(store: Store, op: Op, number: int, diff_ids: Sequence[Hash]) -> Optional[Hash]:
    """As `input_digest`, None while it cannot be told (an index is not here, or nothing matches)."""
    tree = tree_of(store, diff_ids)
    if tree is None:
        return None
    try:
        return input_digest(tree, op, number)
    except SourceNotInContextError:
        return None
