"""The layer writer: deterministic, complete, and read by others as by us."""

from __future__ import annotations

import io
import os
import random
import tarfile
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebuild.errors import MalformedError
from imagebuild.layer import entry as kinds
from imagebuild.layer.compression import MEDIA_TYPES
from imagebuild.layer.entry import NANOSECONDS, Entry
from imagebuild.layer.extract import extract_layer, index_layer
from imagebuild.layer.writer import LayerWriter, WrittenLayer, write_layer
from imagebuild.oci.hash import Hash
from support.layer_strategies import OWN, Item, trees
from support.trees import tree_state

EPOCH = 315_532_800


def written(items: List[Item], **options: Any) -> tuple[WrittenLayer, bytes]:
    out = io.BytesIO()
    layer = write_layer(out, items, **options)
    return layer, out.getvalue()


def unpack(data: bytes, root: Path) -> Any:
    fd = os.open(root, os.O_RDONLY)
    try:
        return extract_layer(io.BytesIO(data), fd)
    finally:
        os.close(fd)


def build(items: List[Item], root: Path) -> None:
    """The tree of `items`, made with plain calls of the operating system."""
    base = os.fsencode(root)
    for entry, content in items:
        path = os.path.join(base, entry.path)
        if entry.kind == kinds.DIR:
            os.mkdir(path)
        elif entry.kind == kinds.SYMLINK:
            os.symlink(entry.linkname, path)
        elif entry.kind == kinds.FIFO:
            os.mkfifo(path)
        elif entry.kind == kinds.HARDLINK:
            os.link(os.path.join(base, entry.linkname), path)
        else:
            with open(path, "wb") as file:
                file.write(content)  # type: ignore[arg-type]
    for entry, _ in reversed(items):
        path = os.path.join(base, entry.path)
        if entry.kind == kinds.HARDLINK:
            continue
        for name, value in entry.xattrs:
            os.setxattr(path, name, value)
        if entry.kind != kinds.SYMLINK:
            os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)


SLOW = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@SLOW
@given(items=trees(), compression=st.sampled_from(sorted(MEDIA_TYPES)))
def test_extract_of_write_is_the_identity(items: List[Item], compression: str) -> None:
    """Law: a tree that is written as a layer and extracted is the same tree, and the index is the same either way."""
    layer, data = written(items, compression=compression)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        build(items, Path(one))
        result = unpack(data, Path(other))

        made, expected = tree_state(Path(other)), tree_state(Path(one))
        made.pop(b".")
        expected.pop(b".")
        assert expected == made
    assert layer.layer.diff_id == result.diff_id
    assert Hash.of(data) == layer.layer.descriptor.digest
    assert (len(data), MEDIA_TYPES[compression]) == (
        layer.layer.descriptor.size,
        layer.layer.descriptor.media_type,
    )
    assert layer.index.data == result.index.data == index_layer(io.BytesIO(data))[2].data


@SLOW
@given(items=trees(), seed=st.integers())
def test_order_and_new_mtimes_change_nothing(items: List[Item], seed: int) -> None:
    """Law: neither the order in which entries are found nor mtimes newer than the epoch change the diff_id."""
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    later = [
        (replace(e, mtime=e.mtime + 5 if e.mtime > EPOCH * NANOSECONDS else e.mtime), c)
        for e, c in shuffled
    ]

    assert written(items, epoch=EPOCH)[1] == written(later, epoch=EPOCH)[1]


FIELDS = [
    ("path", b"g"),
    ("mode", 0o600),
    ("uid", 1),
    ("gid", 1),
    ("mtime", 2 * NANOSECONDS),
    ("xattrs", (("user.a", b"2"),)),
]


@pytest.mark.parametrize(("field", "value"), FIELDS, ids=[field for field, _ in FIELDS])
def test_what_a_layer_holds_changes_its_diff_id(field: str, value: Any) -> None:
    entry = Entry(b"f", kinds.FILE, 0o644, 0, 0, 4, NANOSECONDS, xattrs=(("user.a", b"1"),))

    one, other = written([(entry, b"data")]), written([(replace(entry, **{field: value}), b"data")])

    assert one[0].layer.diff_id != other[0].layer.diff_id
    assert one[0].layer.diff_id != written([(entry, b"dat4")])[0].layer.diff_id


def test_golden_diff_id() -> None:
    """The bytes of a layer are an interface: they decide what is found in caches. Change this only with the key version."""
    items: List[Item] = [
        (Entry(b".", kinds.DIR, 0o755), None),
        (Entry(b"bin", kinds.SYMLINK, 0o777, linkname=b"usr/bin"), None),
        (Entry(b"d", kinds.DIR, 0o1777, 1, 2, mtime=3 * NANOSECONDS, opaque=True), None),
        (
            Entry(
                b"d/f",
                kinds.FILE,
                0o4755,
                3_000_000,
                4,
                5,
                EPOCH * NANOSECONDS,
                xattrs=(("user.a", b"1"),),
            ),
            b"hello",
        ),
        (Entry(b"d/h", kinds.HARDLINK, linkname=b"d/f"), None),
        (Entry(b"gone", kinds.WHITEOUT), None),
        (Entry(b"null", kinds.CHAR, 0o666, dev_major=1, dev_minor=3), None),
        (Entry(b"\xff" * 120, kinds.FILE, 0o644, size=1, mtime=1), b"x"),
    ]

    layer, data = written(items, compression="none")

    assert "sha256:e87e48df5566b6444d192a5407ee40f04b8b7896007a190a850da762c6e4daa6" == str(
        layer.layer.diff_id
    )
    assert Hash.of(data) == layer.layer.diff_id


def test_headers_tell_nothing_of_the_machine() -> None:
    _, data = written(
        [(Entry(b"f", kinds.FILE, 0o644, 5, 6, 1, 7 * NANOSECONDS), b"x")], compression="none"
    )

    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        info = archive.getmember("f")
    assert (5, 6, "", "", 7, {}) == (
        info.uid,
        info.gid,
        info.uname,
        info.gname,
        info.mtime,
        info.pax_headers,
    )
    assert 3 * 512 + 512 == len(data)


@SLOW
@given(items=trees())
def test_the_standard_library_reads_what_is_written(items: List[Item]) -> None:
    _, data = written(items, compression="gzip")
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        members = [
            (
                os.fsencode(info.name),
                info.linkname.encode("utf-8", "surrogateescape"),
                int(info.mtime * NANOSECONDS),
                info.size,
            )
            for info in archive
        ]

    assert [
        (e.path, e.linkname, e.mtime if e.kind != kinds.HARDLINK else 0, e.size) for e, _ in items
    ] == members


def test_real_times_survive_where_asked_for() -> None:
    _, data = written([(Entry(b"f", kinds.FILE, mtime=-1_500_000_001), b"")], compression="none")

    assert -1_500_000_001 == index_layer(io.BytesIO(data))[2].get(b"f").mtime  # type: ignore[union-attr]


def test_whiteouts_and_opaque_directories() -> None:
    items: List[Item] = [
        (Entry(b"d", kinds.DIR, opaque=True), None),
        (Entry(b"d/gone", kinds.WHITEOUT), None),
    ]
    layer, data = written(items, compression="none")

    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
    assert ["d", "d/.wh..wh..opq", "d/.wh.gone"] == names
    assert frozenset({b"d"}) == layer.index.opaques


@pytest.mark.parametrize("name", [b".wh.f", b"d/.wh..wh..opq", b".wh."])
def test_a_real_file_with_a_whiteout_name_is_refused(name: bytes) -> None:
    with pytest.raises(MalformedError, match=r"\.wh\."):
        written([(Entry(name, kinds.FILE), b"")])


@pytest.mark.parametrize("content", [b"12", b"1234", None], ids=["short", "long", "none"])
def test_a_file_that_changes_size_is_refused(content: Any) -> None:
    with pytest.raises(MalformedError, match="changed while it was read"):
        written([(Entry(b"f", kinds.FILE, size=3), content)])


def test_a_large_file_that_changes_size_leaves_no_thread() -> None:
    threads = threading.active_count()
    writer = LayerWriter(io.BytesIO())

    with pytest.raises(MalformedError, match="changed while it was read"):
        writer.add(Entry(b"f", kinds.FILE, size=6 << 20), io.BytesIO(bytes(5 << 20)))

    assert threads == threading.active_count()


@pytest.mark.parametrize("second", [b"a", b"b"], ids=["before", "twice"])
def test_entries_out_of_order_are_our_bug(second: bytes) -> None:
    writer = LayerWriter(io.BytesIO())
    writer.add(Entry(b"b", kinds.DIR))

    with pytest.raises(ValueError, match="out of order"):
        writer.add(Entry(second, kinds.DIR))


def test_large_content_passes_the_threads_in_order(tmp_path: Path) -> None:
    data = b"".join(b"%d" % n for n in range(1_500_000))
    (tmp_path / "f").write_bytes(data)
    out = io.BytesIO()
    writer = LayerWriter(out)
    with open(tmp_path / "f", "rb") as file:
        writer.add(Entry(b"f", kinds.FILE, 0o644, *OWN, len(data)), file.fileno())
    layer = writer.finish()

    entry = layer.index.get(b"f")
    assert entry and Hash.of(data) == entry.sha256
    assert Hash.of(out.getvalue()) == layer.layer.descriptor.digest
    assert layer.layer.diff_id == index_layer(io.BytesIO(out.getvalue()))[0]


def test_an_attribute_that_no_tar_can_name() -> None:
    with pytest.raises(MalformedError, match=r"user\.a=b"):
        written([(Entry(b"f", kinds.FILE, xattrs=(("user.a=b", b""),)), b"")])


def test_errors_of_the_disk_come_up() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    writer = LayerWriter(Full(), compression="none")
    with pytest.raises(Exception, match="no room"):
        for number in range(20):
            writer.add(Entry(b"%03d" % number, kinds.FILE, size=1 << 20), bytes(1 << 20))
        writer.finish()
