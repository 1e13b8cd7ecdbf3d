"""Layers of one stack that are extracted at once: what comes out is what comes out of one after the other, read once."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
import threading
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from imagebuild.errors import DigestMismatchError, IntegrityError
from imagebuild.oci.descriptor import Descriptor, Layer
from imagebuild.oci.hash import Hash, chain_id
from imagebuild.store.store import Store
from support.stores import files_in, put, put_layer
from support.tars import directory, hardlink, make_tar, member, symlink
from support.trees import tree_state

FORK = multiprocessing.get_context("fork")

BASE = (directory("./", 0o555, mtime=7), directory("d", 0o710, uid=5, mtime=9), directory("d/e"))
STACKS: Dict[str, List[List[Any]]] = {
    "parents that lie below": [[*BASE], [member("d/e/f/g", b"1")]],
    "parents that lie two below": [[*BASE], [member("other")], [member("d/f"), member("x/y")]],
    "parents that a layer between has hidden": [[*BASE], [member(".wh.d")], [member("d/f")]],
    "an opaque parent": [[*BASE], [member("d/.wh..wh..opq"), member("d/e/f")]],
    "a parent that is a file below": [[member("d")], [member("d/f")]],
    "a parent that is a link of the layer": [[*BASE], [symlink("l", "d"), member("l/f")]],
    "a parent that only a deletion implies": [[*BASE], [member("d/e/.wh.f")]],
    "attributes below": [
        [directory("d", pax_headers={"SCHILY.xattr.user.kept": "1"})],
        [member("d/f")],
    ],
    "one leaning layer twice": [[*BASE], [member("d/f")], [member("d/f")]],
    "a root of its own": [[*BASE], [directory("./", 0o750), member("d/f")]],
    "a hard link to a file below": [[*BASE, member("d/f", b"1")], [hardlink("d/g", "d/f")]],
}


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def put_stack(store: Store, stack: List[List[Any]]) -> List[Hash]:
    return [put_layer(store, *members).diff_id for members in stack]


def one_after_the_other(store: Store, diff_ids: List[Hash]) -> List[str]:
    """A process with threads does not fork, so each layer is extracted when all below it are there."""
    found: List[str] = []
    thread = threading.Thread(target=lambda: found.extend(store.extracted(diff_ids)))
    thread.start()
    thread.join()
    return found


def noting_reads(store: Store, notes: Path) -> Store:
    """The same store; a line is added to `notes` for each blob that is opened, by whatever process."""
    store = Store(store.root)
    opened = store.open_blob

    def open_blob(descriptor: Descriptor) -> Any:
        with notes.open("a") as file:
            file.write(f"{descriptor.digest}\n")
        return opened(descriptor)

    store.open_blob = open_blob  # type: ignore[method-assign]
    return store


def state(path: str) -> Dict[bytes, Tuple[Any, ...]]:
    """All of a tree but the times of deletions, which nobody sees."""
    return {
        name: row[:4] + row[5:] if stat.S_ISCHR(row[0]) else row
        for name, row in tree_state(Path(path)).items()
    }


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_the_same_as_one_after_the_other(store: Store, stack: List[List[Any]]) -> None:
    other = Store(store.root + "2")
    diff_ids = put_stack(store, stack)
    put_stack(other, stack)

    expected = one_after_the_other(other, diff_ids)
    actual = store.extracted(diff_ids)

    assert list(map(state, expected)) == list(map(state, actual))
    assert [os.path.basename(path) for path in expected] == [
        os.path.basename(path) for path in actual
    ]
    assert tuple(actual) == Store(store.root).extracted(diff_ids)
    assert [] == files_in(store, "work")


def test_a_layer_that_leans_on_others_is_read_once(store: Store, tmp_path: Path) -> None:
    diff_ids = put_stack(store, [[*BASE], [member("d/f", b"1")], [member("d/g", b"2")]])

    found = noting_reads(store, tmp_path / "notes").extracted(diff_ids)

    assert 3 == len((tmp_path / "notes").read_text().splitlines())
    assert chain_id(diff_ids).hex == os.path.basename(found[2])
    assert [chain_id(diff_ids[: n + 1]).hex for n in range(3)] == [
        os.path.basename(path) for path in found
    ]


def test_many_processes_read_it_once(store: Store, tmp_path: Path) -> None:
    """They want two stacks with layers in common, in another order."""
    one, two = put_layer(store, *BASE).diff_id, put_layer(store, directory("d", 0o700)).diff_id
    leaning = [put_layer(store, member(f"d/{n}", b"x" * 5_000)).diff_id for n in range(3)]
    stacks = [[one, *leaning], [two, *reversed(leaning)]]

    def work(number: int) -> None:
        noting_reads(store, tmp_path / str(number % 2)).extracted(stacks[number % 2])

    processes = [FORK.Process(target=work, args=(number,)) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [0] * 6 == [process.exitcode for process in processes]
    assert [4, 4] == [len((tmp_path / name).read_text().splitlines()) for name in "01"]
    assert [] == files_in(store, "work") == files_in(store, "ingest")


def test_a_process_that_dies_half_way_is_made_up_for(store: Store) -> None:
    """Its half of a tree counts for nothing; the parent does the work, or says what is wrong."""
    diff_ids = put_stack(store, [[*BASE], [member("d/f", b"1")]])
    parent, opened = os.getpid(), store.open_blob

    def open_blob(descriptor: Descriptor) -> Any:
        if os.getpid() != parent:
            (draft,) = Path(store.root, "work").glob("*.d/*.part")
            (draft / "half").write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return opened(descriptor)

    store.open_blob = open_blob  # type: ignore[method-assign]
    found = store.extracted(diff_ids)

    assert [["d"], ["d"]] == [os.listdir(path) for path in found]
    assert 0o710 == os.stat(os.path.join(found[1], "d")).st_mode & 0o777
    assert [] == files_in(store, "work")


def test_a_parent_that_dies_between_leaves_nothing_that_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    diff_ids = put_stack(store, [[*BASE], [member("d/f", b"1")]])

    def work() -> None:
        mine = Store(store.root)
        monkeypatch.setattr(
            "imagebuild.layer.settle.settle_alone", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        mine.extracted(diff_ids)

    process = FORK.Process(target=work)
    process.start()
    process.join()

    assert -signal.SIGKILL == process.exitcode
    assert [] == files_in(store, "layers")
    fresh = Store(store.root)
    assert [] == files_in(store, "work")
    assert [["d"], ["d"]] == [os.listdir(path) for path in fresh.extracted(diff_ids)]


@pytest.mark.parametrize("damage", ["other content", "no tar", "cut off"])
def test_a_layer_that_is_not_what_it_says(store: Store, damage: str) -> None:
    """It is not settled, however whole its index; what is below it stands."""
    good = put_layer(store, *BASE)
    data = make_tar(member("d/f", b"1" * 5_000))
    told = Hash.of(data)
    data = {
        "other content": make_tar(member("d/f")),
        "no tar": b"\x1f\x8b no",
        "cut off": data[:900],
    }[damage]
    bad = Layer(told, put(store, data))
    store.add_layer(bad)

    error = DigestMismatchError if damage == "other content" else IntegrityError
    with pytest.raises(error):
        store.extracted([good.diff_id, bad.diff_id])

    assert [good.diff_id.hex] == files_in(store, "layers")
    assert [] == files_in(store, "work")
    assert store.index_of(told) is None


def test_what_cannot_be_settled_is_extracted_with_what_is_below(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full by then, or an index that says too much: the second try says what is wrong, if anything is."""
    diff_ids = put_stack(store, [[*BASE], [member("d/f", b"1")]])

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("imagebuild.layer.settle.settle_alone", full)
    found = store.extracted(diff_ids)

    assert 0o710 == os.stat(os.path.join(found[1], "d")).st_mode & 0o777
    assert [] == files_in(store, "work")
