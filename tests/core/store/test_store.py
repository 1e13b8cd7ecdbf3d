"""The store: what it takes in is whole and verified, what goes bad heals, and processes share it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagebuild.errors import (
    DigestMismatchError,
    HostError,
    IntegrityError,
    LayerMissingError,
    MalformedError,
    StoreFullError,
)
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry
from imagebuild.layer.writer import LayerWriter
from imagebuild.oci.descriptor import Descriptor, Layer
from imagebuild.oci.hash import Hash, chain_id
from imagebuild.store.store import Store
from support.layer_strategies import OWN
from support.stores import blob, files_in, put, put_layer
from support.tars import directory, hardlink, make_tar, member
from support.trees import tree_state


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_blob_comes_back(store: Store) -> None:
    descriptor = put(store, b"data")

    assert store.has_blob(descriptor.digest)
    with store.open_blob(descriptor) as file:
        assert b"data" == file.read()
    assert [] == files_in(store, "ingest")


@pytest.mark.parametrize(
    "written", [b"dat4", b"dat", b"data+", b""], ids=["other", "short", "long", "nothing"]
)
def test_other_bytes_than_expected_are_not_kept(store: Store, written: bytes) -> None:
    with pytest.raises(DigestMismatchError), store.ingest(blob(b"data")) as sink:
        sink.write(written)

    assert [] == files_in(store, "ingest") == files_in(store, "blobs", "sha256")


def test_an_ingest_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyError), store.ingest(blob(b"data")) as sink:
        sink.write(b"da")
        raise KeyError

    assert [] == files_in(store, "ingest") == files_in(store, "blobs", "sha256")


def test_a_new_layer_is_taken_in_without_hashing_it_again(store: Store) -> None:
    with store.ingest() as sink:
        writer = LayerWriter(sink)
        writer.add(Entry(b"f", kinds.FILE, 0o644, *OWN, 4), b"data")
        written = writer.finish()
        sink.commit(written.layer.descriptor)
    store.add_layer(written.layer, written.index)

    store.check_blob(written.layer.descriptor)
    assert written.layer == store.layer_of(written.layer.diff_id)
    assert store.has_layer(written.layer.diff_id)
    index = store.index_of(written.layer.diff_id)
    assert index is not None and written.index.data == index.data


def test_the_store_is_its_owners(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = Store(str(tmp_path / "store"))
    finally:
        os.umask(old)

    assert 0o700 == os.stat(store.root).st_mode & 0o7777


def damaged(store: Store, descriptor: Descriptor, how: str) -> None:
    path = store.blob_path(descriptor.digest)
    data = bytearray(Path(path).read_bytes())
    if how == "flipped":
        data[700] ^= 1
    elif how == "cut":
        del data[-100:]
    elif how == "zeros":
        data[:] = bytes(len(data))
    else:
        data.clear()
    Path(path).write_bytes(data)


@pytest.mark.parametrize("how", ["flipped", "cut", "zeros", "emptied"])
def test_a_blob_that_went_bad_is_removed_and_asked_for_again(store: Store, how: str) -> None:
    """F10: it is not the image's fault, so it counts as missing, under the diff_id that fetches it."""
    members = member("f", b"x" * 2000), member("g", b"y")
    layer = put_layer(store, *members)
    damaged(store, layer.descriptor, how)

    with pytest.raises(LayerMissingError) as caught:
        store.extracted([layer.diff_id])

    assert (str(layer.diff_id),) == caught.value.diff_ids
    assert not store.has_layer(layer.diff_id)
    assert [] == files_in(store, "layers") == files_in(store, "work")
    put_layer(store, *members)
    assert b"y" == Path(store.extracted([layer.diff_id])[0], "g").read_bytes()


def test_a_layer_that_is_not_what_its_diff_id_says(store: Store) -> None:
    data = make_tar(member("f", b"data"))
    layer = Layer(Hash.of(b"other"), put(store, data))
    store.add_layer(layer)

    for look in (lambda: store.extracted([layer.diff_id]), lambda: store.index_layer(layer)):
        with pytest.raises(DigestMismatchError, match="content of layer blob"):
            look()
    assert [] == files_in(store, "layers") == files_in(store, "indexes") == files_in(store, "work")


def test_a_hostile_layer_is_named(store: Store) -> None:
    layer = put_layer(store, member("../x", b"out"))

    with pytest.raises(IntegrityError, match=rf'layer {layer.diff_id}: .*"\.\./x"'):
        store.extracted([layer.diff_id])


def test_missing_layers_are_all_named(store: Store) -> None:
    here = put_layer(store, member("f"))
    gone = [Hash.of(b"1"), Hash.of(b"2")]

    with pytest.raises(LayerMissingError) as caught:
        store.extracted([gone[0], here.diff_id, gone[1]])

    assert tuple(map(str, gone)) == caught.value.diff_ids


def test_extracting_indexes(store: Store) -> None:
    layers = [
        put_layer(store, directory("d"), member(f"d/{name}", name.encode())) for name in "abc"
    ]
    diff_ids = [layer.diff_id for layer in layers]

    found = store.extracted(diff_ids)

    assert ["a", "b", "c"] == [os.listdir(os.path.join(path, "d"))[0] for path in found]
    assert [diff_id.hex for diff_id in diff_ids] == [os.path.basename(path) for path in found]
    for layer in layers:
        kept = store.index_of(layer.diff_id)
        assert kept is not None and kept.data == store.index_layer(layer).data
    assert found == Store(store.root).extracted(diff_ids)


def test_a_layer_that_leans_on_others_is_extracted_for_each_stack(store: Store) -> None:
    """Its implied directories take their mode from below, so one extraction does not serve two stacks."""
    open_base, closed_base = put_layer(store, directory("d", 0o755)), put_layer(
        store, directory("d", 0o700)
    )
    leaning = put_layer(store, member("d/f", b"1"))

    modes = []
    for base in (open_base, closed_base):
        stack = [base.diff_id, leaning.diff_id]
        path = store.extracted(stack)[1]
        assert chain_id(stack).hex == os.path.basename(path)
        modes.append(os.stat(os.path.join(path, "d")).st_mode & 0o777)
    assert [0o755, 0o700] == modes


def test_the_root_is_that_of_the_stack(store: Store) -> None:
    """Overlayfs shows the root of the topmost layer, and few layers record theirs."""
    plain, closed = put_layer(store, member("a")), put_layer(
        store, directory("./", 0o555), member("a")
    )
    top, wide = put_layer(store, member("b")), put_layer(store, directory(".", 0o777), member("c"))
    stacks = [([plain], 0o755), ([closed], 0o555), ([closed, wide], 0o777)]
    for _ in range(2):
        for stack, mode in stacks:
            found = store.extracted([layer.diff_id for layer in [*stack, top]])
            assert mode == os.stat(found[-1]).st_mode & 0o7777
            assert ["b"] == os.listdir(found[-1])


def test_a_hard_link_into_a_lower_layer(store: Store) -> None:
    base, top = put_layer(store, member("f", b"data")), put_layer(store, hardlink("g", "f"))

    assert b"data" == Path(store.extracted([base.diff_id, top.diff_id])[1], "g").read_bytes()


def test_adopting_a_captured_directory(store: Store) -> None:
    layer = put_layer(store, member("f", b"data"))
    expected = tree_state(Path(store.extracted([layer.diff_id])[0]))
    other = Store(store.root + "2")
    put_layer(other, member("f", b"data"))
    with other.work_dir() as work:
        upper = os.path.join(work, "upper")
        os.rename(store.extracted([layer.diff_id])[0], upper)
        other.adopt_extracted(layer.diff_id, upper)
    with other.work_dir() as work:
        os.mkdir(os.path.join(work, "upper"))
        other.adopt_extracted(layer.diff_id, os.path.join(work, "upper"))

    assert expected == tree_state(Path(other.extracted([layer.diff_id])[0]))
    assert [] == files_in(other, "work")


def test_an_index_travels(store: Store, tmp_path: Path) -> None:
    layer = put_layer(store, member("f", b"data"))
    index = store.index_layer(layer)
    packed = store.packed_index(layer.diff_id)
    assert packed is not None and packed == store.packed_index(layer.diff_id)

    other = Store(str(tmp_path / "other"))
    other.put_index(layer.diff_id, packed)

    found = other.index_of(layer.diff_id)
    assert found is not None and index.data == found.data
    assert not other.has_layer(layer.diff_id)


@pytest.mark.parametrize("packed", [b"", b"text", b"\x1f\x8b\x08broken"])
def test_what_is_no_index_is_not_taken_in(store: Store, packed: bytes) -> None:
    with pytest.raises(MalformedError):
        store.put_index(Hash.of(b""), packed)

    assert store.index_of(Hash.of(b"")) is None
    assert store.packed_index(Hash.of(b"")) is None


def test_damaged_notes_count_as_missing(store: Store) -> None:
    layer = put_layer(store, member("f"))
    store.index_layer(layer)
    for name in ("indexes", "diffids"):
        Path(store.root, name, layer.diff_id.hex).write_bytes(b"{broken")

    fresh = Store(store.root)
    assert fresh.index_of(layer.diff_id) is None
    assert fresh.layer_of(layer.diff_id) is None
    fresh.add_layer(layer)
    assert layer == fresh.layer_of(layer.diff_id)


def test_records_and_marks(store: Store) -> None:
    key = Hash.of(b"key")
    assert store.get_record(key) is None
    store.put_record(key, b"one")
    store.put_record(key, b"two")
    assert b"two" == store.get_record(key)
    file = Path(store.root) / "records" / key.hex
    there = file.stat()
    store.put_record(key, b"two")
    assert os.path.samestat(there, file.stat()), "what is there is not written again"

    assert not store.is_marked("a/b")
    store.mark("a/b")
    assert store.is_marked("a/b") and not store.is_marked("a/c")


def test_a_full_disk_is_said_plainly(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFullError, match=f"no room in the store {store.root}.*4 bytes"):
        put(store, b"data")
    with pytest.raises(StoreFullError, match="no room"):
        store.put_record(Hash.of(b""), b"data")
    assert [] == files_in(store, "ingest") == files_in(store, "blobs", "sha256")


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(HostError, match="cannot be used"):
        Store(str(tmp_path / "file"))
