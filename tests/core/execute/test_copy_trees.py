"""COPY onto and from every kind of file, at the layer that it makes."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from imagebuild.errors import ContextError, MalformedError
from imagebuild.execute.select import input_digest
from imagebuild.layer.tree import TreeView
from imagebuild.llb.ops import FileOp
from support.drafts import EPOCH, Made, TarSource, context, copy, made, tree
from support.tars import directory, hardlink, member, symlink

LONG = "n" * 255
DEEP = "/".join(["p" * 199] * 20)


def from_tree(tmp_path: Path, op: FileOp, *members: Any, below: Any = ()) -> Dict[str, Made]:
    return made(op, [TarSource(*members)], tmp_path, tree(below))


def test_every_kind_of_file_is_copied_from_a_tree_as_it_is(tmp_path: Path) -> None:
    op = copy("s", keep_owner=True)

    layer = from_tree(
        tmp_path,
        op,
        directory("s"),
        directory("s/dir", 0o3755, uid=1, gid=2, pax_headers={"SCHILY.xattr.user.d": "x"}),
        member("s/setuid", b"s", mode=0o6711, uid=4294967294, gid=4294967294),
        member("s/cap", b"c", pax_headers={"SCHILY.xattr.security.capability": "\1\0\0\2"}),
        symlink("s/link", "../../over/there"),
        member("s/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        member("s/disk", type=tarfile.BLKTYPE, devmajor=8, devminor=1, mode=0o660, gid=6),
        member("s/pipe", type=tarfile.FIFOTYPE, mode=0o620, uid=5),
        member("s/caf\udce9\n", b"latin"),
        member(f"s/{LONG}", b"long"),
        member(f"s/{DEEP}", b"deep"),
    )

    def is_(
        kind: str,
        mode: int,
        owner: Tuple[int, int],
        content: Any,
        xattrs: Tuple[Tuple[str, str], ...] = (),
    ) -> Made:
        return Made(kind, mode, owner, content, EPOCH, xattrs)

    nobody = (4294967294, 4294967294)
    assert {
        "d": is_("dir", 0o755, (0, 0), None),
        "d/dir": is_("dir", 0o3755, (1, 2), None, xattrs=(("user.d", "x"),)),
        "d/setuid": is_("file", 0o6711, nobody, b"s"),
        "d/cap": is_("file", 0o644, (0, 0), b"c", xattrs=(("security.capability", "\1\0\0\2"),)),
        "d/link": is_("link", 0o777, (0, 0), "../../over/there"),
        "d/null": is_("char", 0o666, (0, 0), (1, 3)),
        "d/disk": is_("block", 0o660, (0, 6), (8, 1)),
        "d/pipe": is_("fifo", 0o620, (5, 0), None),
        "d/caf\udce9\n": is_("file", 0o644, (0, 0), b"latin"),
        f"d/{LONG}": is_("file", 0o644, (0, 0), b"long"),
        f"d/{DEEP}": is_("file", 0o644, (0, 0), b"deep"),
    } == {path: entry for path, entry in layer.items() if path == f"d/{DEEP}" or "ppp" not in path}


def test_chown_keeps_capabilities_and_set_id_bits(tmp_path: Path) -> None:
    """As BuildKit, which changes the owner before it sets them."""
    capable = {"SCHILY.xattr.security.capability": "\1\0\0\2"}

    layer = from_tree(
        tmp_path, copy("f", owner="7:8"), member("f", mode=0o4755, pax_headers=capable)
    )

    assert (0o4755, (7, 8), (("security.capability", "\1\0\0\2"),)) == (
        layer["d"].mode,
        layer["d"].owner,
        layer["d"].xattrs,
    )


def test_a_name_that_is_not_utf8_can_be_a_pattern_and_a_destination(tmp_path: Path) -> None:
    files = (member("caf\udce9", b"1"), member("x\udcff", b"2"))

    assert b"1" == from_tree(tmp_path, copy("caf\udce9"), *files)["d"].content
    assert ["\udcfe", "\udcfe/x\udcff"] == list(
        from_tree(tmp_path, copy("x*", dest="/\udcfe", into=True), *files)
    )


# Hard links


def links(layer: Dict[str, Made]) -> Dict[str, Any]:
    return {path: entry[:1] + entry[3:4] for path, entry in layer.items() if entry.kind != "dir"}


def test_names_of_one_file_stay_one_file(tmp_path: Path) -> None:
    layer = from_tree(
        tmp_path, copy("s"), directory("s"), member("s/z", b"1"), hardlink("s/a", "s/z")
    )

    assert {"d/a": ("file", b"1"), "d/z": ("hardlink", "d/a")} == links(layer)


def test_names_of_one_file_in_two_sources_are_two_files(tmp_path: Path) -> None:
    files = (member("a", b"1"), hardlink("b", "a"))

    apart = from_tree(tmp_path, copy("b", "a", dest="/n", into=True), *files)
    together = from_tree(tmp_path, copy("[ab]", dest="/n", into=True), *files)

    assert {"n/a": ("file", b"1"), "n/b": ("file", b"1")} == links(apart)
    assert {"n/a": ("file", b"1"), "n/b": ("hardlink", "n/a")} == links(together)


def test_a_name_whose_file_was_replaced_by_a_later_source(tmp_path: Path) -> None:
    files = (
        member("one/f", b"first"),
        hardlink("one/g", "one/f"),
        member("two/f", b"second"),
        hardlink("two/h", "one/g"),
    )

    layer = from_tree(tmp_path, copy("one", "two", into=True), *files)

    assert {"d/f": ("file", b"second"), "d/g": ("file", b"first"), "d/h": ("file", b"first")} == (
        links(layer)
    )


def test_a_name_outside_of_the_selection_does_not_matter(tmp_path: Path) -> None:
    layer = from_tree(tmp_path, copy("s"), member("s/f", b"1"), hardlink("other", "s/f"))

    assert {"d/f": ("file", b"1")} == links(layer)


def test_a_name_that_is_excluded_does_not_take_the_file_with_it(tmp_path: Path) -> None:
    layer = from_tree(
        tmp_path, copy("s", exclude=("a",)), member("s/a", b"1"), hardlink("s/b", "s/a")
    )

    assert {"d/b": ("file", b"1")} == links(layer)


# What is in the way

BELOW = (
    directory("etc"),
    member("etc/file", b"old", mode=0o600, uid=9),
    directory("etc/full", 0o711, uid=9, gid=9),
    member("etc/full/kept", b"kept"),
    directory("real", 0o700),
    symlink("dir", "/real"),
    symlink("etc/rel", "../real"),
    symlink("etc/to_file", "file"),
    symlink("etc/dead", "/nowhere/yet"),
    symlink("etc/loop", "loop"),
    member("etc/fifo", type=tarfile.FIFOTYPE),
)
FILES = {"f": b"new", "s/full": b"x", "t/file/deep": b"x", "u/rel/g": b"g", "u/to_file": b"u"}

PLACES: Dict[str, Tuple[FileOp, List[str]]] = {
    "over a file": (copy("f", dest="/etc/file"), ["etc", "etc/file"]),
    "over a fifo": (copy("f", dest="/etc/fifo"), ["etc", "etc/fifo"]),
    "through a link to a directory": (copy("f", dest="/dir"), ["real", "real/f"]),
    "through a relative one": (copy("f", dest="/etc/rel/x"), ["real", "real/x"]),
    "through a link to a file": (copy("f", dest="/etc/to_file"), ["etc", "etc/file"]),
    "through a dead link": (copy("f", dest="/etc/dead"), ["nowhere", "nowhere/yet"]),
    "a directory through a link": (copy("s", dest="/dir"), ["real", "real/full"]),
    "a directory in one that meets a link": (
        copy("u", dest="/etc"),
        ["etc", "etc/to_file", "real", "real/g"],
    ),
}


@pytest.mark.parametrize("op, expected", PLACES.values(), ids=PLACES.keys())
def test_where_it_lands(tmp_path: Path, op: FileOp, expected: List[str]) -> None:
    source = context(tmp_path / "context", FILES)

    assert expected == list(made(op, [source], tmp_path / "spool", tree(BELOW)))


IN_THE_WAY: Dict[str, Tuple[FileOp, str]] = {
    "a file over a directory": (copy("s", dest="/etc"), "a file cannot replace the directory"),
    "a directory over a file": (copy("t", dest="/etc"), "a directory cannot replace the file"),
    "a file under a file": (copy("f", dest="/etc/file/x"), "a directory cannot replace the file"),
    "into a file": (copy("f", dest="/etc/file", into=True), "a directory cannot replace the file"),
    "a directory's contents into a file": (
        copy("s", dest="/etc/file"),
        "a directory cannot replace the file",
    ),
}


@pytest.mark.parametrize("op, text", IN_THE_WAY.values(), ids=IN_THE_WAY.keys())
def test_what_is_in_the_way_is_an_error_as_it_is_for_buildkit(
    tmp_path: Path, op: FileOp, text: str
) -> None:
    source = context(tmp_path / "context", FILES)

    with pytest.raises(ContextError, match=text):
        made(op, [source], tmp_path / "spool", tree(BELOW))


def test_a_directory_in_one_takes_its_sources_attributes(tmp_path: Path) -> None:
    layer = from_tree(
        tmp_path,
        copy("s", dest="/etc", keep_owner=True),
        directory("s", 0o700, uid=1),
        directory("s/full", 0o750, uid=2, gid=3),
        below=BELOW,
    )

    assert (0o755, (0, 0)) == (layer["etc"].mode, layer["etc"].owner), "the destination does not"
    assert (0o750, (2, 3)) == (layer["etc/full"].mode, layer["etc/full"].owner)


def test_a_destination_that_has_to_be_made_is_an_ordinary_directory(tmp_path: Path) -> None:
    """As in BuildKit and buildah: the source's own mode and owner are of no account."""
    layer = from_tree(
        tmp_path,
        copy("s", dest="/a/b", keep_owner=True),
        directory("s", 0o700, uid=7),
        member("s/f", uid=7),
    )

    assert [(0o755, (0, 0)), (0o755, (0, 0)), (0o644, (7, 0))] == [
        (entry.mode, entry.owner) for entry in layer.values()
    ]


def test_names_that_would_mean_deletion_are_refused(tmp_path: Path) -> None:
    source = context(tmp_path / "context", {"s/.wh.f": b""})

    with pytest.raises(MalformedError, match="mean deletion in a layer"):
        made(copy("s"), [source], tmp_path / "spool")


def test_a_long_path_below_a_long_destination(tmp_path: Path) -> None:
    layer = from_tree(tmp_path, copy("s", dest=f"/{DEEP}"), member(f"s/{LONG}", b"x"))

    assert b"x" == layer[f"{DEEP}/{LONG}"].content


# Keys


def digest(*members: Any, op: FileOp) -> Any:
    return input_digest(tree(members), op, 0)


def test_a_name_counts_where_a_wildcard_gave_it() -> None:
    one, two = member("s/f1", b"x"), member("s/f2", b"x")

    assert digest(one, op=copy("s/f*", into=True)) != digest(two, op=copy("s/f*", into=True))
    assert digest(one, op=copy("s/f1")) == digest(two, op=copy("s/f2"))


def test_the_attributes_of_a_source_directory_do_not_count() -> None:
    def of(mode: int) -> Any:
        return digest(directory("s", mode), member("s/f"), op=copy("s"))

    assert of(0o700) == of(0o755)


def test_an_empty_selection_over_nothing_is_no_layer(tmp_path: Path) -> None:
    source = context(tmp_path / "context", {"empty": None})

    assert {} == made(copy("empty", dest="/"), [source], tmp_path / "spool", TreeView(()))
