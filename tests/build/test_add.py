"""ADD of archives in whole builds: as buildah unpacks them, and as a RUN on top of them sees them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
from typing import Any, Callable, Dict, List, Union

import pytest
import zstandard

from imagebuild.errors import IntegrityError
from support.buildah import buildah_tree
from support.builds import Machine, tree_of
from support.tars import directory, hardlink, make_tar, member, symlink

ARCHIVE = (
    directory("app", 0o2750, uid=7, gid=8),
    member("app/setuid", b"s", mode=0o4711, uid=9, gid=9),
    member("app/plain", b"p", uid=0, gid=0),
    member("app/caf\udce9", b"latin", uid=0, gid=0),
    symlink("app/absolute", "/etc/passwd"),
    symlink("app/relative", "../../up"),
    member("app/z", b"one file", uid=1, gid=1),
    hardlink("app/a", "app/z", uid=1, gid=1),
    member("implied/deep/f", b"f", uid=2, gid=2),
    member("n" * 255, b"long", uid=0, gid=0),
    member("pipe", type=tarfile.FIFOTYPE, mode=0o620, uid=3, gid=4),
    member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666, uid=0, gid=0),
)
PACKED: Dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": zstandard.ZstdCompressor().compress,
}
TO_DIRECTORY = "FROM BASE\nADD a /new/dir\n"


@pytest.mark.parametrize("ending", PACKED)
def test_it_is_unpacked_as_buildah_does(here: Machine, ending: str) -> None:
    files = {"a": PACKED[ending](make_tar(*ARCHIVE))}

    ours = tree_of(here.unpack(here.build(TO_DIRECTORY, files)))

    assert buildah_tree(here.base, TO_DIRECTORY, files) == ours
    assert stat.S_ISCHR(int(ours["new/dir/null"][0], 8))


ALSO_AS_BUILDAH = {
    "onto a directory that is there": "ADD a.tar /tmp/\n",
    "to the root": "ADD a.tar /\n",
    "several, and files": "ADD a.tar b.tar text /x/\n",
    "a wildcard": "ADD *.tar /x/\n",
    "not by COPY": "COPY a.tar /x/\n",
    "compressed text": "ADD text.gz /x/\n",
    "an archive by another name": "COPY a.tar /y/data\nADD data /x/\n",
}


@pytest.mark.parametrize("line", ALSO_AS_BUILDAH.values(), ids=ALSO_AS_BUILDAH.keys())
def test_the_same_tree_as_buildahs(here: Machine, line: str) -> None:
    archive = make_tar(*ARCHIVE)
    files: Dict[str, Union[str, bytes, None]] = {
        "a.tar": archive,
        "b.tar": make_tar(member("b", b"b"), directory("app", 0o700)),
        "text": "text",
        "text.gz": gzip.compress(b"text" * 300, mtime=0),
        "data": gzip.compress(archive, mtime=0),
    }

    ours = tree_of(here.unpack(here.build(f"FROM BASE\n{line}", files)))

    assert buildah_tree(here.base, f"FROM BASE\n{line}", files) == ours


def test_an_owner_is_for_all_that_the_archive_holds(here: Machine) -> None:
    """As BuildKit has it, which looks names up in the image; buildah keeps the archive's owners."""
    files = {"a.tar": make_tar(*ARCHIVE)}

    tree = tree_of(here.unpack(here.build("FROM BASE\nADD --chown=app:staff a.tar /x/y/\n", files)))

    owners = {path: entry[1] for path, entry in tree.items() if path.startswith("x")}
    assert {(0, 0)} == {owners.pop(f"x/y/{path}") for path in ("implied", "implied/deep")}
    assert {(1000, 50)} == set(owners.values())


def test_a_run_sees_what_was_unpacked(here: Machine) -> None:
    files = {"a": make_tar(*ARCHIVE)}
    script = "stat -c '%n %a %u:%g %h %F' /n/app/* /n/pipe /n/null > /seen && cat /n/app/a >> /seen"

    root = here.unpack(here.build(f"FROM BASE\nADD a /n/\nRUN {script}\n", files))

    seen = (root / "seen").read_bytes()
    for line in (
        b"/n/app/setuid 4711 9:9 1 regular file",
        b"/n/app/z 644 1:1 2 regular file",
        b"/n/app/absolute 777 0:0 1 symbolic link",
        b"/n/pipe 620 3:4 1 fifo",
        b"/n/null 666 0:0 1 character special file",
        b"one file",
    ):
        assert line in seen


def test_an_archive_replaces_what_a_run_made(here: Machine) -> None:
    lines = (
        "FROM BASE\nRUN mkdir -p /d/sub /d/real && echo k > /d/sub/kept && ln -s real /d/l && echo f > /d/f\n"
        "ADD a /d/\nRUN ls -R /d > /seen\n"
    )
    data = make_tar(
        member("sub", b"a file now"),
        directory("f"),
        member("f/in", b"in"),
        directory("l", 0o700),
        member("l/through", b"t"),
    )

    root = here.unpack(here.build(lines, {"a": data}))

    assert (b"a file now", b"in") == (
        (root / "d/sub").read_bytes(),
        (root / "d/f/in").read_bytes(),
    )
    assert (root / "d/l").is_symlink() and b"t" == (root / "d/real/through").read_bytes()
    assert "through" in (root / "seen").read_text()


HOSTILE: Dict[str, List[Any]] = {
    "a name": [member("../../../etc/passwd", b"out")],
    "a link": [symlink("l", "../../../../etc"), member("l/passwd", b"out")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_archive_that_wants_out_is_refused(here: Machine, members: List[Any]) -> None:
    with pytest.raises(IntegrityError, match='the archive "a" cannot be unpacked') as caught:
        here.build(TO_DIRECTORY, {"a": make_tar(*members)})

    assert str(caught.value.origin) == "Dockerfile:2"


def test_an_absolute_link_of_an_archive_stays_below_the_destination(here: Machine) -> None:
    """CVE-2014-6407 and its like: what is written through the link lands below the destination."""
    data = make_tar(symlink("l", "/etc"), member("l/passwd", b"inside"))

    root = here.unpack(here.build(TO_DIRECTORY, {"a": data}))

    assert b"inside" == (root / "new/dir/etc/passwd").read_bytes()
    assert b"root:" == (root / "etc/passwd").read_bytes()[:5]


def test_decompression_starts_no_program_of_the_image(here: Machine) -> None:
    """CVE-2014-9357: a base image with its own xz, and ADD of an archive that needs one."""
    trap = "#!/bin/sh\ntouch /trapped\n"
    programs = {f"{name}*": trap for name in ("xz", "unpigz", "gzip", "zstd", "bzip2", "tar")}
    lines = "FROM BASE\nCOPY xz unpigz gzip zstd bzip2 tar /bin/\nADD a.xz b.zst /x/\n"
    archive = make_tar(member("f", b"1"))
    files: Dict[str, Union[str, bytes, None]] = {
        **programs,
        "a.xz": lzma.compress(archive),
        "b.zst": PACKED["tar.zst"](archive),
    }

    root = here.unpack(here.build(lines, files))

    assert b"1" == (root / "x/f").read_bytes()
    assert not (root / "trapped").exists()


def test_a_changed_archive_is_unpacked_again_and_the_same_one_is_not(here: Machine) -> None:
    one, two = ({"a": make_tar(member("f", data))} for data in (b"1", b"2"))

    origins = [here.build(TO_DIRECTORY, files).origins for files in (one, one, two)]

    assert [("built",), ("local",), ("built",)] == origins
