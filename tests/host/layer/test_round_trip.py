"""Whatever a command makes of a tree, its layer brings back: captured, written, read, extracted (as root)."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

from hypothesis import HealthCheck, example, given, settings

from imagebuild.layer.capture import capture_upper
from imagebuild.layer.entry import ROOT
from imagebuild.layer.extract import extract_layer
from imagebuild.layer.index import LayerIndex
from imagebuild.layer.removal import remove_path
from imagebuild.layer.tree import TreeView
from imagebuild.layer.writer import LayerWriter
from imagebuild.snapshot import compare, copying
from support.changes import CHANGES, Change, make
from support.trees import in_overlay, tree_state
from support.views import assert_same_tree

SLOW = settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
State = Dict[bytes, Tuple[Any, ...]]


def capture(tree: str, below: TreeView) -> bytes:
    root = below.lookup(ROOT)
    assert root is not None
    out = io.BytesIO()
    writer = LayerWriter(out, compression="none")
    capture_upper(tree, writer, epoch=None, root=root, below=below.lookup)
    writer.finish()
    return out.getvalue()


def unpacked(layer: bytes, directory: str, lower: Tuple[str, ...], mode: str) -> LayerIndex:
    os.makedirs(directory, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY)
    try:
        return extract_layer(io.BytesIO(layer), fd, lower=lower, mode=mode).index
    finally:
        os.close(fd)


def without_root(state: State) -> State:
    return {path: facts for path, facts in state.items() if path != b"."}


def look(root: Path) -> State:
    """A tree without the time of its root: a layer that has nothing else to say of the root leaves it out."""
    state = tree_state(root)
    state[b"."] = (*state[b"."][:4], None, *state[b"."][5:])
    return state


class Place:
    """Directories of one example, all gone behind it."""

    def __init__(self) -> None:
        self._path = tempfile.mkdtemp()

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: Any) -> None:
        remove_path(self._path)

    def at(self, name: str, *, made: bool = True) -> str:
        path = os.path.join(self._path, name)
        if made:
            os.mkdir(path, 0o755)
        return path


INHERITED = [
    ("mkdir", 0, b"a", 0),
    ("mark", 0, b"a", 5),
    ("fifo", 1, b"b", 0),
    ("node", 1, b"c", 0),
]
LINKED = [("fifo", 0, b"a", 0), ("link", 0, b"b", 0), ("node", 0, b"c", 1), ("link", 2, b"d", 0)]


@SLOW
@given(changes=CHANGES)
@example(changes=[Change(*each) for each in INHERITED])
@example(changes=[Change(*each) for each in LINKED])
def test_a_captured_tree_extracted_is_the_same_tree(changes: List[Change]) -> None:
    """Law: a tree and what is extracted from its layer are equal, in times to the nanosecond, and so says the index."""
    with Place() as place:
        tree = place.at("tree")
        make(tree, changes)
        expected = tree_state(Path(tree))

        layer = capture(tree, TreeView(()))
        index = unpacked(layer, place.at("again"), (), "overlay")

        assert without_root(expected) == without_root(
            tree_state(Path(place.at("again", made=False)))
        )
        assert expected == tree_state(
            Path(tree)
        ), "capturing changes no tree that has its own times"
        assert_same_tree(TreeView([index]), expected)


@SLOW
@given(lower=CHANGES, changes=CHANGES)
@example(
    lower=[Change(*each) for each in INHERITED[:2]],
    changes=[
        Change(*each) for each in [*INHERITED[2:], ("put", 1, b"f", 0), ("unmark", 0, b"", 5)]
    ],
)
def test_what_a_command_did_over_an_overlay_comes_back(
    lower: List[Change], changes: List[Change]
) -> None:
    """Law: the base and what is extracted from the command's layer show what the command saw last: under overlayfs, applied
    onto one directory (as other tools unpack), and by the indexes."""
    with Place() as place:
        base, upper = place.at("base"), place.at("upper")
        make(base, lower)
        below = capture(base, TreeView(()))
        extracted = place.at("one")
        indexes = [unpacked(below, extracted, (), "overlay")]

        def change(root: Path) -> State:
            make(str(root), changes)
            return look(root)

        expected = in_overlay([extracted], change, upper=upper)
        layer = capture(upper, TreeView(indexes))

        again = place.at("two")
        indexes.append(unpacked(layer, again, (extracted,), "overlay"))
        assert expected == in_overlay([extracted, again], look)
        assert expected == in_overlay([extracted, upper], look), "the upper itself is kept"
        assert_same_tree(TreeView(indexes), expected)
        for tar in (below, layer):
            unpacked(tar, place.at("flat", made=False), (), "apply")
        flat = look(Path(place.at("flat", made=False)))
        assert without_root(expected) == without_root(flat)


@SLOW
@given(lower=CHANGES, changes=CHANGES)
def test_what_a_command_did_in_a_copied_root_comes_back(
    lower: List[Change], changes: List[Change]
) -> None:
    """The same law for the runtime without overlayfs. It copies no devices (the command could open them)."""
    with Place() as place:
        lower, changes = (
            [change for change in each if change.action != "node"] for each in (lower, changes)
        )
        base, root, upper = (place.at(name) for name in ("base", "root", "upper"))
        make(base, lower)
        below = capture(base, TreeView(()))
        extracted = place.at("one")
        indexes = [unpacked(below, extracted, (), "overlay")]

        copying.copy_merged([extracted], root)
        assert look(Path(extracted)) == look(Path(root))
        before = compare.take(root)
        compare.settle(before, place.at("clock", made=False))
        make(root, changes)
        expected = look(Path(root))
        compare.move_changes(root, before, upper, frozenset())
        layer = capture(upper, TreeView(indexes))

        again = place.at("two")
        indexes.append(unpacked(layer, again, (extracted,), "overlay"))
        assert expected == in_overlay([extracted, again], look)
        assert_same_tree(TreeView(indexes), expected)
