"""Capture: a tree becomes a layer, and is brought in line with it."""

from __future__ import annotations

import io
import os
import py_compile
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from imagebuild.errors import MalformedError
from imagebuild.layer import entry as kinds
from imagebuild.layer.capture import capture_upper
from imagebuild.layer.entry import NANOSECONDS, Entry
from imagebuild.layer.removal import remove_path
from imagebuild.layer.writer import LayerWriter, WrittenLayer
from imagebuild.oci.hash import Hash

EPOCH = 1_000_000_000
OLD, NEW = 900_000_000, 1_700_000_000


def capture(tree: Path, **options: Any) -> WrittenLayer:
    writer = LayerWriter(io.BytesIO())
    capture_upper(str(tree), writer, **{"epoch": EPOCH, **options})
    return writer.finish()


def entries(layer: WrittenLayer) -> Dict[bytes, Entry]:
    return {entry.path: entry for entry in layer.index.scan()}


def put(path: Path, data: bytes = b"", *, mtime: float = NEW, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, ns=(0, int(mtime * NANOSECONDS)))
    return path


@pytest.fixture()
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "upper"
    tree.mkdir(mode=0o755)
    return tree


def test_times_are_clamped_in_the_layer_and_in_the_tree(tree: Path) -> None:
    put(tree / "d" / "new", mtime=NEW + 0.5)
    put(tree / "d" / "old", mtime=OLD + 0.25)
    os.symlink("x", tree / "d" / "link")
    os.mkfifo(tree / "d" / "fifo")

    found = entries(capture(tree))

    expected = {b"d": EPOCH, b"d/new": EPOCH, b"d/old": OLD, b"d/link": EPOCH, b"d/fifo": EPOCH}
    assert {path: at * NANOSECONDS for path, at in expected.items()} == {
        path: entry.mtime for path, entry in found.items()
    }
    assert found == {
        path: entry
        for path, entry in found.items()
        if os.lstat(tree / os.fsdecode(path)).st_mtime_ns == entry.mtime
    }


def test_real_times_where_asked_for(tree: Path) -> None:
    put(tree / "f", mtime=NEW + 0.5)

    assert (NEW + 0.5) * NANOSECONDS == entries(capture(tree, epoch=None))[b"f"].mtime
    assert (NEW + 0.5) * NANOSECONDS == os.stat(tree / "f").st_mtime_ns


def test_the_same_files_give_the_same_layer(tmp_path: Path) -> None:
    layers = []
    for number, names in enumerate((["a", "b", "c"], ["c", "a", "b"])):
        root = tmp_path / f"tree{number}"
        root.mkdir()
        for name in names:
            put(root / name, name.encode(), mtime=NEW + number)
        layers.append(capture(root).layer)

    assert layers[0] == layers[1]


def test_kinds(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tree / "a", b"data", mode=0o4755)
    os.link(tree / "a", tree / "b")
    os.link(tree / "a", tree / "0")
    os.symlink("/a", tree / "l")
    os.mkfifo(tree / "p", 0o600)
    (tree / "d").mkdir(mode=0o711)
    os.setxattr(tree / "d", "user.x", b"1")
    os.setxattr(tree / "d", "user.overlay.impure", b"y")
    monkeypatch.chdir(tree)  # a socket's path is short
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("s")
    listener.close()

    found = entries(capture(tree))

    assert [b"0", b"a", b"b", b"d", b"l", b"p"] == list(found)
    assert (kinds.FILE, 0o4755, 4, Hash.of(b"data")) == (
        found[b"0"].kind,
        found[b"0"].mode,
        found[b"0"].size,
        found[b"0"].sha256,
    )
    assert (kinds.HARDLINK, b"0", Hash.of(b"data")) == (
        found[b"a"].kind,
        found[b"a"].linkname,
        found[b"a"].sha256,
    )
    assert (kinds.DIR, 0o711, (("user.x", b"1"),)) == (
        found[b"d"].kind,
        found[b"d"].mode,
        found[b"d"].xattrs,
    )
    assert (kinds.SYMLINK, b"/a") == (found[b"l"].kind, found[b"l"].linkname)


def test_a_socket_leaves_nothing_but_what_it_hides(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)  # a socket's path is short
    for name in ("new", "old"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
    below = {b"old": Entry(b"old", kinds.FILE)}

    found = entries(capture(tree, below=below.get))

    assert {b"old": kinds.WHITEOUT} == {path: entry.kind for path, entry in found.items()}
    assert ["old"] == os.listdir(tree), "the tree is what the layer says, for steps that run on it"
    assert 0 == os.lstat(tree / "old").st_rdev


def test_the_root_is_recorded_only_where_it_changed(tree: Path) -> None:
    own = Entry(b".", kinds.DIR, 0o755, os.getuid(), os.getgid())
    assert {} == entries(capture(tree, root=own))

    tree.chmod(0o700)
    assert [(b".", 0o700)] == [
        (entry.path, entry.mode) for entry in entries(capture(tree, root=own)).values()
    ]


@pytest.mark.parametrize("name", [".wh.f", ".wh..wh..opq"])
@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "directory"])
def test_names_of_whiteouts_are_refused(tree: Path, name: str, make: Any) -> None:
    make(tree / name)

    with pytest.raises(MalformedError, match="mean deletion"):
        capture(tree)


def test_features_of_overlayfs_that_we_do_not_use_are_refused(tree: Path) -> None:
    (tree / "d").mkdir()
    os.setxattr(tree / "d", "user.overlay.redirect", b"/other")

    with pytest.raises(MalformedError, match="redirect"):
        capture(tree)


def test_a_very_deep_tree(tree: Path) -> None:
    """Deeper than Python recurses and than descriptors last."""
    depth, fd = 1500, os.open(tree, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        fd, above = os.open("d", os.O_RDONLY, dir_fd=fd), fd
        os.close(above)
    os.close(os.open("f", os.O_CREAT, dir_fd=fd))
    os.close(fd)

    try:
        assert depth + 1 == capture(tree).index.entries
    finally:
        remove_path(str(tree))  # pytest could not
    assert not tree.exists()


def header(path: Path) -> Any:
    return struct.unpack("<4xIII", path.read_bytes()[:16])


def module(tree: Path, name: str = "m.py", *, mtime: float = NEW) -> Path:
    return put(tree / "pkg" / name, b"VALUE = 1\n", mtime=mtime)


def compiled(source: Path, **options: Any) -> Path:
    mode = py_compile.PycInvalidationMode.TIMESTAMP
    made = py_compile.compile(str(source), doraise=True, invalidation_mode=mode, **options)
    assert made
    return Path(made)


def test_compiled_python_follows_its_source(tree: Path) -> None:
    """The clamped source and its cache belong together, in the layer's bytes and in the tree."""
    source = module(tree, mtime=NEW + 0.7)
    cache = compiled(source)
    beside = compiled(source, cfile=str(tree / "pkg" / "m.pyc"))
    optimized = compiled(source, optimize=2)

    found = entries(capture(tree))

    for pyc in (cache, beside, optimized):
        assert (0, EPOCH) == header(pyc)[:2]
        assert Hash.of(pyc.read_bytes()) == found[os.fsencode(pyc.relative_to(tree))].sha256
        assert EPOCH == os.stat(pyc).st_mtime
    run = [sys.executable, "-B", "-v", "-c", "import pkg.m"]
    output = subprocess.run(run, cwd=tree, stderr=subprocess.PIPE, check=True).stderr.decode()
    assert "matches " in output and f"code object from '{cache}'" in output.replace(
        str(tree) + "/pkg", str(tree / "pkg")
    )


def patched_untouched(tree: Path, pyc: Path) -> bool:
    before = pyc.read_bytes()
    capture(tree)
    return before == pyc.read_bytes()


def test_compiled_python_that_is_left_alone(tree: Path) -> None:
    old = compiled(module(tree, "old.py", mtime=OLD))
    assert patched_untouched(tree, old), "its source keeps its time"

    stale = compiled(module(tree, "stale.py"))
    module(tree, "stale.py", mtime=NEW + 5)
    assert patched_untouched(tree, stale), "it was stale before and stays so"

    source = module(tree, "hashed.py")
    hashed = Path(py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH))  # type: ignore[arg-type]
    assert patched_untouched(tree, hashed), "it is checked by hash"

    orphan = compiled(module(tree, "orphan.py"))
    (tree / "pkg" / "orphan.py").unlink()
    assert patched_untouched(tree, orphan), "it has no source"

    short = put(tree / "pkg" / "__pycache__" / "short.cpython-39.pyc", b"x")
    module(tree, "short.py")
    assert patched_untouched(tree, short), "it is no compiled file"
