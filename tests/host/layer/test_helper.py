"""An extraction with a helper comes to the same as one without, whatever the layer, and whatever happens to the helper (as root)."""

from __future__ import annotations

import operator
import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable, List, Tuple
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings

from imagebuild.errors import HostError, ImageBuildError, MalformedError
from imagebuild.layer import extraction, helper
from imagebuild.layer.removal import remove_path
from support.breakouts import CASES, Case, canaries, plant, unpack
from support.members import members
from support.tars import (
    END,
    directory,
    hardlink,
    make_tar,
    member,
    padded,
    pax,
    raw_header,
    record,
    symlink,
)
from support.trees import tree_state

SLOW = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
RECENT = 1_700_000_000_000_000_000
MANY = 2000  # several batches of them


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there is a helper on every machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def result(root: Path, tar: bytes, mode: str = "overlay", **options: Any) -> Any:
    """What came of it: index or error, and the tree."""
    try:
        found: Any = unpack(root, tar, mode, False, **options)
        found = found.diff_id, found.size, found.index.data, found.implied, found.foreign_links
    except ImageBuildError as error:
        found = type(error), error.message, error.hint
    return found, {path: without_now(facts) for path, facts in tree_state(root).items()}


def without_now(facts: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """A time that nothing has set is another in each run."""
    return (*facts[:4], facts[4] if facts[4] < RECENT else None, *facts[5:])


def both(where: Path, tar: bytes, mode: str = "overlay") -> Any:
    """Without and with a helper, each in a directory of the same name. No process is left."""
    results = []
    for number, helped in enumerate([False, True]):
        root = where / str(number) / "root"
        root.mkdir(parents=True)
        results.append(result(root, tar, mode, helper=helped))
        remove_path(str(root.parent))
    assert no_child()
    return results


def no_child() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize("mode", ["overlay", "apply"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_hostile_layers(tmp_path: Path, case: Case, mode: str) -> None:
    """They stay in their root, and come to the same tree or the same error."""
    found = []
    for number, helped in enumerate([False, True]):
        (tmp_path / str(number)).mkdir()
        root = plant(tmp_path / str(number))
        if case.before:
            unpack(root, make_tar(*case.before), "apply", False)
        untouched = canaries(root)

        found.append(result(root, make_tar(*case.layer), mode, helper=helped))

        assert untouched == canaries(root)
        remove_path(str(root))
    assert found[0] == found[1]


@SLOW
@given(made=members())
def test_the_tree_the_index_and_the_error_are_the_same(tmp_path: Path, made: List[Any]) -> None:
    remove_path(str(tmp_path))
    tmp_path.mkdir()

    alone, helped = both(tmp_path, make_tar(*made))

    assert alone == helped


def large() -> bytes:
    """Files of many pieces, with holes, empty, sparse, and with attributes."""
    noise = os.urandom(700_000)
    records = record(b"GNU.sparse.map", b"0,4,1000000,4") + record(b"GNU.sparse.size", b"2000000")
    sparse = pax(records, raw_header(b"sparse", size=b"%011o\0" % 8) + padded(b"headtail"))
    xattr = pax(
        record(b"SCHILY.xattr.user.a", b"1" * 2000),
        raw_header(b"attributes", size=b"%011o\0" % 1) + padded(b"x"),
    )
    ordinary = make_tar(
        member("noise", noise),
        member("holes", noise + bytes(600_000) + noise + bytes(300_000)),
        member("empty", b""),
        member("etc/passwd", b"root:x:0:0::/:\n" * 30_000),
        directory("d", mode=0o2755),
        member("d/.wh.gone"),
        hardlink("d/again", "noise"),
        symlink("l", "d"),
        member("l/f", b"1"),
        *(member(f"many/{number}", b"%d" % number * 300) for number in range(MANY)),
    )
    return sparse + xattr + ordinary


def test_large_files_and_many(tmp_path: Path) -> None:
    alone, helped = both(tmp_path, large())

    assert alone == helped
    assert MANY < len(helped[1])


@pytest.mark.parametrize("cut", [100_000, 900_000, 2_000_000])
def test_a_layer_that_ends_early(tmp_path: Path, cut: int) -> None:
    (alone, _), (helped, _) = both(tmp_path, large()[:cut])

    assert alone == helped
    assert MalformedError is helped[0]


def test_what_failed_first_in_the_tar_is_what_is_told(tmp_path: Path) -> None:
    """The reader is ahead of the helper, and meets a damaged header before the helper meets the name that is too long."""
    tar = pax(record(b"path", b"n" * 300), raw_header(b"n")) + b"damaged!" * 64

    alone, helped = both(tmp_path, tar)

    assert alone == helped
    assert "n" * 100 in helped[0][1]


def watched(action: Callable[[], None]) -> Any:
    """Do something in the helper when it comes to write a file."""
    parent = os.getpid()

    def write_content(*arguments: Any) -> None:
        assert parent != os.getpid(), "the helper makes the files"
        action()

    return mock.patch.object(extraction, "write_content", write_content)


MANY_FILES = make_tar(*(member(f"d/{number}", b"x" * 3000) for number in range(MANY)))


def test_a_helper_that_is_killed(tmp_path: Path) -> None:
    died = pytest.raises(HostError, match="the process that makes the files of a layer died")
    with watched(lambda: os.kill(os.getpid(), signal.SIGKILL)), died:
        unpack(tmp_path, MANY_FILES, "overlay", False, helper=True)

    assert no_child()


def test_a_bug_in_the_helper(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with watched(lambda: operator.itemgetter("a bug")({})), pytest.raises(HostError, match="died"):
        unpack(tmp_path, MANY_FILES, "overlay", False, helper=True)

    assert "KeyError: 'a bug'" in capfd.readouterr().err
    assert no_child()


def test_an_interrupt_leaves_no_helper(tmp_path: Path) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    fails = mock.patch.object(helper._Helper, "add_file", interrupted)
    with watched(signal.pause), fails, pytest.raises(KeyboardInterrupt):
        unpack(tmp_path, MANY_FILES, "overlay", False, helper=True)

    assert no_child()


def test_no_helper_beside_a_thread(tmp_path: Path) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with mock.patch.object(helper, "Forked") as forked:
            unpack(tmp_path, make_tar(member("f", b"1")) + END, "overlay", False, helper=True)
    finally:
        done.set()
        thread.join()

    assert not forked.called
    assert b"1" == (tmp_path / "f").read_bytes()
