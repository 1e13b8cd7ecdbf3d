"""RUN --mount in the chroot runtime: the same files and directories, copied or moved into the root for a while."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import List

import pytest

from imagebuild.errors import (
    CommandFailedError,
    NamespacesUnavailableError,
    SourceNotInContextError,
    StepError,
)
from imagebuild.execute.pure_requests import SshSource
from imagebuild.llb.ops import BindMount, CacheMount, Mount, SshMount, TmpfsMount
from support.steps import Steps
from support.tars import directory, member, symlink

KEPT = CacheMount("/c", "kept")


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps.at(tmp_path, runtime="chroot")


def test_files_of_the_context(steps: Steps) -> None:
    steps.files({"src/a": "a\n", "src/run*": "#!/bin/sh\necho ran\n", "one": "1\n"})
    show = "cat /m/a; /m/run; cat /deep/one; stat -c '%a %u %Y' /m /m/a /m/run"

    ran = steps.run(show, BindMount("/m", 0, "/src"), BindMount("/deep/one", 0, "one"), epoch=9)

    assert "a\nran\n1\n755 0 9\n644 0 9\n755 0 9\n" == ran.log
    assert () == ran.layer


def test_large_files_of_the_context(steps: Steps, tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    stored.write_bytes(b"x" * (600 << 10))
    stored.chmod(0o555)
    (steps.context / "d").mkdir()
    os.link(stored, steps.context / "d/large")
    mounts = (BindMount("/m", 0), BindMount("/d", 0, "d"), BindMount("/f", 0, "d/large"))

    ran = steps.run(
        "stat -c '%a %Y' /m/d/large /d/large /f; echo x > /f; rm /d/large; chmod 777 /m/d/large",
        *mounts,
        plain=("d/large",),
        epoch=9,
    )

    assert ("644 9\n" * 3, ()) == (ran.log, ran.layer)
    assert (600 << 10, 0o555) == (stored.stat().st_size, stored.stat().st_mode & 0o777)


@pytest.mark.parametrize("writable", [False, True])
def test_another_tree(steps: Steps, writable: bool) -> None:
    first = steps.tree(directory("etc", 0o750, uid=3), member("etc/a", b"a\n", uid=5, mtime=55))
    second = steps.tree(member("etc/b", b"b\n"), symlink("l", "/etc"))
    steps.trees.append(steps.trees[first] + steps.trees[second])
    mounts: List[Mount] = [
        BindMount("/m", len(steps.trees) - 1, "/l", writable),
        BindMount("/f", len(steps.trees) - 1, "/l/a", writable),
    ]

    ran = steps.run("cat /m/a /m/b /f; stat -c '%a %u %Y' /m /m/a /f; rm -r /m/*", *mounts)
    again = steps.run("ls /m", *mounts)

    assert "a\nb\na\n750 3 " in ran.log
    assert 2 == ran.log.count("644 5 55")
    assert (("a\nb\n", ()), ()) == ((again.log, again.layer), ran.layer)


def test_what_the_image_has_below_a_mount_stays(steps: Steps) -> None:
    steps.files({"x": "x\n"})

    ran = steps.run("ls /home; rm -r /home/*", BindMount("/home", 0))
    over_a_file = steps.run("cat /etc/passwd", BindMount("/etc/passwd", 0, "x"))

    assert ("x\n", ()) == (ran.log, ran.layer)
    assert ("x\n", ()) == (over_a_file.log, over_a_file.layer)


def test_a_cache(steps: Steps) -> None:
    first = steps.run("echo 1 > /c/f; mkdir /c/d", KEPT)
    with pytest.raises(CommandFailedError):
        steps.run("echo 2 >> /c/f; exit 1", KEPT)
    steps.runtime = "namespace"
    there = steps.run("cat /c/f; ls /c", KEPT)

    assert (("", ()), ("1\n2\nd\nf\n", ())) == ((first.log, first.layer), (there.log, there.layer))


def test_a_readonly_cache_loses_what_is_written(steps: Steps) -> None:
    steps.run("echo 1 > /c/f", KEPT)
    readonly = CacheMount("/c", "kept", readonly=True)

    assert "1\n" == steps.run("cat /c/f; echo 2 > /c/f", readonly).log
    assert "1\n" == steps.run("cat /c/f", KEPT).log


def test_a_tmpfs_and_mounts_in_mounts(steps: Steps) -> None:
    steps.files({"f": "f\n"})
    steps.run("echo 1 > /c/kept", KEPT)
    mounts = (BindMount("/c/t/f", 0, "f"), TmpfsMount("/c/t"), KEPT)

    ran = steps.run("ls /c; cat /c/t/f; echo x > /c/t/y; stat -c %a /c/t", *mounts)

    assert ("kept\nt\nf\n1777\n", ()) == (ran.log, ran.layer)
    assert "kept\n" == steps.run("ls /c", KEPT).log


HOSTILE = (
    "rm -rf /c && ln -s {canary} /c",
    "mv /c /d && ln -s {canary} /c",
    "mv /c /d && mkdir /c && ln -s {canary} /c/l",
    "ln -s {canary} /c/l; ln -s ../../../../../../{canary} /c/m",
)


@pytest.mark.parametrize("script", HOSTILE)
def test_a_step_cannot_put_something_else_in_the_place_of_its_cache(
    steps: Steps, script: str
) -> None:
    canary = steps.directory / "canary"
    canary.mkdir()
    (canary / "f").write_text("canary")

    steps.run(script.format(canary=canary), KEPT)
    for mount in (TmpfsMount("/t"), CacheMount("/c/l", "other"), TmpfsMount("/c/m")):
        try:
            ran = steps.run(
                "cat /c/f /c/l/f /c/m/f; echo x > /c/f; echo x > /c/l/f; true", KEPT, mount
            )
        except StepError:
            continue
        assert "canary" not in ran.log.replace("can't", "")

    assert (["f"], "canary") == (os.listdir(canary), (canary / "f").read_text())
    caches = (steps.directory / "store/caches").glob("*/*")
    assert [] == [path for path in caches if path.is_symlink()]


def test_one_cache_under_two_targets_is_refused(steps: Steps) -> None:
    with pytest.raises(NamespacesUnavailableError, match="RUN --mount on /a, /b needs"):
        steps.run("true", CacheMount("/a", "x"), CacheMount("/b", "x", readonly=True))


def test_an_agent(steps: Steps, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent"))
        server.listen(4)
        source = SshSource("default", (str(tmp_path / "agent"),))
        ran = steps.run(
            "stat -c '%a %u %F' $SSH_AUTH_SOCK", SshMount("/run/agent", uid=1000), ssh=(source,)
        )

    assert ("600 1000 socket\n", ()) == (ran.log, ran.layer)


def test_places_and_sources_that_are_none(steps: Steps) -> None:
    number = steps.tree(member("a", b"a"))

    for target in ("/", "/proc/x", "/etc/passwd/x"):
        with pytest.raises(StepError, match="cannot mount on"):
            steps.run("true", TmpfsMount(target))
    for source in (0, number):
        with pytest.raises(SourceNotInContextError):
            steps.run("true", BindMount("/m", source, "/no"))
