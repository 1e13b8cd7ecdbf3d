"""ADD of archives, at the layer that it makes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest
import zstandard

from imagebuild.errors import ContextError, IntegrityError, MalformedError, UnsafePathError
from imagebuild.execute import unpack
from imagebuild.layer.tree import TreeView
from support.breakouts import CASES, Case
from support.drafts import EPOCH, Made, context, copy, made, tree
from support.sparse_tars import sparse_pax_0_0, sparse_pax_0_1, sparse_pax_1
from support.tars import directory, hardlink, make_tar, member, symlink

PACKED: Dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "two gz members": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


def add(
    tmp_path: Path, data: bytes, below: Optional[TreeView] = None, **fields: Any
) -> Dict[str, Made]:
    """What ADD makes of a file ``data`` with these bytes."""
    source = context(tmp_path / "context", {"data": data})
    return made(copy("data", unpack=True, **fields), [source], tmp_path / "spool", below)


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
def test_an_archive_is_told_by_its_content(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = pack(make_tar(directory("sub", 0o700), member("sub/f", b"content")))

    layer = add(tmp_path, data)

    assert ["d", "d/sub", "d/sub/f"] == list(layer)
    assert (0o700, b"content") == (layer["d/sub"].mode, layer["d/sub/f"].content)


NO_ARCHIVES = {
    "compressed text": gzip.compress(b"text" * 500),
    "damaged gz": gzip.compress(make_tar(member("f")))[:20],
    "text that begins like bz2": b"BZh9 is what it begins with" * 50,
    "an empty tar": bytes(10240),
    "less than a block": make_tar(member("f"))[:511],
    "a wrong checksum": b"x" + make_tar(member("f"))[1:],
    "nothing": b"",
    "lzma alone": lzma.compress(make_tar(member("f")), format=lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("data", NO_ARCHIVES.values(), ids=NO_ARCHIVES.keys())
def test_what_is_no_archive_is_copied_as_it_is(tmp_path: Path, data: bytes) -> None:
    assert {"d": Made("file", 0o644, (0, 0), data)} == add(tmp_path, data)


def test_copy_unpacks_nothing(tmp_path: Path) -> None:
    data = make_tar(member("f"))
    source = context(tmp_path / "context", {"data": data})

    assert data == made(copy("data"), [source], tmp_path / "spool")["d"].content


def test_archives_and_files_of_one_add(tmp_path: Path) -> None:
    source = context(tmp_path / "context", {"a.tar": make_tar(member("f", b"1")), "b": b"2"})

    layer = made(copy("a.tar", "b", unpack=True, into=True), [source], tmp_path / "spool")

    assert ["d", "d/b", "d/f"] == list(layer)


EVERYTHING = (
    directory("dir", 0o2750, uid=1, gid=2, pax_headers={"SCHILY.xattr.user.d": "x"}),
    member("dir/setuid", b"s", mode=0o4711, uid=3, gid=4, mtime=5),
    member("dir/cap", b"", pax_headers={"SCHILY.xattr.security.capability": "\1\0\0\2\0\0\0"}),
    member("big ids", uid=4294967294, gid=4294967294),
    symlink("absolute", "/etc/passwd"),
    symlink("climbing", "../../../etc/passwd"),
    member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
    member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=1, mode=0o660),
    member("pipe", type=tarfile.FIFOTYPE, mode=0o600),
    member("l" * 255, b"long"),
    member("/".join(["p" * 200] * 19 + ["f"]), b"deep"),
    member("caf\udce9", b"not utf-8"),
    member("sub/../odd", b"odd"),
)


def test_all_that_a_tar_can_hold(tmp_path: Path) -> None:
    layer = add(tmp_path, make_tar(*EVERYTHING), dest="/")

    def own(name: str) -> Tuple[Any, ...]:
        entry = layer[name]
        return entry.kind, entry.mode, entry.owner, entry.content

    assert ("dir", 0o2750, (1, 2), None) == own("dir")
    assert ("file", 0o4711, (3, 4), b"s") == own("dir/setuid")
    assert 5 == layer["dir/setuid"].mtime
    assert (("user.d", "x"),) == layer["dir"].xattrs
    assert (("security.capability", "\1\0\0\2\0\0\0"),) == layer["dir/cap"].xattrs
    assert (4294967294, 4294967294) == layer["big ids"].owner
    assert ("link", 0o777, (0, 0), "/etc/passwd") == own("absolute")
    assert "../../../etc/passwd" == layer["climbing"].content
    assert ("char", 0o666, (0, 0), (1, 3)) == own("null")
    assert ("block", 0o660, (0, 0), (8, 1)) == own("disk")
    assert ("fifo", 0o600, (0, 0), None) == own("pipe")
    assert b"long" == layer["l" * 255].content
    assert b"deep" == layer["/".join(["p" * 200] * 19 + ["f"])].content
    assert b"not utf-8" == layer["caf\udce9"].content
    assert b"odd" == layer["odd"].content


def test_chown_is_for_all_but_directories_that_the_archive_only_implies(tmp_path: Path) -> None:
    data = make_tar(directory("a", uid=5, gid=5), member("a/f", uid=6, gid=6), member("b/f"))

    layer = add(tmp_path, data, dest="/x/y", owner="7:8", mode=0o600)

    owners = {path: entry.owner for path, entry in layer.items()}
    assert (0, 0) == owners.pop("x/y/b")
    assert {(7, 8)} == set(owners.values())
    assert 0o644 == layer["x/y/a/f"].mode, "--chmod does not concern what is in an archive"


def test_times_are_the_archives_but_none_is_newer_than_the_epoch(tmp_path: Path) -> None:
    data = make_tar(
        member("new", mtime=EPOCH + 5), member("old", mtime=EPOCH - 5.5), member("first", mtime=-9)
    )

    layer = add(tmp_path, data)

    assert {"d": EPOCH, "d/new": EPOCH, "d/old": EPOCH - 6, "d/first": 0} == {
        path: entry.mtime for path, entry in layer.items()
    }


def test_compiled_python_fits_its_clamped_source(tmp_path: Path) -> None:
    def compiled(time: int) -> bytes:
        return b"\x61\x0d\x0d\x0a" + struct.pack("<III", 0, time, 1) + b"code"

    data = make_tar(
        member("__pycache__/m.cpython-39.pyc", compiled(EPOCH + 9)),
        member("m.py", b"1", mtime=EPOCH + 9),
    )

    assert compiled(EPOCH) == add(tmp_path, data)["d/__pycache__/m.cpython-39.pyc"].content


def test_hard_links_stay_links_whatever_the_order_of_their_names(tmp_path: Path) -> None:
    data = make_tar(member("z", b"one", mode=0o600, uid=3), hardlink("a", "z"), hardlink("m", "/z"))

    layer = add(tmp_path, data)

    assert ("file", b"one", (3, 0)) == (
        layer["d/a"].kind,
        layer["d/a"].content,
        layer["d/a"].owner,
    )
    assert ["hardlink", "d/a", "hardlink", "d/a"] == [
        *layer["d/m"][:1],
        layer["d/m"].content,
        *layer["d/z"][:1],
        layer["d/z"].content,
    ]


def test_a_hard_link_keeps_what_it_had_when_its_other_name_is_replaced(tmp_path: Path) -> None:
    data = make_tar(
        member("f", b"first"), hardlink("g", "f"), hardlink("h", "f"), member("f", b"second")
    )

    layer = add(tmp_path, data)

    assert (b"second", b"first") == (layer["d/f"].content, layer["d/g"].content)
    assert ("hardlink", "d/g") == (layer["d/h"].kind, layer["d/h"].content)


def test_a_hard_link_to_a_link_is_that_link(tmp_path: Path) -> None:
    layer = add(tmp_path, make_tar(symlink("l", "/nowhere"), hardlink("h", "l")))

    assert ("link", "/nowhere") == (layer["d/h"].kind, layer["d/h"].content)


BELOW = (
    directory("d", 0o1777, uid=9, gid=9),
    directory("d/sub", 0o700, uid=9, gid=9),
    member("d/sub/kept", b"kept"),
    member("d/file", b"old"),
    directory("d/real", 0o711),
    symlink("d/to_dir", "real"),
    symlink("d/absolute", "/real"),
    symlink("d/to_file", "file"),
    directory("real", 0o700),
    directory("etc"),
    member("etc/passwd", b"outside"),
)


def test_the_root_of_an_archive_changes_nothing(tmp_path: Path) -> None:
    below = tree(BELOW)

    layer = add(tmp_path, make_tar(directory("./", 0o700, uid=1), member("./f")), below)

    assert (0o1777, (9, 9)) == (layer["d"].mode, layer["d"].owner)


def test_a_directory_that_is_there_takes_the_archives_attributes(tmp_path: Path) -> None:
    layer = add(tmp_path, make_tar(directory("sub", 0o755, uid=3, gid=4)), tree(BELOW))

    assert ("dir", 0o755, (3, 4)) == layer["d/sub"][:3]
    assert ["d", "d/sub"] == list(layer), "and keeps what is in it"


def test_a_directory_that_is_implied_stays_as_it_is(tmp_path: Path) -> None:
    layer = add(tmp_path, make_tar(member("sub/new")), tree(BELOW))

    assert (0o700, (9, 9)) == (layer["d/sub"].mode, layer["d/sub"].owner)


def test_a_directory_follows_a_link_to_one(tmp_path: Path) -> None:
    data = make_tar(directory("to_dir", 0o750), member("to_dir/f", b"x"))

    layer = add(tmp_path, data, tree(BELOW))

    assert ["d", "d/real", "d/real/f"] == list(layer)
    assert 0o750 == layer["d/real"].mode


def test_an_absolute_link_leads_below_the_destination(tmp_path: Path) -> None:
    layer = add(tmp_path, make_tar(member("absolute/f", b"x")), tree(BELOW))

    assert ["d", "d/real", "d/real/f"] == list(layer)


def test_a_file_replaces_a_link(tmp_path: Path) -> None:
    layer = add(tmp_path, make_tar(member("to_file", b"x"), member("to_dir", b"y")), tree(BELOW))

    assert {"d/to_dir": b"y", "d/to_file": b"x"} == {
        path: entry.content for path, entry in layer.items() if entry.kind != "dir"
    }


def test_a_file_replaces_a_directory_with_all_that_is_in_it(tmp_path: Path) -> None:
    data = make_tar(directory("sub"), member("sub/new"), member("sub", b"file"))

    layer = add(tmp_path, data, tree(BELOW))

    assert ["d", "d/sub"] == list(layer)
    assert b"file" == layer["d/sub"].content


def test_a_directory_that_was_something_else_in_between_is_empty(tmp_path: Path) -> None:
    data = make_tar(member("sub", b"file"), directory("sub", 0o711), member("sub/new", b"x"))

    layer = add(tmp_path, data, tree(BELOW))

    assert ["d", "d/sub", "d/sub/.wh..wh..opq", "d/sub/new"] == list(layer)


def test_a_directory_replaces_a_file(tmp_path: Path) -> None:
    layer = add(tmp_path, make_tar(directory("file"), member("file/f", b"x")), tree(BELOW))

    assert ["d", "d/file", "d/file/f"] == list(layer)


def test_a_destination_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="a directory cannot replace the file"):
        add(tmp_path, make_tar(member("f")), tree(BELOW), dest="/d/file")


REFUSED: Dict[str, Any] = {
    "a name that climbs": ([member("../f")], UnsafePathError, "climbs above the root"),
    "a name that climbs later": ([member("a/../../f")], UnsafePathError, "climbs above the root"),
    "through a link that leaves": (
        [symlink("l", "../etc"), member("l/passwd")],
        UnsafePathError,
        'link to "../etc", which leaves',
    ),
    "a directory through such a link": (
        [symlink("l", "../../etc"), directory("l")],
        UnsafePathError,
        "which leaves",
    ),
    "a hard link through such a link": (
        [symlink("l", "../etc"), hardlink("h", "l/passwd")],
        UnsafePathError,
        "which leaves",
    ),
    "a loop": ([symlink("a", "b"), symlink("b", "a"), member("a/f")], UnsafePathError, "symlinks"),
    "a hard link to what only the image has": (
        [hardlink("h", "file")],
        MalformedError,
        "which the archive does not hold before it",
    ),
    "a hard link to nothing": ([hardlink("h", "x")], MalformedError, "does not hold before it"),
    "a hard link to a directory": (
        [directory("x"), hardlink("h", "x")],
        MalformedError,
        "does not hold before it",
    ),
    "a hard link to the root": ([hardlink("h", ".")], UnsafePathError, "hard link to the root"),
    "a whiteout's name": ([member("sub/.wh.kept")], MalformedError, "mean deletion"),
    "an opaque marker's name": ([member(".wh..wh..opq")], MalformedError, "mean deletion"),
    "a whiteout's device": (
        [member("sub", type=tarfile.CHRTYPE, devmajor=0, devminor=0)],
        MalformedError,
        "device 0:0",
    ),
    "a file under a file": (
        [member("x"), member("x/y")],
        ContextError,
        "a directory cannot replace the file",
    ),
    "the root as a file": ([member(".")], UnsafePathError, "an entry makes the root a file"),
}


@pytest.mark.parametrize("members, error, text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(tmp_path: Path, members: List[Any], error: Any, text: str) -> None:
    with pytest.raises(error, match='the archive "data" cannot be unpacked') as caught:
        add(tmp_path, make_tar(*members), tree(BELOW))

    assert text in caught.value.message and "layer entry" not in caught.value.message
    assert "COPY it and unpack it in a RUN" in caught.value.hint


DAMAGED = {
    "truncated in a file": make_tar(member("f", b"x" * 2000))[:1500],
    "truncated in gz": gzip.compress(make_tar(member("f", bytes(range(256)) * 800)))[:-900],
    "garbage behind the first entry": make_tar(member("f"))[:512] + b"garbage" * 200,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_archive_is_an_error_and_not_half_of_it(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(IntegrityError, match='the archive "data" cannot be unpacked'):
        add(tmp_path, data)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_nothing_arrives_outside_of_the_destination(tmp_path: Path, case: Case) -> None:
    """The attacks on layers (SECURITY: rows 1-12), as archives."""
    below = tree([directory("d"), directory("etc"), member("etc/passwd", b"outside")])
    try:
        layer = add(tmp_path, make_tar(*case.before, *case.layer), below)
    except (IntegrityError, ContextError):
        return
    assert {"d"} == {path.split("/")[0] for path in layer}


def test_an_archive_has_a_bounded_number_of_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 3)

    with pytest.raises(MalformedError, match="more than 3 entries"):
        add(tmp_path, make_tar(*(member(str(number)) for number in range(4))))


def test_directories_are_not_replaced_without_end(tmp_path: Path) -> None:
    rounds: List[Any] = [member(f"f{number}") for number in range(3000)]
    for _ in range(2500):
        rounds += [directory("x"), member("x")]

    with pytest.raises(MalformedError, match="replaces too many"):
        add(tmp_path, make_tar(*rounds))


SPARSE = {"1.0": sparse_pax_1, "0.1": sparse_pax_0_1, "0.0": sparse_pax_0_0}


@pytest.mark.parametrize("write", SPARSE.values(), ids=SPARSE.keys())
def test_sparse_files(tmp_path: Path, write: Callable[..., bytes]) -> None:
    data = write(1 << 20, [(0, b"head"), (600_000, b"tail")])

    content = b"head" + bytes(600_000 - 4) + b"tail"
    assert content.ljust(1 << 20, b"\0") == add(tmp_path, data)["d/real"].content


def test_contents_are_not_held_in_memory(tmp_path: Path) -> None:
    size = 64 << 20
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, Zeros())
    source = context(tmp_path / "context", {"data": packed.getvalue()})
    del packed

    from imagebuild.execute.file_step import apply_file_op
    from imagebuild.execute.spool import Spool

    tracemalloc.start()
    try:
        with Spool(str(tmp_path)) as spool:
            draft = apply_file_op(copy("data", unpack=True), TreeView(()), [source], 0, spool)
            for _, content in draft.entries():
                if content:
                    with content() as file:
                        while file.read(1 << 18):
                            pass
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


class Zeros(io.RawIOBase):
    def read(self, count: int = -1) -> bytes:
        return b"\1" + bytes(count - 1)
