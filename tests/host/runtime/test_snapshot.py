"""Copying a stack of layers, and finding what changed in the copy."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebuild.snapshot import compare, copying

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ACTIONS = st.sampled_from(
    ["write", "mkdir", "remove", "link", "symlink", "chmod", "rename", "append"]
)
STEPS = st.lists(st.tuples(ACTIONS, PATHS, PATHS), max_size=12)


def act(root: Path, action: str, path: Path, other: Path) -> None:
    """One change to a tree; what cannot be done is not."""
    try:
        if action == "write":
            path.write_text(str(other))
        elif action == "append":
            with open(path, "a") as file:
                file.write("+")
        elif action == "mkdir":
            path.mkdir(parents=True)
        elif action == "remove":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        elif action == "link":
            os.link(other, path, follow_symlinks=False)
        elif action == "symlink":
            path.symlink_to(other.name)
        elif action == "chmod":
            path.chmod(0o640 if path.is_file() else 0o750)
        elif action == "rename":
            path.rename(other)
    except OSError:
        pass


def change(root: Path, steps: List[Tuple[str, str, str]]) -> None:
    for action, path, other in steps:
        act(root, action, root / path, root / other)


def tree(root: Path) -> Dict[str, Tuple[object, ...]]:
    out: Dict[str, Tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        link = os.readlink(path) if path.is_symlink() else ""
        content = path.read_text() if stat.S_ISREG(status.st_mode) else ""
        out[str(path.relative_to(root))] = (status.st_mode, link, content)
    return out


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=STEPS, second=STEPS)
def test_base_and_changes_make_the_changed_tree(
    first: List[Tuple[str, str, str]], second: List[Tuple[str, str, str]]
) -> None:
    """Law (F33): copy_merged([base, move_changes(...)]) == the tree as it was after the changes."""
    here = Path(tempfile.mkdtemp())
    try:
        base, root, upper, again = (here / n for n in ("base", "root", "upper", "again"))
        for directory in (base, root, upper, again):
            directory.mkdir()
        change(base, first)
        copying.copy_merged([str(base)], str(root))
        assert tree(base) == tree(root)
        before = compare.take(str(root))
        compare.settle(before, str(here / "clock"))
        change(root, second)
        expected = tree(root)

        compare.move_changes(str(root), before, str(upper), frozenset())

        copying.copy_merged([str(base), str(upper)], str(again))
        assert expected == tree(again)
    finally:
        shutil.rmtree(here)


def test_copies_keep_what_a_layer_says(tmp_path: Path) -> None:
    layer, root = tmp_path / "layer", tmp_path / "root"
    (layer / "d").mkdir(parents=True)
    root.mkdir()
    (layer / "f").write_text("x")
    os.chown(layer / "f", 70000, 80000)
    (layer / "f").chmod(0o4711)
    os.setxattr(layer / "f", "user.note", b"\0binary")
    os.setxattr(
        layer / "f",
        "security.capability",
        bytes.fromhex("0100000200040000000000000000000000000000"),
    )
    (layer / "l").symlink_to("/absolute/nowhere")
    os.lchown(layer / "l", 5, 6)
    os.mkfifo(layer / "p", 0o640)
    os.link(layer / "f", layer / "d/hard")
    (layer / os.fsdecode(b"\xff\n")).write_text("bytes")
    (layer / "d").chmod(0o2750)
    for path in (layer / "f", layer / "l", layer / "d"):
        os.utime(path, ns=(1, 1_234_567_891), follow_symlinks=False)

    copying.copy_merged([str(layer)], str(root))

    assert tree(layer) == tree(root)
    for name in ("f", "l", "d", "p"):
        expected, found = (layer / name).lstat(), (root / name).lstat()
        fields = ("st_mode", "st_uid", "st_gid", "st_nlink", "st_size")
        assert [getattr(expected, f) for f in fields] == [getattr(found, f) for f in fields], name
    for name in ("f", "l", "d"):
        assert 1_234_567_891 == (root / name).lstat().st_mtime_ns
    for name in ("user.note", "security.capability"):
        assert os.getxattr(layer / "f", name) == os.getxattr(root / "f", name)


def test_holes_stay_holes(tmp_path: Path) -> None:
    layer, root = tmp_path / "layer", tmp_path / "root"
    for directory in (layer, root):
        directory.mkdir()
    with open(layer / "sparse", "wb") as file:
        file.truncate(1 << 30)
        file.seek(500 << 20)
        file.write(b"data")

    copying.copy_merged([str(layer)], str(root))

    found = (root / "sparse").stat()
    assert 1 << 30 == found.st_size
    assert found.st_blocks * 512 < 1 << 20
    with open(root / "sparse", "rb") as file:
        file.seek(500 << 20)
        assert b"data\0" == file.read(5)


@pytest.mark.parametrize("name", ["trusted.overlay.opaque", "user.overlay.opaque"])
def test_whiteouts_and_opaque_directories(tmp_path: Path, name: str) -> None:
    layers = [tmp_path / str(n) for n in range(3)]
    root = tmp_path / "root"
    for path in ("0/d/old", "0/e/gone", "0/keep/x", "1/d", "2/keep/y", "root"):
        (tmp_path / path).mkdir(parents=True)
    (layers[1] / "d/new").write_text("new")
    os.setxattr(layers[1] / "d", name, b"y")
    os.mknod(layers[1] / "e", stat.S_IFCHR, os.makedev(0, 0))
    (layers[2] / "d").mkdir()
    (layers[2] / "d/newer").write_text("newer")

    copying.copy_merged([str(layer) for layer in layers], str(root))

    assert ["d", "d/new", "d/newer", "keep", "keep/x", "keep/y"] == sorted(tree(root))


def test_a_change_that_sets_the_time_back_is_seen(tmp_path: Path) -> None:
    """The same size and mtime: only ctime tells."""
    root, upper = tmp_path / "root", tmp_path / "upper"
    for directory in (root, upper):
        directory.mkdir()
    (root / "f").write_text("aaaa")
    times = (root / "f").stat()
    before = compare.take(str(root))
    compare.settle(before, str(tmp_path / "clock"))

    (root / "f").write_text("bbbb")
    os.utime(root / "f", ns=(times.st_atime_ns, times.st_mtime_ns))
    compare.move_changes(str(root), before, str(upper), frozenset())

    assert "bbbb" == (upper / "f").read_text()
