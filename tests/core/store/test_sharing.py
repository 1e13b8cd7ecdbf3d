"""Many processes on one store, and what is left of those that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, List

import pytest

from imagebuild.errors import IntegrityError
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store
from support.stores import blob, files_in, put, put_layer
from support.tars import member

FORK = multiprocessing.get_context("fork")


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def in_processes(count: int, work: Any) -> List[int]:
    """Exit codes of `count` processes that call ``work(number)`` at the same time."""
    barrier = FORK.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        work(number)

    processes = [FORK.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode if process.exitcode is not None else -1 for process in processes]


def test_many_processes_extract_one_stack(store: Store) -> None:
    """F21: each layer is extracted once, whoever comes first, and all see it whole."""
    layers = [
        put_layer(store, *(member(f"f{n}-{at}", b"%d" % at) for at in range(200))) for n in range(3)
    ]
    diff_ids = [layer.diff_id for layer in layers]

    def work(number: int) -> None:
        for path in Store(store.root).extracted(diff_ids):
            assert 200 == len(os.listdir(path))

    assert [0] * 6 == in_processes(6, work)
    assert sorted(diff_id.hex for diff_id in diff_ids) == files_in(store, "layers")
    assert [] == files_in(store, "work") == files_in(store, "ingest")


def test_many_processes_write_the_same_things(store: Store) -> None:
    data = os.urandom(1 << 20)

    def work(number: int) -> None:
        mine = Store(store.root)
        for _ in range(10):
            put(mine, data)
            mine.put_record(Hash.of(b"key"), b"value")
            with mine.work_dir() as directory:
                Path(directory, "f").write_bytes(b"x")

    assert [0] * 6 == in_processes(6, work)
    store.check_blob(blob(data))
    assert b"value" == store.get_record(Hash.of(b"key"))
    assert [] == files_in(store, "work") == files_in(store, "ingest")


def killed_while(work: Any) -> None:
    """Run `work(ready)` in a process and kill it with SIGKILL once it has called ready()."""
    ready = FORK.Event()
    process = FORK.Process(target=work, args=(ready.set,))
    process.start()
    assert ready.wait(30)
    os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    process.join()


def test_what_a_killed_process_leaves_is_cleaned_up(store: Store) -> None:
    """F1, F2: only temporary things are left, and the next process removes them; those of living ones stay."""

    def work(ready: Any) -> None:
        mine = Store(store.root)
        with mine.ingest(blob(b"data")) as sink, mine.work_dir() as directory:
            sink.write(b"da")
            Path(directory, "deep").mkdir()
            ready()
            time.sleep(60)

    killed_while(work)
    assert [] != files_in(store, "work") and [] != files_in(store, "ingest")
    with Store(store.root).work_dir() as living:
        Store(store.root)
        assert os.path.isdir(living)
    assert (
        []
        == files_in(store, "work")
        == files_in(store, "ingest")
        == files_in(store, "blobs", "sha256")
    )


def test_a_process_that_is_killed_while_it_extracts_does_not_hold_up_others(store: Store) -> None:
    layer = put_layer(store, *(member(f"f{n}", b"x" * 100) for n in range(3_000)))

    def work(ready: Any) -> None:
        mine = Store(store.root)
        opened = mine.open_blob

        def open_blob(descriptor: Descriptor) -> Any:
            ready()
            return opened(descriptor)

        mine.open_blob = open_blob  # type: ignore[method-assign]
        mine.extracted([layer.diff_id])

    killed_while(work)
    fresh = Store(store.root)
    assert 3_000 == len(os.listdir(fresh.extracted([layer.diff_id])[0]))
    for _ in range(
        200
    ):  # its helper lives until it notices, and until then what it works on is somebody's
        Store(store.root)
        if not files_in(store, "work"):
            break
        time.sleep(0.05)
    assert [] == files_in(store, "work")


def test_layers_side_by_side_fail_as_one_alone_does(store: Store) -> None:
    good, bad = put_layer(store, member("f")), put_layer(store, member("../x", b"out"))

    with pytest.raises(IntegrityError, match=str(bad.diff_id)):
        store.extracted([good.diff_id, bad.diff_id])

    assert [good.diff_id.hex] == files_in(store, "layers")
    assert [] == files_in(store, "work")


def test_a_process_with_threads_does_not_fork(store: Store) -> None:
    layers = [put_layer(store, member(name)) for name in "abc"]
    found: List[Any] = []

    thread = threading.Thread(
        target=lambda: found.extend(store.extracted([layer.diff_id for layer in layers]))
    )
    thread.start()
    thread.join()

    assert ["a", "b", "c"] == [os.listdir(path)[0] for path in found]
