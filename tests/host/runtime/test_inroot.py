"""Paths of an image resolve inside its root, links as text."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Tuple

import pytest

from imagebuild.runtime.inroot import resolve

LINKS = {
    "absolute": "/dir/sub",
    "relative": "dir/sub",
    "up": "../../../../dir",
    "dir/parent": "..",
    "loop": "loop",
    "long/loop": "/long2",
    "long2": "long/loop",
    "dead": "/nowhere/at/all",
    "file-link": "dir/file",
    "dotted": "./dir/./sub/../sub",
}

GOOD: Tuple[Tuple[str, Tuple[str, ...], Tuple[str, ...]], ...] = (
    ("/", (), ()),
    ("", (), ()),
    ("/..", (), ()),
    ("../../dir", ("dir",), ()),
    ("/dir/sub", ("dir", "sub"), ()),
    ("//dir//./sub/", ("dir", "sub"), ()),
    ("/absolute", ("dir", "sub"), ()),
    ("/relative/x", ("dir", "sub"), ("x",)),
    ("/up/sub", ("dir", "sub"), ()),
    ("/dir/parent/dir", ("dir",), ()),
    ("/dir/parent/parent2", (), ("parent2",)),
    ("/dead", (), ("nowhere", "at", "all")),
    ("/dead/x", (), ("nowhere", "at", "all", "x")),
    ("/a/b/c", (), ("a", "b", "c")),
    ("/file-link", ("dir", "file"), ()),
    ("/dotted", ("dir", "sub"), ()),
    ("/dir/sub/../../../../dir/file", ("dir", "file"), ()),
)

BAD = (
    ("/loop", errno.ELOOP),
    ("/long/loop/x", errno.ELOOP),
    ("/dir/file/x", errno.ENOTDIR),
    ("/file-link/x", errno.ENOTDIR),
    ("/nowhere/../dir", errno.ENOENT),
)


@pytest.fixture
def root(tmp_path: Path) -> int:
    base = tmp_path / "root"
    (base / "dir/sub").mkdir(parents=True)
    (base / "long").mkdir()
    (base / "dir/file").write_text("x")
    for name, target in LINKS.items():
        (base / name).symlink_to(target)
    return os.open(base, os.O_PATH)


@pytest.mark.parametrize("path, found, missing", GOOD, ids=[path for path, _, _ in GOOD])
def test_good(root: int, path: str, found: Tuple[str, ...], missing: Tuple[str, ...]) -> None:
    open_before = len(os.listdir("/proc/self/fd"))

    where = resolve(root, path)

    assert (found, missing) == (where.found, where.missing)
    expected = os.stat("/".join(found) or ".", dir_fd=root)
    assert os.path.samestat(expected, os.fstat(where.fd))
    os.close(where.fd)
    assert open_before == len(os.listdir("/proc/self/fd"))
    os.close(root)


@pytest.mark.parametrize("path, number", BAD, ids=[path for path, _ in BAD])
def test_bad(root: int, path: str, number: int) -> None:
    open_before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(OSError) as caught:
        resolve(root, path)

    assert number == caught.value.errno
    assert open_before == len(os.listdir("/proc/self/fd"))
    os.close(root)


def test_the_last_link_can_be_kept(root: int) -> None:
    where = resolve(root, "/dead", follow_last=False)

    assert (("dead",), ()) == (where.found, where.missing)
    assert "/nowhere/at/all" == os.readlink("", dir_fd=where.fd)
    os.close(where.fd)
    os.close(root)
