"""Files that open(2) gives their owner and mode are as those that fchown(2) and fchmod(2) finish (as root)."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings

from imagebuild.errors import ImageBuildError
from imagebuild.layer import extraction
from imagebuild.layer.extract import extract_layer
from imagebuild.layer.new_files import NewFiles
from imagebuild.layer.removal import remove_path
from support.members import members
from support.tars import directory, make_tar, member
from support.trees import tree_state

SLOW = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
ACL = bytes.fromhex("02000000" "01000700ffffffff" "04000500ffffffff" "08000700e8030000")
ACL += bytes.fromhex("10000700ffffffff" "20000500ffffffff")
DEFAULT_ACL = "system.posix_acl_default"

Tree = Dict[bytes, Tuple[Any, ...]]


@pytest.fixture(params=[0o022, 0o077, 0], ids=oct)
def umask(request: Any) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def extracted(tar: bytes, root: Path, acl: bool = False) -> Tree:
    root.mkdir()
    root.chmod(0o755)
    if acl:
        os.setxattr(root, DEFAULT_ACL, ACL)
    fd = os.open(root, os.O_RDONLY)
    try:
        extract_layer(io.BytesIO(tar), fd)
        return tree_state(root)
    except ImageBuildError as error:
        return {error.message.encode(): ()}
    finally:
        os.close(fd)
        remove_path(str(root))


def both(tar: bytes, where: Path, **options: Any) -> Tuple[Tree, Tree]:
    fast = extracted(tar, where / "fast", **options)
    with mock.patch.object(extraction, "NewFiles", lambda bare: NewFiles(bare=False)):
        return extracted(tar, where / "general", **options), fast


@SLOW
@given(made=members())
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("acl", [False, True], ids=["no-acl", "default-acl"])
def test_the_tree_is_the_same(tmp_path: Path, acl: bool, made: List[Any]) -> None:
    remove_path(str(tmp_path))
    tmp_path.mkdir()
    tar = make_tar(*made)

    expected, fast = both(tar, tmp_path, acl=acl)

    assert expected == fast


@pytest.mark.usefixtures("umask")
def test_a_setgid_parent_gives_its_group_to_no_file(tmp_path: Path) -> None:
    tar = make_tar(
        directory("d", mode=0o2775, uid=0, gid=50),
        member("d/a", b"1", mode=0o640),
        member("d/b", b"2", mode=0o640),
        directory("d", mode=0o755, uid=0, gid=0),
        member("d/c", b"3", mode=0o640),
        directory("d", mode=0o2755, uid=0, gid=60),
        member("d/d", b"4", mode=0o640, gid=60),
        member("d/e", b"5", mode=0o4755),
    )

    expected, fast = both(tar, tmp_path)

    assert expected == fast
    assert {b"d/a": (0, 0o640), b"d/b": (0, 0o640), b"d/c": (0, 0o640), b"d/d": (60, 0o640)} == {
        path: (state[2], state[0] & 0o7777) for path, state in fast.items() if path in FILES
    }


FILES = (b"d/a", b"d/b", b"d/c", b"d/d")


def test_a_file_that_is_not_yet_its_owners_is_private(tmp_path: Path) -> None:
    """While it is written, and also where the directory gives it another group than it is to have."""
    os.chown(tmp_path, 0, 50)
    tmp_path.chmod(0o2775)
    tar = make_tar(
        member("a", b"1", mode=0o666, gid=0), member("b", b"2", mode=0o666, uid=7, gid=7)
    )
    seen: List[int] = []

    def watched(fd: int, *arguments: Any) -> None:
        seen.append(os.fstat(fd).st_mode & 0o7777)

    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with mock.patch.object(extraction, "write_content", watched):
            extract_layer(io.BytesIO(tar), fd)
    finally:
        os.close(fd)

    assert [0o600, 0o600] == seen
    assert 0 == (tmp_path / "a").stat().st_gid


def test_most_files_take_neither_chown_nor_chmod(tmp_path: Path) -> None:
    tar = make_tar(*(member(f"d/{number}", b"x") for number in range(100)))
    root = tmp_path / "root"

    before = os.umask(0o022)
    try:
        with mock.patch.object(extraction, "set_owner_and_mode") as finished:
            state = extracted(tar, root)
    finally:
        os.umask(before)

    assert not finished.called
    assert {(0o100644, 0, 0)} == {state[b"d/%d" % number][:3] for number in range(100)}
