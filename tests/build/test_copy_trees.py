"""COPY --from of files that only a tree can hold: from an image into an image, unpacked by another tool, and seen by a RUN."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from imagebuild.execute.build import Built
from support.base_image import busybox, busybox_layer, image_of, push
from support.builds import Machine
from support.tars import directory, hardlink, make_tar, member, symlink

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
DEEP = "/".join(["p" * 199] * 19)
HOLE = 64 << 20
FILES = (
    directory("s"),
    directory("s/sticky", 0o3777, uid=1, gid=2),
    member("s/setuid", b"s", mode=0o6711, uid=4294967294, gid=4294967294),
    member("s/cap", b"c", uid=0, gid=0),
    member("s/one", b"linked", uid=3, gid=3, pax_headers={"SCHILY.xattr.user.key": "value"}),
    hardlink("s/zwei", "s/one"),
    symlink("s/link", "../over/there"),
    member("s/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666, uid=0, gid=0),
    member("s/disk", type=tarfile.BLKTYPE, devmajor=7, devminor=1, mode=0o660, uid=0, gid=6),
    member("s/pipe", type=tarfile.FIFOTYPE, mode=0o620, uid=5, gid=5),
    member("s/caf\udce9\n", b"latin", uid=0, gid=0),
    member("s/" + "n" * 255, b"long", uid=0, gid=0),
    member(f"s/{DEEP}/f", b"deep", uid=0, gid=0),
)


@pytest.fixture
def image(here: Machine) -> str:
    """An image with a hole of 64 MiB and a file capability besides."""
    reference = f"{here.registry.address}/base/odd:1"
    name = "SCHILY.xattr.security.capability"
    raw = CAPABILITY.decode("utf-8", "surrogateescape")
    capable = member("s/cap", b"c", uid=0, gid=0, pax_headers={name: raw})
    sparse = member("s/sparse", b"head" + bytes(HOLE), uid=0, gid=0)
    push(image_of([busybox_layer(busybox()), make_tar(*FILES, capable, sparse)]), reference)
    return reference


def at(root: Path, name: str) -> Any:
    status = os.lstat(os.fsencode(str(root)) + b"/d/" + os.fsencode(name))
    return oct(status.st_mode), (status.st_uid, status.st_gid)


def check(here: Machine, built: Built) -> Path:
    root = here.unpack(built)
    big = (4294967294, 4294967294)
    assert ("0o43777", (1, 2)) == at(root, "sticky")
    assert ("0o106711", big) == at(root, "setuid")
    assert ("0o20666", (0, 0)) == at(root, "null")
    assert ("0o60660", (0, 6)) == at(root, "disk")
    assert ("0o10620", (5, 5)) == at(root, "pipe")
    assert CAPABILITY == os.getxattr(root / "d/cap", "security.capability")
    assert b"value" == os.getxattr(root / "d/one", "user.key")
    assert (root / "d/one").stat().st_ino == (root / "d/zwei").stat().st_ino
    assert "../over/there" == os.readlink(root / "d/link")
    assert b"latin" == (root / "d/caf\udce9\n").read_bytes()
    assert b"long" == (root / "d" / ("n" * 255)).read_bytes()
    with open(root / "d/sparse", "rb") as file:
        assert (b"head", HOLE + 4) == (file.read(4), os.fstat(file.fileno()).st_size)
    assert b"deep" == deep(root / "d", f"{DEEP}/f")
    return root


def deep(root: Path, path: str) -> bytes:
    """A file whose whole path is longer than the kernel takes at once."""
    fd = os.open(root, os.O_RDONLY)
    *above, name = path.split("/")
    for part in above:
        fd, old = os.open(part, os.O_RDONLY, dir_fd=fd), fd
        os.close(old)
    with open(os.open(name, os.O_RDONLY, dir_fd=fd), "rb") as file:
        os.close(fd)
        return file.read()


def test_everything_arrives(here: Machine, image: str) -> None:
    check(here, here.build(f"FROM BASE\nCOPY --from={image} /s /d\n"))


def test_everything_arrives_by_way_of_a_stage_and_under_a_run(here: Machine, image: str) -> None:
    lines = (
        f"FROM {image} AS s\nRUN chmod 711 /s\nFROM BASE\nCOPY --from=s /s /d\n"
        "RUN stat -c '%n %a %u:%g %h %t:%T' /d/setuid /d/one /d/null /d/disk /d/pipe > /seen && "
        "cat /d/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/p*/f >> /seen && "
        "stat -c '%b' /d/sparse > /blocks\n"
    )

    root = check(here, here.build(lines))

    assert (
        "/d/setuid 6711 4294967294:4294967294 1 0:0\n/d/one 644 3:3 2 0:0\n/d/null 666 0:0 1 1:3\n"
        "/d/disk 660 0:6 1 7:1\n/d/pipe 620 5:5 1 0:0\ndeep"
    ) == (root / "seen").read_text()
    assert int((root / "blocks").read_text()) < 1024, "the hole is a hole where a RUN sees it"


def test_everything_arrives_linked(here: Machine, image: str) -> None:
    check(here, here.build(f"FROM BASE\nCOPY --link --from={image} /s /d\n"))


def test_everything_is_the_same_a_second_time_and_elsewhere(here: Machine, image: str) -> None:
    lines = f"FROM BASE\nCOPY --from={image} --exclude=sparse /s /d\nRUN ls -lnR /d > /l\n"
    first = here.build(lines)

    elsewhere = here.fresh("elsewhere").build(lines)

    assert first.image.digest == elsewhere.image.digest
    assert ("registry", "registry") == elsewhere.origins
