"""Cache mounts of a RUN: what stays, who shares it, who waits, and that what is in it reaches nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from imagebuild.errors import CommandFailedError, ImageBuildError, StepError
from imagebuild.execute.step import run_step
from imagebuild.llb.ops import BindMount, CacheMount, TmpfsMount
from imagebuild.runtime import mounts
from support.steps import Steps
from support.tars import directory, member, symlink

KEPT = CacheMount("/c", "kept")


def count(**fields: Any) -> CacheMount:
    return CacheMount("/c", "n", **fields)


def background(work: Callable[[], Any]) -> int:
    """Do it in another process, as another build would; its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended_well(pid: int) -> bool:
    return os.waitpid(pid, 0)[1] == 0


def test_what_is_written_stays_and_is_in_no_layer(steps: Steps) -> None:
    first = steps.run("echo one > /c/f; ls -ld /c | cut -c 1-10; stat -c %u:%g /c", KEPT)
    second = steps.run("cat /elsewhere/f", CacheMount("/elsewhere", "kept"))
    other = steps.run("ls /c", CacheMount("/c", "other"))

    assert ("drwxr-xr-x\n0:0\n", ()) == (first.log, first.layer)
    assert ("one\n", "") == (second.log, other.log)


def test_it_outlives_a_failed_step(steps: Steps) -> None:
    with pytest.raises(CommandFailedError):
        steps.run("echo half > /c/f; exit 1", KEPT)

    assert "half\n" == steps.run("cat /c/f", KEPT).log


def test_mode_and_owner_of_a_new_one(steps: Steps) -> None:
    mount = CacheMount("/c", "owned", mode=0o2770, uid=1000, gid=50)

    ran = steps.run("touch /c/mine; stat -c '%a %u:%g' /c /c/mine", mount, user="app")

    assert "2770 1000:50\n644 1000:50\n" == ran.log
    assert "" == steps.run("ls /c", CacheMount("/c", "owned")).log, "another owner, another cache"


def test_a_readonly_one(steps: Steps) -> None:
    steps.run("echo x > /c/f", KEPT)

    ran = steps.run("cat /c/f; rm /c/f; touch /c/g; true", CacheMount("/c", "kept", readonly=True))

    assert 2 == ran.log.count("Read-only")
    assert "f\n" == steps.run("ls /c", KEPT).log


def test_what_a_new_one_begins_with(steps: Steps) -> None:
    steps.files({"seed/f": "context", "seed/d/g": "->../f"})
    number = steps.tree(
        directory("s", 0o750, uid=7), member("s/f", b"tree", uid=8), symlink("l", "/s")
    )
    of_context = CacheMount("/c", "seeded", input=0, source="/seed")
    of_tree = CacheMount("/c", "seeded", input=number, source="/l")

    assert "context" == steps.run("cat /c/d/g; echo changed > /c/f", of_context).log
    assert "changed\n" == steps.run("cat /c/f", of_context).log
    assert "context" == (steps.context / "seed/f").read_text()
    assert (
        "tree750 7\n8\n" == steps.run("cat /c/f; stat -c '%a %u' /c; stat -c %u /c/f", of_tree).log
    )
    assert "" == steps.run("ls /c", CacheMount("/c", "seeded")).log


def test_large_context_files_are_copied_into_a_cache(steps: Steps, tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    stored.write_bytes(b"x" * (1 << 20))
    for name in ("one", "two"):
        os.link(stored, steps.context / name)

    ran = steps.run(
        "echo y > /c/one; stat -c '%h %s' /c/one /c/two", CacheMount("/c", "big", input=0)
    )

    assert "1 2\n1 1048576\n" == ran.log
    assert 1 << 20 == stored.stat().st_size


def test_a_cache_cannot_begin_with_a_file(steps: Steps) -> None:
    steps.files({"f": "x"})

    with pytest.raises(StepError, match="it is a file"):
        steps.run("true", CacheMount("/c", "f", input=0, source="/f"))


COUNTING = "i=0; while [ $i -lt 5 ]; do n=$(cat /c/n 2>/dev/null || echo 0); sleep 0.02; echo $((n+1)) > /c/n; i=$((i+1)); done"


def test_locked_ones_wait_for_each_other(steps: Steps) -> None:
    """Without the lock the counters below overwrite each other (tried: they do)."""
    pids = [background(lambda: steps.run(COUNTING, count(sharing="locked"))) for _ in range(3)]

    assert [True] * 3 == [ended_well(pid) for pid in pids]
    assert "15\n" == steps.run("cat /c/n", count()).log


MEET = "touch /c/$ME; i=0; while [ ! -e /c/$OTHER ]; do i=$((i+1)); [ $i -lt 250 ] || exit 1; sleep 0.02; done"


def meet(steps: Steps, sharing: str) -> List[bool]:
    """Two steps at once, each of which waits to see the other's file."""
    names = [("a", "b"), ("b", "a")]
    pids = [
        background(
            lambda me=me, other=other: steps.run(  # type: ignore[misc]
                MEET, count(sharing=sharing), env=(("PATH", "/bin"), ("ME", me), ("OTHER", other))
            )
        )
        for me, other in names
    ]
    return [ended_well(pid) for pid in pids]


def test_shared_ones_are_one_directory_at_once(steps: Steps) -> None:
    assert [True, True] == meet(steps, "shared")


def test_private_ones_are_a_directory_for_each_at_once(steps: Steps, tmp_path: Path) -> None:
    go = "echo $ME >> /c/who; sleep 0.5; cat /c/who | wc -l"
    pids = [
        background(
            lambda me=me: steps.run(  # type: ignore[misc]
                go, count(sharing="private"), env=(("PATH", "/bin"), ("ME", me))
            )
        )
        for me in "ab"
    ]
    assert [True, True] == [ended_well(pid) for pid in pids]

    logs = [path.read_text() for path in (Path(steps.store.root) / "logs").iterdir()]
    assert ["1\n", "1\n"] == logs
    assert "2\n" == steps.run("echo x >> /c/who; wc -l < /c/who", count(sharing="private")).log


def test_two_locks_in_either_order_do_not_wait_for_each_other(steps: Steps) -> None:
    one, two = (CacheMount(f"/{name}", name, "locked") for name in ("one", "two"))
    orders = ((one, two), (two, one)) * 3

    pids = [background(lambda order=order: steps.run("sleep 0.02", *order)) for order in orders]  # type: ignore[misc]

    assert [True] * 6 == [ended_well(pid) for pid in pids]


def test_one_cache_under_two_targets(steps: Steps) -> None:
    mounts = (CacheMount("/a", "x", "locked"), CacheMount("/b", "x"))

    assert "1\n" == steps.run("echo 1 > /a/f; cat /b/f", *mounts).log


def test_a_lock_ends_with_its_step(steps: Steps) -> None:
    """Also where the step is killed, and with what it left running."""
    request = steps.request("sleep 100 & sleep 100", [count(sharing="locked")])
    pid = background(lambda: run_step(request, steps.store, str(steps.context)))
    lock = Path(steps.store.root) / "locks"
    deadline = time.monotonic() + 10
    while not list(lock.glob("*-0")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(pid, 9)
    assert not ended_well(pid)

    started = time.monotonic()
    assert "" == steps.run("true", count(sharing="locked")).log
    assert time.monotonic() - started < 5


# --- hostile content --------------------------------------------------------------------------------------------------

HOSTILE: Dict[str, str] = {
    "a link to the host": "ln -s {canary} /c/l; ln -s {canary} /c/m",
    "a link that climbs": "ln -s ../../../../../../../../{canary} /c/m",
    "a directory of set-user-ID programs": "mkdir /c/m; cp /bin/busybox /c/m/su; chmod 4755 /c/m/su",
}


@pytest.mark.parametrize("poison", HOSTILE.values(), ids=HOSTILE)
def test_what_one_step_leaves_cannot_lead_another_out(steps: Steps, poison: str) -> None:
    canary = steps.directory / "canary"
    canary.mkdir()
    (canary / "f").write_text("canary")
    steps.run(poison.format(canary=canary), KEPT)

    try:
        steps.run("ls /c/m; echo x > /c/m/f; echo x > /c/m/g; true", KEPT, TmpfsMount("/c/m"))
    except ImageBuildError as error:
        assert isinstance(error, StepError), error

    assert (["f"], "canary") == (os.listdir(canary), (canary / "f").read_text())


def test_a_target_through_a_link_in_a_cache_makes_no_stub_in_the_layer(steps: Steps) -> None:
    steps.run("ln -s /new /c/l", KEPT)

    with pytest.raises(StepError, match="a link in another mount leads there"):
        steps.run("true", KEPT, TmpfsMount("/c/l"))


def test_a_place_that_another_build_replaces_is_named(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.files({"f": "safe"})
    found = mounts._place

    def replaced(root: int, staged: mounts.Staged) -> Any:
        where = found(root, staged)
        if staged.target == "/c/m":
            os.rmdir("c/m", dir_fd=root)
        return where

    monkeypatch.setattr(mounts, "_place", replaced)

    with pytest.raises(StepError, match='cannot mount on "/c/m": it was replaced meanwhile'):
        steps.run("true", KEPT, BindMount("/c/m", 0))


def test_a_read_only_bind_in_a_shared_cache_stays_read_only(steps: Steps) -> None:
    """Another build moves the place of the mount while it is mounted."""
    steps.files({"f": "safe"})
    mover = background(
        lambda: steps.run(
            "while [ ! -e /c/stop ]; do mv /c/m /c/n; mv /c/n /c/m; done 2>/dev/null", KEPT
        )
    )
    try:
        for _ in range(10):
            try:
                steps.run(
                    "echo evil > /c/m/f; echo evil > /c/n/f; true", KEPT, BindMount("/c/m", 0)
                )
            except StepError:
                continue
    finally:
        steps.run("touch /c/stop", KEPT)
        ended_well(mover)

    assert "safe" == (steps.context / "f").read_text()


def test_no_device_in_a_cache_can_be_opened(steps: Steps) -> None:
    ran = steps.run("mknod /c/zero c 1 5; head -c 1 /c/zero; true", KEPT)

    assert "Permission denied" in ran.log


def test_the_host_keeps_caches_from_its_other_users(steps: Steps) -> None:
    steps.run("cp /bin/busybox /c/su; chmod 4755 /c/su", KEPT)

    caches = Path(steps.store.root) / "caches"
    assert {0o700} == {path.stat().st_mode & 0o777 for path in (caches, *caches.iterdir())}
