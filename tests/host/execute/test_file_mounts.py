"""Bind, tmpfs and script mounts of a RUN: what it sees, what it may do, and that none of it is in the layer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from imagebuild.errors import CommandFailedError, SourceNotInContextError, StepError
from imagebuild.llb.ops import BindMount, CacheMount, ScriptMount, TmpfsMount
from support.steps import Steps
from support.tars import directory, member, symlink

BIG = b"x" * (512 << 10)


def test_a_directory_of_the_context(steps: Steps) -> None:
    steps.files({"src/a": "a\n", "src/sub/run*": "#!/bin/sh\necho ran\n", "other": "x"})

    ran = steps.run("cat /m/a; /m/sub/run; ls /m; cp /m/a /kept", BindMount("/m", 0, "/src"))

    assert ("a\nran\na\nsub\n", ("kept",)) == (ran.log, ran.layer)


def test_a_file_of_the_context_over_a_missing_one(steps: Steps) -> None:
    steps.files({"conf/x.conf": "setting\n"})

    ran = steps.run("cat /etc/deep/x", BindMount("/etc/deep/x", 0, "conf/x.conf"))

    assert ("setting\n", ()) == (ran.log, ran.layer)


def test_an_empty_context_is_an_empty_directory(steps: Steps) -> None:
    steps.context.rmdir()

    assert "" == steps.run("ls -A /m", BindMount("/m", 0)).log


WRITES = (
    "echo x > /m/a",
    "rm /m/a",
    "chmod 777 /m/a",
    "chown 5 /m/a",
    "touch /m/new",
    "mv /m/a /m/b",
)


@pytest.mark.parametrize("write", WRITES)
def test_nothing_can_be_written(steps: Steps, write: str) -> None:
    steps.files({"a": "a"})

    with pytest.raises(CommandFailedError):
        steps.run(write, BindMount("/m", 0))

    assert "a" == (steps.context / "a").read_text()


def test_a_bind_cannot_be_made_writable(steps: Steps) -> None:
    """The RUN is root, but not over its mounts."""
    steps.files({"a": "a"})

    ran = steps.run("mount -o remount,rw /m; umount /m; echo x > /m/a; true", BindMount("/m", 0))

    assert "Read-only" in ran.log
    assert "a" == (steps.context / "a").read_text()


@pytest.mark.parametrize("writable", [False, True])
def test_files_that_are_linked_into_a_store_are_never_touched(
    steps: Steps, tmp_path: Path, writable: bool
) -> None:
    """Pants lays files of 512 KiB and more out as hard links into its own store."""
    stored = tmp_path / "stored"
    stored.write_bytes(BIG)
    stored.chmod(0o444)
    os.utime(stored, (7, 7))
    os.link(stored, steps.context / "big")
    before = stored.stat()
    script = "stat -c '%a %u %Y' /m/big" + (
        "; chmod 777 /m/big; echo x >> /m/big; rm /m/big; echo y > /m/big" if writable else ""
    )

    ran = steps.run(script, BindMount("/m", 0, writable=writable), epoch=99)

    after = stored.stat()
    assert "644 0 99\n" == ran.log
    assert BIG == stored.read_bytes()
    assert (before.st_mode, before.st_mtime_ns, before.st_ctime_ns, 2) == (
        after.st_mode,
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_nlink,
    )


def test_writes_to_a_writable_bind_are_thrown_away(steps: Steps) -> None:
    steps.files({"src/a": "a", "src/gone": "g"})

    ran = steps.run(
        "echo new > /m/a; rm /m/gone; mkdir /m/d; ls /m; cat /m/a",
        BindMount("/m", 0, "src", writable=True),
    )

    assert ("a\nd\nnew\n", ()) == (ran.log, ran.layer)
    assert ("a", "g") == tuple((steps.context / "src" / name).read_text() for name in ("a", "gone"))
    assert "a" == steps.run("cat /m/a", BindMount("/m", 0, "src", writable=True)).log


def test_the_context_looks_the_same_wherever_it_lies(steps: Steps) -> None:
    steps.files({"f": "f", "x*": "x", "d/g": "g", "l": "->f"})
    (steps.context / "f").chmod(0o600)
    (steps.context / "x").chmod(0o711)
    (steps.context / "d").chmod(0o700)
    os.chown(steps.context / "f", 12, 34)
    show = "cd /m && stat -c '%n %a %u:%g %Y' . f x d d/g l"

    ran = steps.run(show, BindMount("/m", 0), epoch=1234)

    expected = [". 755", "f 644", "x 755", "d 755", "d/g 644", "l 777"]
    assert [f"{line} 0:0 1234" for line in expected] == ran.log.splitlines()


def test_real_times_stay_real(steps: Steps) -> None:
    steps.files({"f": "f"})
    os.utime(steps.context / "f", (77, 77))

    assert "77\n" == steps.run("stat -c %Y /m/f", BindMount("/m", 0), epoch=None).log


TREE = (
    directory("etc", 0o750, uid=3, gid=4),
    member("etc/secretive", b"s\n", mode=0o640, uid=5, mtime=55),
    symlink("link", "/etc"),
    symlink("up", "../../../../etc"),
)
FROM_TREE: Dict[str, Tuple[str, str, str]] = {
    "all of it": ("/", "cat /m/etc/secretive", "s\n"),
    "owners, modes and times": (
        "/etc",
        "stat -c '%a %u %Y' /m /m/secretive",
        "750 3 1000000000\n640 5 55\n",
    ),
    "a file": ("/etc/secretive", "cat /m", "s\n"),
    "through an absolute link": ("/link/secretive", "cat /m", "s\n"),
    "through a link that climbs": ("/up", "cat /m/secretive", "s\n"),
    "a path that climbs": ("/../../etc", "cat /m/secretive", "s\n"),
}


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("source, script, expected", FROM_TREE.values(), ids=FROM_TREE)
def test_another_tree(
    steps: Steps, source: str, script: str, expected: str, writable: bool
) -> None:
    number = steps.tree(*TREE)

    ran = steps.run(script, BindMount("/m", number, source, writable))

    assert (expected, ()) == (ran.log, ran.layer)


def test_another_tree_is_not_written(steps: Steps) -> None:
    number = steps.tree(*TREE)
    write = "echo x > /m/etc/secretive; rm -r /m/etc; ls /m"

    assert "Read-only" in steps.run(write, BindMount("/m", number)).log
    assert "link\nup\n" == steps.run(write, BindMount("/m", number, writable=True)).log
    assert "s\n" == steps.run("cat /m/etc/secretive", BindMount("/m", number)).log


def test_a_tree_of_several_layers_is_merged(steps: Steps) -> None:
    first = steps.tree(member("d/a", b"a"), member("d/gone", b"g"))
    second = steps.tree(member("d/b", b"b"), member("d/.wh.gone"))
    steps.trees.append(steps.trees[first] + steps.trees[second])

    ran = steps.run("ls /m", BindMount("/m", len(steps.trees) - 1, "/d"))

    assert "a\nb\n" == ran.log


@pytest.mark.parametrize("target", ["/outside", "/../../../outside", "../outside"])
def test_links_of_the_context_stay_in_the_context(steps: Steps, target: str) -> None:
    (steps.directory / "outside").write_text("canary")
    (steps.context / "l").symlink_to(target)

    with pytest.raises(SourceNotInContextError, match='"l" of a mount is not in the build context'):
        steps.run("cat /m", BindMount("/m", 0, "l"))


def test_links_inside_a_mount_lead_nowhere_on_the_host(steps: Steps) -> None:
    canary = steps.directory / "outside"
    canary.write_text("canary")
    (steps.context / "l").symlink_to(canary)

    ran = steps.run("cat /m/l; echo x > /m/l; true", BindMount("/m", 0, writable=True))

    assert "canary" not in ran.log.replace("canary:", "")
    assert "canary" == canary.read_text()


def test_a_source_that_is_missing(steps: Steps) -> None:
    number = steps.tree(*TREE)

    with pytest.raises(
        SourceNotInContextError, match='"/no" of a mount is not in the build context'
    ):
        steps.run("true", BindMount("/m", 0, "/no"))
    with pytest.raises(
        SourceNotInContextError, match='"/no" of a mount is not in the stage or image'
    ):
        steps.run("true", BindMount("/m", number, "/no"))


# --- tmpfs and scripts ------------------------------------------------------------------------------------------------


def test_a_tmpfs_with_a_size(steps: Steps) -> None:
    fill = "dd if=/dev/zero of=/t/f bs=1k count=2000 2>&1 | tail -1; stat -c %s /t/f"

    assert "1048576\n" == steps.run(fill, TmpfsMount("/t", 1 << 20)).log[-8:]
    assert ("2048000\n", ()) == (
        steps.run(fill, TmpfsMount("/t")).log[-8:],
        steps.run("echo > /tmp/x", TmpfsMount("/tmp")).layer,
    )


@pytest.mark.parametrize("runtime", ["namespace", "chroot"])
def test_a_script(steps: Steps, runtime: str) -> None:
    steps.runtime = runtime
    content = '#!/bin/sh -e\necho "$0" "$1"; id -u\ncat /dev/pipes/DATA; touch /tmp/made\n'
    scripts = (ScriptMount("/dev/pipes/EOF", content), ScriptMount("/dev/pipes/DATA", "d\udcff\n"))

    ran = steps.run("", *scripts, args=("/dev/pipes/EOF", "one"), user="app", epoch=None)

    assert "/dev/pipes/EOF one\n1000\nd\ufffd\n" == ran.log
    assert ("tmp", "tmp/made") == ran.layer


def test_a_script_that_copies_itself_makes_an_ordinary_file(steps: Steps) -> None:
    ran = steps.run("cp /dev/pipes/EOF /kept", ScriptMount("/dev/pipes/EOF", "#!/bin/sh\n"))

    assert ("kept",) == ran.layer


# --- one mount and another --------------------------------------------------------------------------------------------


def test_a_mount_inside_another_whatever_the_order(steps: Steps) -> None:
    steps.files({"d/inner/x": "x", "f": "f\n"})
    mounts = (BindMount("/m/inner", 0, "/f"), TmpfsMount("/m"))
    inside = (TmpfsMount("/m/inner"), BindMount("/m", 0, "/d"))

    assert "f\n" == steps.run("cat /m/inner", *mounts).log
    assert "" == steps.run("ls /m/inner; touch /m/inner/y", *inside).log
    assert ["x"] == os.listdir(steps.context / "d/inner")


def test_no_place_is_made_in_a_read_only_mount(steps: Steps) -> None:
    steps.files({"d/x": "x"})

    with pytest.raises(StepError, match='mount on "/m/new": it lies in another mount'):
        steps.run("true", BindMount("/m", 0, "/d"), TmpfsMount("/m/new"))

    assert ["x"] == os.listdir(steps.context / "d")


REFUSED = {
    "/": "it is the root directory",
    "/proc": 'it lies in "/proc"',
    "/proc/self/attr": 'it lies in "/proc"',
    "/sys/fs": 'it lies in "/sys"',
    "/etc/passwd": "it is a file, and what is mounted is a directory",
    "/etc/passwd/x": "Not a directory",
}


@pytest.mark.parametrize("target, why", REFUSED.items(), ids=list(REFUSED))
def test_places_that_take_no_mount(steps: Steps, target: str, why: str) -> None:
    with pytest.raises(StepError, match=why):
        steps.run("true", TmpfsMount(target))


def test_what_is_written_beside_a_mount_is_kept(steps: Steps) -> None:
    """The target's own directory is a stub, but what the RUN puts beside it needs its parents."""
    ran = steps.run("echo x > /new/beside", TmpfsMount("/new/deep/t"))

    assert ("new", "new/beside") == ran.layer


def test_other_users_can_use_a_mount(steps: Steps) -> None:
    steps.files({"f": "f\n"})

    ran = steps.run(
        "cat /m/f; echo t > /t/x; cat /t/x", BindMount("/m", 0), TmpfsMount("/t"), user="app"
    )

    assert "f\nt\n" == ran.log


def test_devices_in_a_tree_cannot_be_opened(steps: Steps) -> None:
    device: Any = member("dev/zero")
    device[0].type, device[0].devmajor, device[0].devminor = b"3", 1, 5
    number = steps.tree(device)

    with pytest.raises(CommandFailedError):
        steps.run("head -c 1 /m/zero", BindMount("/m", number, "/dev"))


def test_a_large_file_is_executable_only_where_the_context_says_so(
    steps: Steps, tmp_path: Path
) -> None:
    stored = tmp_path / "stored"
    stored.write_bytes(BIG)
    stored.chmod(0o555)
    for name in ("program", "data"):
        os.link(stored, steps.context / name)
    show = "stat -c '%a %n' /m/*"

    for mount in (BindMount("/m", 0), CacheMount("/m", "c", input=0)):
        assert "644 /m/data\n755 /m/program\n" == steps.run(show, mount, plain=("data",)).log
