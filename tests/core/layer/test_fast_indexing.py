"""The index of a layer's files is the same as the one that the general path makes."""

from __future__ import annotations

from typing import Any, List, Tuple

from hypothesis import given
from hypothesis import strategies as st

from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry, altered, plain_file
from imagebuild.layer.index_builder import IndexBuilder
from imagebuild.layer.index_format import encode_file, encode_members
from imagebuild.oci.hash import Hash
from support.outcomes import outcome

SHA256 = Hash.of(b"").hex

numbers = st.integers(0, 1 << 40)


@given(mode=st.integers(0, 0o7777), owner=st.tuples(numbers, numbers), size=numbers, mtime=numbers)
def test_a_plain_file_encodes_alike(
    mode: int, owner: Tuple[int, int], size: int, mtime: int
) -> None:
    entry = plain_file(b"a/b", mode, *owner, size, mtime - (1 << 39))

    assert Entry(b"a/b", kinds.FILE, mode, *owner, size, mtime - (1 << 39)) == entry
    assert encode_members(altered(entry, sha256=Hash(SHA256))) == encode_file(entry, SHA256)


paths = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3).map(b"/".join)
steps = st.tuples(
    paths,
    st.sampled_from([kinds.FILE] * 4 + [kinds.DIR, kinds.SYMLINK, kinds.HARDLINK, kinds.WHITEOUT]),
    st.sampled_from([b"a", b"b/c", b"/c", b"a/b/c"]),
    st.sampled_from([(), (("user.a", b"1"),)]),
)


@given(history=st.lists(steps, max_size=12))
def test_files_are_added_to_an_index_alike(history: List[Any]) -> None:
    fast, general = IndexBuilder(), IndexBuilder()
    for path, kind, target, xattrs in history:
        link = target if kind in (kinds.SYMLINK, kinds.HARDLINK) else b""
        entry = Entry(path, kind, 0o644, linkname=link, xattrs=xattrs)
        if kind == kinds.FILE:
            one = outcome(fast.add_file, entry, SHA256)
            other = outcome(general.add, altered(entry, sha256=Hash(SHA256)))
            other = getattr(other, "path", other)
        else:
            one = outcome(fast.add, entry)
            other = outcome(general.add, entry)
        assert other == one

    assert outcome(lambda: general.build().data) == outcome(lambda: fast.build().data)
