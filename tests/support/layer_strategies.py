"""Random trees, and random histories of layers, for laws about layers."""

from __future__ import annotations

import os
from typing import Dict, List, Tuple

from hypothesis import strategies as st

from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry, join, order_key, parent_of
from imagebuild.layer.writer import ContentSource

Item = Tuple[Entry, ContentSource]

# "a.b" and "a" tell a wrong order apart; the rest are names that formats trip over.
NAMES = [
    b"a",
    b"b",
    b"a.b",
    b"a-",
    b"\xff\xfe",
    b"x\ny\tz",
    b"\\x41",
    b"n" * 255,
    "é".encode(),
    b"#h",
    b" ",
]
PLAIN_NAMES = [b"a", b"b", b"a.b", b"c"]
SECOND = kinds.NANOSECONDS
OWN = os.getuid(), os.getgid()

modes = st.sampled_from([0o644, 0o755, 0o4755, 0o2711, 0o1777, 0o600, 0])
mtimes = st.integers(0, 2_000_000_000).map(lambda seconds: seconds * SECOND)
contents = st.one_of(st.binary(max_size=40), st.just(bytes(200_000) + b"end" + bytes(70_000)))
targets = st.sampled_from([b"a", b"/a/b", b"../../..", b"b/" * 60, b"\xff", b"."])
xattrs = st.sampled_from([(), (("user.one", b"1"),), (("user.a", b"\0=\n"), ("user.b", b""))])


@st.composite
def trees(draw: st.DrawFn, names: List[bytes] = NAMES) -> List[Item]:
    """A tree with parents, in order: files, directories, symlinks, fifos and hard links; owned by who runs the test."""
    items: Dict[bytes, Item] = {}
    directories = [kinds.ROOT]
    files: List[bytes] = []
    for _ in range(draw(st.integers(0, 14))):
        path = join(draw(st.sampled_from(directories)), draw(st.sampled_from(names)))
        if path in items:
            continue
        kind = draw(
            st.sampled_from(
                [kinds.FILE, kinds.DIR, kinds.DIR, kinds.SYMLINK, kinds.FIFO, kinds.HARDLINK]
            )
        )
        earlier = [file for file in files if order_key(file) < order_key(path)]
        if kind == kinds.HARDLINK and not earlier:
            kind = kinds.FILE
        items[path] = _item(draw, path, kind, earlier)
        if kind == kinds.DIR:
            directories.append(path)
        if kind == kinds.FILE:
            files.append(path)
    return [items[path] for path in sorted(items, key=order_key)]


def _item(draw: st.DrawFn, path: bytes, kind: str, files: List[bytes]) -> Item:
    if kind == kinds.HARDLINK:
        return Entry(path, kind, linkname=draw(st.sampled_from(files))), None
    mode, mtime = draw(modes), draw(mtimes)
    entry = Entry(path, kind, mode, *OWN, mtime=mtime)
    if kind == kinds.SYMLINK:
        return Entry(path, kind, 0o777, *OWN, mtime=mtime, linkname=draw(targets)), None
    if kind != kinds.FILE:
        return entry, None
    data = draw(contents)
    return Entry(path, kind, mode, *OWN, len(data), mtime, xattrs=draw(xattrs)), data


@st.composite
def layers(draw: st.DrawFn, *, implied: bool) -> List[Item]:
    """One layer of a history over few names: entries of all kinds, whiteouts, opaque directories, type changes.

    :param implied: leave some parent directories without an entry.
    """
    items: Dict[bytes, Item] = {}
    for _ in range(draw(st.integers(1, 7))):
        path = b"/".join(draw(st.lists(st.sampled_from(PLAIN_NAMES), min_size=1, max_size=3)))
        above = [path]
        while parent_of(above[-1]) != kinds.ROOT:
            above.append(parent_of(above[-1]))
        if any(other in items and items[other][0].kind != kinds.DIR for other in above):
            continue
        if any(known.startswith(path + b"/") for known in items):
            kind = kinds.DIR
        else:
            kind = draw(
                st.sampled_from([kinds.FILE, kinds.DIR, kinds.SYMLINK, kinds.WHITEOUT, kinds.DIR])
            )
        for parent in above[1:]:
            if parent not in items and not (implied and draw(st.booleans())):
                items[parent] = (
                    Entry(parent, kinds.DIR, draw(modes), *OWN, mtime=draw(mtimes)),
                    None,
                )
        if kind == kinds.WHITEOUT:
            items[path] = Entry(path, kinds.WHITEOUT), None
        else:
            entry, content = _item(draw, path, kind, [])
            opaque = kind == kinds.DIR and draw(st.integers(0, 3)) == 0
            items[path] = (Entry(**{**vars(entry), "opaque": opaque}), content)
    return [items[path] for path in sorted(items, key=order_key)]


def histories(*, implied: bool) -> st.SearchStrategy[List[List[Item]]]:
    """A base layer and up to four changes to it."""
    return st.lists(layers(implied=implied), min_size=1, max_size=5)
