"""The merged view of layers agrees with the layers applied one after the other; indexes are what they say."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Dict, List, Optional

import pytest
from hypothesis import HealthCheck, given, settings

from imagebuild.errors import ContextError, MalformedError, UnsafePathError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry
from imagebuild.layer.extract import extract_layer
from imagebuild.layer.index import LayerIndex
from imagebuild.layer.tree import TreeView
from imagebuild.layer.writer import write_layer
from imagebuild.oci.hash import Hash
from support.entries import directory, file, link
from support.layer_strategies import Item, histories
from support.trees import tree_state
from support.views import assert_same_tree

SLOW = settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))


def view(*layers: List[Entry], texts: Optional[Dict[bytes, bytes]] = None) -> TreeView:
    return TreeView([LayerIndex.from_entries(entries, texts) for entries in layers])


@SLOW
@given(history=histories(implied=False))
def test_the_view_is_what_applying_gives(history: List[List[Item]]) -> None:
    """Law: for every history of layers, the view over their indexes equals the tree that they leave behind."""
    indexes = []
    with tempfile.TemporaryDirectory() as root:
        for items in history:
            out = io.BytesIO()
            indexes.append(write_layer(out, items).index)
            fd = os.open(root, os.O_RDONLY)
            extract_layer(io.BytesIO(out.getvalue()), fd, mode="apply")
            os.close(fd)

        assert_same_tree(TreeView(indexes), tree_state(Path(root)))


@SLOW
@given(history=histories(implied=True))
def test_an_answer_does_not_depend_on_what_was_asked_before(history: List[List[Item]]) -> None:
    """Law: of what is known to be absent nothing is asked below, and that tells the same."""
    indexes = [write_layer(io.BytesIO(), items).index for items in history]
    places = {kinds.ROOT, b"nowhere"} | {item.path for items in history for item, _ in items}
    paths = sorted(places | {kinds.join(place, b"x") for place in places})
    asked = TreeView(indexes)

    for path in paths:
        assert TreeView(indexes).find(path) == asked.find(path), path


RESOLVED = [
    ("plain", b"usr/bin/x", b"usr/bin/x"),
    ("through a link", b"bin/x", b"usr/bin/x"),
    ("absolute link", b"var/run/x", b"run/x"),
    ("a link at the end", b"sh", b"usr/bin/dash"),
    ("up from a link", b"bin/../lib", b"usr/lib"),
    ("climbing", b"../../bin", b"usr/bin"),
    ("climbing link", b"climb/usr", b"usr"),
    ("missing", b"var/run/not/../there", b"run/there"),
    ("root", b".", b"."),
    ("slashes", b"/usr//bin/./", b"usr/bin"),
]
LINKS = [
    directory(b"usr/bin"),
    link(b"bin", b"usr/bin"),
    link(b"var/run", b"/run"),
    link(b"usr/bin/sh", b"dash"),
    link(b"sh", b"/bin/sh"),
    link(b"climb", b"../../../.."),
    link(b"loop", b"loop2"),
    link(b"loop2", b"./loop"),
]


@pytest.mark.parametrize(
    ("path", "expected"), [row[1:] for row in RESOLVED], ids=[row[0] for row in RESOLVED]
)
def test_resolve(path: bytes, expected: bytes) -> None:
    assert expected == view(LINKS).resolve(path)


def test_resolve_ends() -> None:
    with pytest.raises(UnsafePathError, match="40"):
        view(LINKS).resolve(b"loop/x")
    assert b"loop" == view(LINKS).resolve(b"loop", follow_leaf=False)
    assert b"usr/bin/sh" == view(LINKS).resolve(b"bin/sh", follow_leaf=False)


def test_implied_directories_have_the_metadata_below() -> None:
    tree = view([directory(b"srv", mode=0o700, uid=5)], [file(b"srv/app/x")], [file(b"srv/y")])

    assert (0o700, 5) == (tree.lookup(b"srv").mode, tree.lookup(b"srv").uid)  # type: ignore[union-attr]
    assert 0o755 == tree.lookup(b"srv/app").mode  # type: ignore[union-attr]
    assert [b"app", b"y"] == tree.children(b"srv")


def test_hard_links() -> None:
    below = [file(b"a", b"data", uid=7)]
    tree = view(
        below,
        [Entry(b"z", kinds.HARDLINK, linkname=b"a")],
        [file(b"n", b"new"), Entry(b"o", kinds.HARDLINK, linkname=b"n")],
    )

    foreign, own = tree.lookup(b"z"), tree.lookup(b"o")
    assert foreign is not None and own is not None
    assert (kinds.HARDLINK, Hash.of(b"data"), 4, 7) == (
        foreign.kind,
        foreign.sha256,
        foreign.size,
        foreign.uid,
    )
    assert (kinds.HARDLINK, Hash.of(b"new"), b"n") == (own.kind, own.sha256, own.linkname)


def test_read_text() -> None:
    passwd = b"root:x:0:0\n"
    base = LayerIndex.from_entries([file(b"etc/passwd", passwd)], {b"etc/passwd": passwd})
    gone = LayerIndex.from_entries([Entry(b"etc/passwd", kinds.WHITEOUT)])
    elsewhere = LayerIndex.from_entries(
        [link(b"etc/passwd", b"/usr/passwd"), file(b"usr/passwd", b"x")]
    )

    assert passwd == TreeView([base]).read_text(b"etc/passwd")
    assert TreeView([base]).read_text(b"etc/group") is None
    assert TreeView([base, gone]).read_text(b"etc/passwd") is None
    with pytest.raises(ContextError, match="usr/passwd"):
        TreeView([base, elsewhere]).read_text(b"etc/passwd")


def test_a_huge_passwd_is_not_kept() -> None:
    out = io.BytesIO()
    size = (4 << 20) + 1
    index = write_layer(out, [(Entry(b"etc/passwd", kinds.FILE, size=size), bytes(size))]).index

    with pytest.raises(MalformedError, match=str(size)):
        TreeView([index]).read_text(b"etc/passwd")


SELECTED = [
    directory(b"s/d"),
    file(b"s/d/f", b"data", xattrs=(("user.a", b"1"),)),
    link(b"s/l", b"d"),
    Entry(b"s/h", kinds.HARDLINK, linkname=b"s/d/f"),
]
CHANGES: Dict[str, List[Entry]] = {
    "name": [
        *SELECTED,
        Entry(b"s/d/f", kinds.WHITEOUT),
        file(b"s/d/g", b"data", xattrs=(("user.a", b"1"),)),
    ],
    "content": [file(b"s/d/f", b"dat4", xattrs=(("user.a", b"1"),))],
    "mode": [
        Entry(
            b"s/d/f", kinds.FILE, 0o600, size=4, sha256=Hash.of(b"data"), xattrs=(("user.a", b"1"),)
        )
    ],
    "owner": [file(b"s/d/f", b"data", uid=1, xattrs=(("user.a", b"1"),))],
    "xattr": [file(b"s/d/f", b"data", xattrs=(("user.a", b"2"),))],
    "link target": [link(b"s/l", b"/d")],
    "kind": [Entry(b"s/l", kinds.FIFO, 0o777)],
    "directory mode": [directory(b"s/d", mode=0o700)],
    "one more": [file(b"s/x")],
    "one less": [Entry(b"s/l", kinds.WHITEOUT)],
    "no longer one file": [file(b"s/h", b"data", xattrs=(("user.a", b"1"),))],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_a_selection_holds_changes_its_digest(change: List[Entry]) -> None:
    assert view(SELECTED).selection_digest([b"s"]) != view(SELECTED, change).selection_digest(
        [b"s"]
    )


def test_what_a_selection_does_not_hold_leaves_its_digest() -> None:
    digest = view(SELECTED).selection_digest([b"s"])
    later = [
        file(b"s/d/f", b"data", mtime=9, xattrs=(("user.a", b"1"),)),
        Entry(b"s/h", kinds.HARDLINK, linkname=b"s/d/f"),
    ]
    moved = [
        Entry(
            **{
                **vars(entry),
                "path": b"t" + entry.path,
                "linkname": entry.linkname.replace(b"s/", b"ts/"),
            }
        )
        for entry in SELECTED
    ]

    assert digest == view(SELECTED, [file(b"other")]).selection_digest([b"s"])
    assert digest == view(SELECTED, later).selection_digest([b"s"])
    assert digest == view(moved).selection_digest([b"ts"])
    assert digest != view(SELECTED).selection_digest([b"s", b"s"])
