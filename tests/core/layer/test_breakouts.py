"""Nothing of a layer arrives outside its root; links are data (SECURITY: rows 1-12).

All cases run with openat2 and with our own walk; `tests/host` runs them into an overlay's lower directory as well.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Iterator

import pytest

from imagebuild.errors import IntegrityError
from imagebuild.layer.removal import remove_path
from support.breakouts import CASES, Case, canaries, plant, unpack
from support.tars import directory, hardlink, make_tar, member, symlink

AT_FDCWD, RENAME_EXCHANGE = -100, 2
WALK = pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])


@pytest.fixture()
def root(tmp_path: Path) -> Iterator[Path]:
    planted = plant(tmp_path)
    yield planted
    if planted.exists():
        remove_path(str(planted))  # whatever the test came to: too deep for pytest


@WALK
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_applied_layer_stays_in_its_root(root: Path, case: Case, walk: bool) -> None:
    if case.before:
        unpack(root, make_tar(*case.before), "apply", walk)
    untouched = canaries(root)

    if case.holds is None:
        with pytest.raises(IntegrityError, match=r"layer entry|symlinks"):
            unpack(root, make_tar(*case.layer), "apply", walk)
    else:
        unpack(root, make_tar(*case.layer), "apply", walk)
        assert [True] * len(case.holds) == [check(root) for check in case.holds]

    assert untouched == canaries(root)


@WALK
def test_what_links_point_to_outside_keeps_its_metadata(root: Path, walk: bool) -> None:
    """Row 5: what a link points to outside keeps its mode, whatever the layer does to the link and to links to it."""
    victim = root.parent / "etc" / "setuid"
    untouched = canaries(root)
    layer = make_tar(
        symlink("l", str(victim)),
        hardlink("h", "l", mode=0o777),
        symlink("d", str(victim.parent)),
        member("d/passwd", b"inside", mode=0o777),
        member("h", b"now a file", mode=0o600),
    )
    unpack(root, layer, "apply", walk)

    assert untouched == canaries(root)
    assert b"now a file" == (root / "h").read_bytes()
    assert str(victim) == os.readlink(root / "l")


@WALK
def test_a_directory_that_is_swapped_for_a_link_meanwhile(root: Path, walk: bool) -> None:
    """Row 4: another process exchanges `d` and a link to the canary while files are written to `d`."""
    (root / "d").mkdir()
    os.symlink(root.parent / "etc", root / "swap")
    untouched = canaries(root)
    stop = threading.Event()

    def swap() -> None:
        exchange = ctypes.CDLL(None).renameat2
        paths = (
            AT_FDCWD,
            os.fsencode(root / "d"),
            AT_FDCWD,
            os.fsencode(root / "swap"),
            RENAME_EXCHANGE,
        )
        while not stop.is_set():
            assert 0 == exchange(*paths)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(40):
            try:
                unpack(
                    root,
                    make_tar(*(member(f"d/passwd{n % 3}", b"out", mode=0o777) for n in range(50))),
                    "apply",
                    walk,
                )
            except IntegrityError:
                continue  # it noticed
    finally:
        stop.set()
        swapper.join()

    assert untouched == canaries(root)


@WALK
def test_a_chain_of_links_behind_a_path_that_is_too_long(root: Path, walk: bool) -> None:
    """Row 9: a path beyond PATH_MAX is not where checking stops."""
    name = "d" * 247
    deep = [directory("/".join([name] * depth)) for depth in range(1, 17)]
    long = "/".join([name] * 16)
    up = symlink(f"{long}/up", "../" * 20 + "etc")
    untouched = canaries(root)

    unpack(
        root,
        make_tar(*deep, up, directory("etc"), member(f"{long}/up/passwd", b"inside")),
        "apply",
        walk,
    )

    assert untouched == canaries(root)
    assert b"inside" == (root / "etc" / "passwd").read_bytes()


@WALK
def test_a_path_of_4000_bytes(root: Path, walk: bool) -> None:
    path = "/".join(["e" * 199] * 20)

    unpack(root, make_tar(member(path, b"deep")), "apply", walk)

    fd = os.open(root, os.O_RDONLY)
    for part in path.split("/")[:-1]:
        fd, above = os.open(part, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd), fd
        os.close(above)
    leaf = os.open("e" * 199, os.O_RDONLY, dir_fd=fd)
    assert b"deep" == os.read(leaf, 10)
    os.close(leaf)
    os.close(fd)


@WALK
def test_a_tree_of_depth_1000(root: Path, walk: bool) -> None:
    deep = [directory("/".join(["d"] * depth)) for depth in range(1, 1001)]

    result = unpack(root, make_tar(*deep, member("d/" * 1000 + "f", b"deep")), "overlay", walk)

    assert 1001 == result.index.entries
    fd = os.open(root, os.O_RDONLY)
    for _ in range(1000):
        fd, above = os.open("d", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd), fd
        os.close(above)
    assert ["f"] == os.listdir(fd)
    os.close(fd)
    remove_path(str(root))
    assert not root.exists()
