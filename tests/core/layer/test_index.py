"""A layer's index holds what the layer holds, and finds it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import List

import pytest
from hypothesis import HealthCheck, given, settings

from imagebuild.errors import MalformedError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry, order_key
from imagebuild.layer.index import LayerIndex
from imagebuild.layer.writer import write_layer
from support.entries import directory, file, link
from support.layer_strategies import Item, trees

SLOW = settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))


@SLOW
@given(items=trees())
def test_an_index_finds_what_it_holds(items: List[Item]) -> None:
    """Law: get, locate, scan and children agree with the plain list of entries."""
    index = write_layer(io.BytesIO(), items).index
    listed = list(index.scan())

    assert [entry.path for entry, _ in items] == [entry.path for entry in listed]
    assert listed == [index.get(entry.path) for entry in listed]
    for entry in listed:
        below = [other for other in listed if other.path.startswith(entry.path + b"/")]
        assert [entry, *below] == list(index.scan(entry.path))
        direct = [other.path for other in below if b"/" not in other.path[len(entry.path) + 1 :]]
        assert direct == [path for path, _ in index.children(entry.path)]
        assert entry.path == index.locate(entry.path + b"/missing/deeper")[0]
    assert index.get(b"missing") is None
    assert index.data == LayerIndex.from_entries(reversed_links_last(listed)).data


def reversed_links_last(entries: List[Entry]) -> List[Entry]:
    """Another order that is also possible in a tar."""
    links = [entry for entry in entries if entry.kind == kinds.HARDLINK]
    return [entry for entry in reversed(entries) if entry.kind != kinds.HARDLINK] + links


def test_an_index_survives_its_file(tmp_path: Path) -> None:
    index = LayerIndex.from_entries(
        [file(b"etc/passwd", b"x"), file(b"\xff\n\t\\x41", b"y")], {b"etc/passwd": b"x"}
    )
    index.write(tmp_path / "index")
    read = LayerIndex.open(tmp_path / "index")

    assert index.data == read.data
    assert [b".", b"etc", b"etc/passwd", b"\xff\n\t\\x41"][1:] == [
        entry.path for entry in read.scan()
    ]
    assert (3, True, False) == (read.entries, read.implied, read.foreign)
    assert b"x" == read.text(b"etc/passwd")


HEAD = b"#imagebuild-layer-index 1\t"
BAD_INDEXES = {
    "empty": b"",
    "other": b"hello\n",
    "other version": b"#imagebuild-layer-index 2\t{}\n#texts\t{}\n",
    "head": HEAD + b"{}\n#texts\t{}\n",
    "head type": HEAD
    + b'{"entries":"1","foreign":false,"implied":false,"opaque":[]}\n#texts\t{}\n',
    "no texts": HEAD + b'{"entries":0,"foreign":false,"implied":false,"opaque":[]}\n',
}
BAD_LINES = {
    "no tab": b"f\n",
    "no JSON": b"f\t{\n",
    "no kind": b"f\t{}\n",
    "unknown kind": b'f\t{"k":"odd"}\n',
    "negative": b'f\t{"k":"file","s":-1}\n',
    "text for a number": b'f\t{"k":"file","s":"1"}\n',
    "hash": b'f\t{"k":"file","h":"zz"}\n',
    "xattrs": b'f\t{"k":"file","x":{"a":"?"}}\n',
    "no end": b'f\t{"k":"file"}',
}


@pytest.mark.parametrize("data", BAD_INDEXES.values(), ids=BAD_INDEXES.keys())
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        LayerIndex(data)


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_damaged_line_is_refused(line: bytes) -> None:
    index = LayerIndex(
        HEAD + b'{"entries":1,"foreign":false,"implied":false,"opaque":[]}\n#texts\t{}\n' + line
    )

    with pytest.raises(MalformedError):
        index.get(b"f")


def test_entries_through_a_link_of_the_same_layer() -> None:
    index = LayerIndex.from_entries(
        [
            directory(b"etc"),
            link(b"l", b"/etc"),
            file(b"l/f"),
            Entry(b"h", kinds.HARDLINK, linkname=b"l/f"),
        ]
    )

    assert [b"etc", b"etc/f", b"h", b"l"] == [entry.path for entry in index.scan()]
    assert b"etc/f" == index.get(b"h").linkname  # type: ignore[union-attr]


def test_replacing_directories_for_ever_is_refused() -> None:
    """It would take quadratic time."""
    many = [file(b"%d" % number) for number in range(3_000)]
    churn = [directory(b"d"), file(b"d/f"), Entry(b"d", kinds.FIFO)] * 5_000

    with pytest.raises(MalformedError, match="replaces too many"):
        LayerIndex.from_entries([*many, *churn])


def test_order() -> None:
    """A directory is followed by all it holds, whatever its siblings are called."""
    paths = [b".", b"a", b"a/x", b"a/x/y", b"a\x01", b"a-b", b"a.b", b"ab"]

    shuffled = [*paths[4:], *paths[:4]]

    assert paths == sorted(shuffled, key=order_key)


def test_unused_types_are_not_silently_taken() -> None:
    with pytest.raises(MalformedError, match="not a directory"):
        LayerIndex.from_entries([file(b"f"), file(b"f/x")])
    with pytest.raises(MalformedError, match="hard link to a directory"):
        LayerIndex.from_entries([directory(b"d"), Entry(b"h", kinds.HARDLINK, linkname=b"d")])
