"""Extracted layers under a real overlayfs: the merged view agrees, and hostile layers stay in (as root)."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import List

import pytest
from hypothesis import HealthCheck, given, settings

from imagebuild.errors import IntegrityError
from imagebuild.layer import entry as kinds
from imagebuild.layer.capture import capture_upper
from imagebuild.layer.entry import Entry
from imagebuild.layer.extract import extract_layer
from imagebuild.layer.index import LayerIndex
from imagebuild.layer.tree import TreeView
from imagebuild.layer.writer import LayerWriter, write_layer
from support.breakouts import CASES, Case, canaries, plant, unpack
from support.layer_strategies import Item, histories
from support.tars import directory, hardlink, make_tar, member, symlink
from support.trees import in_overlay, tree_state
from support.views import assert_same_tree

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def pile(
    history: List[bytes], where: str, *, walk: bool = False
) -> tuple[List[str], List[LayerIndex]]:
    """Extract layers one above the other; (directories, indexes), lowest first."""
    directories: List[str] = []
    indexes: List[LayerIndex] = []
    for number, data in enumerate(history):
        path = os.path.join(where, f"layer{number}")
        os.mkdir(path)
        fd = os.open(path, os.O_RDONLY)
        try:
            result = extract_layer(
                io.BytesIO(data), fd, lower=tuple(reversed(directories)), walk=walk
            )
        finally:
            os.close(fd)
        directories.append(path)
        indexes.append(result.index)
    return directories, indexes


def layer(items: List[Item]) -> bytes:
    out = io.BytesIO()
    write_layer(out, items)
    return out.getvalue()


@SLOW
@given(history=histories(implied=True))
def test_the_view_is_what_overlayfs_shows(history: List[List[Item]]) -> None:
    """Law: for every history of layers, the view over their indexes equals what overlayfs makes of them extracted."""
    with tempfile.TemporaryDirectory() as where:
        directories, indexes = pile([layer(items) for items in history], where)

        assert_same_tree(TreeView(indexes), in_overlay(directories, tree_state))


@SLOW
@given(history=histories(implied=True))
def test_capturing_an_extracted_layer_gives_it_back(history: List[List[Item]]) -> None:
    """Law: the layer captured from an extracted layer's directory is that layer, its implied directories spelled out."""
    with tempfile.TemporaryDirectory() as where:
        directories, indexes = pile([layer(items) for items in history], where)
        for path, index in zip(directories, indexes):
            before = tree_state(Path(path))
            out = io.BytesIO()
            writer = LayerWriter(out)
            capture_upper(
                path,
                writer,
                epoch=2_100_000_000,
                root=Entry(b".", kinds.DIR, os.stat(path).st_mode & 0o7777),
            )
            captured = list(writer.finish().index.scan())

            explicit = [entry for entry in index.scan() if not entry.implied and entry.path != b"."]
            assert explicit == [
                entry for entry in captured if entry.path in {kept.path for kept in explicit}
            ]
            assert before == tree_state(Path(path))


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_layer_for_overlayfs_stays_in_its_root(tmp_path: Path, case: Case, walk: bool) -> None:
    root = plant(tmp_path)
    lower = tmp_path / "lower"
    lower.mkdir()
    if case.before:
        unpack(lower, make_tar(*case.before), "overlay", walk)
    untouched = [canaries(root), tree_state(lower)]

    if case.holds is None:
        with pytest.raises(IntegrityError):
            unpack(root, make_tar(*case.layer), "overlay", walk, (str(lower),))
    else:
        unpack(root, make_tar(*case.layer), "overlay", walk, (str(lower),))

    assert untouched == [canaries(root), tree_state(lower)]


def test_overlay_attributes_in_a_layer_mean_nothing(tmp_path: Path) -> None:
    """F32: a layer cannot speak to overlayfs by itself."""
    headers = {
        f"SCHILY.xattr.{space}.overlay.{name}": "y"
        for space in ("trusted", "user")
        for name in ("opaque", "redirect")
    }
    sly = [directory("d", pax_headers={**headers, "SCHILY.xattr.user.kept": "1"})]
    directories, _ = pile(
        [make_tar(directory("d"), member("d/f", b"below")), make_tar(*sly)], str(tmp_path)
    )

    assert [b".", b"d", b"d/f"] == sorted(in_overlay(directories, tree_state))
    assert ["user.kept"] == os.listxattr(os.path.join(directories[1], "d"))
    assert b"below" == in_overlay(directories, lambda root: (root / "d" / "f").read_bytes())


def test_devices_owners_capabilities_and_bits(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    items: List[Item] = [
        (Entry(b"dev", kinds.DIR, 0o755), None),
        (Entry(b"dev/block", kinds.BLOCK, 0o660, 0, 6, mtime=5, dev_major=8, dev_minor=1), None),
        (Entry(b"dev/null", kinds.CHAR, 0o666, mtime=7, dev_major=1, dev_minor=3), None),
        (
            Entry(
                b"ping", kinds.FILE, 0o755, 0, 0, 2, xattrs=(("security.capability", capability),)
            ),
            b"#!",
        ),
        (Entry(b"su", kinds.FILE, 0o6755, 4_000_000_000, 7, 2), b"#!"),
        (Entry(b"tmp", kinds.DIR, 0o1777, 3, 4), None),
        (Entry(b"tmp/fifo", kinds.FIFO, 0o622, 3, 4), None),
    ]
    directories, indexes = pile([layer(items)], str(tmp_path))

    assert_same_tree(TreeView(indexes), tree_state(Path(directories[0])))
    assert os.makedev(8, 1) == os.lstat(os.path.join(directories[0], "dev/block")).st_rdev
    assert capability == os.getxattr(os.path.join(directories[0], "ping"), "security.capability")


def test_default_acls_and_setgid_directories_do_not_leak_into_what_is_below(tmp_path: Path) -> None:
    acl = bytes.fromhex(
        "02000000"
        "01000700ffffffff"
        "02000600e8030000"
        "04000500ffffffff"
        "10000700ffffffff"
        "20000500ffffffff"
    )
    items: List[Item] = [
        (Entry(b"d", kinds.DIR, 0o2755, 0, 50, xattrs=(("system.posix_acl_default", acl),)), None),
        (Entry(b"d/f", kinds.FILE, 0o600, 0, 0, 1), b"x"),
        (Entry(b"d/sub", kinds.DIR, 0o700), None),
    ]
    directories, indexes = pile([layer(items)], str(tmp_path))

    assert_same_tree(TreeView(indexes), tree_state(Path(directories[0])))


def test_implied_directories_take_their_metadata_from_below(tmp_path: Path) -> None:
    base = make_tar(
        directory("srv", 0o2750, uid=5, gid=6, mtime=77),
        symlink("lib", "srv"),
        directory("gone", 0o700),
    )
    middle = make_tar(member(".wh.gone"))
    upper = make_tar(member("srv/app/f", b"1"), member("lib/so", b"2"), member("gone/f", b"3"))
    directories, indexes = pile([base, middle, upper], str(tmp_path))

    assert indexes[2].implied
    assert_same_tree(TreeView(indexes), in_overlay(directories, tree_state))
    state = in_overlay(directories, tree_state)
    assert (0o42750, 5, 6) == state[b"srv"][:3]
    assert 0o40755 == state[b"gone"][0] == state[b"srv/app"][0] == state[b"lib"][0]


def test_hard_links_into_lower_layers(tmp_path: Path) -> None:
    base = make_tar(directory("d"), member("d/f", b"data", mode=0o4711))
    upper = make_tar(hardlink("a", "d/f"), hardlink("b", "/d/f"))
    directories, indexes = pile([base, upper], str(tmp_path))

    state = in_overlay(directories, tree_state)
    assert state[b"d/f"][:6] == state[b"a"][:6] == state[b"b"][:6]
    assert b"a" == state[b"b"][-1], "the two are one file"
    assert_same_tree(TreeView(indexes), state)
    with pytest.raises(IntegrityError, match="which no layer has"):
        unpack(tmp_path, make_tar(hardlink("a", "d/f")), "overlay", False, (directories[1],))


def test_a_sparse_file_stays_sparse(tmp_path: Path) -> None:
    size = 64 << 20
    sparse = tmp_path / "upper" / "f"
    sparse.parent.mkdir()
    with open(sparse, "wb") as file:
        for at in (1 << 20, 20 << 20, 63 << 20):
            file.seek(at)
            file.write(b"data")
        file.truncate(size)
    out = io.BytesIO()
    writer = LayerWriter(out)
    capture_upper(str(sparse.parent), writer, epoch=None)
    writer.finish()
    directories, _ = pile([out.getvalue()], str(tmp_path))

    status = os.stat(os.path.join(directories[0], "f"))
    assert sparse.read_bytes() == Path(directories[0], "f").read_bytes()
    assert status.st_blocks * 512 < 1 << 20
    assert len(out.getvalue()) < 1 << 20
