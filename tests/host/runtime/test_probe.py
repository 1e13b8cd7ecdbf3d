"""Which runtime is chosen, and what a host without it is told. Each case is a forked copy of the test that lost a right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest
from host.runtime.conftest import Runner

from imagebuild.errors import ImageBuildError, OverlayUnavailableError, UsageError
from imagebuild.runtime import probe, seccomp, syscalls
from imagebuild.runtime.chroot import ChrootRuntime
from imagebuild.runtime.confine import CAP_SYS_CHROOT, DOCKER_CAPABILITIES
from imagebuild.runtime.namespaces import NamespaceRuntime


def as_docker_runs_it() -> None:
    """Root with the capabilities of a container that was given none on top."""
    syscalls.capset(DOCKER_CAPABILITIES)


def without_chroot() -> None:
    syscalls.capset(DOCKER_CAPABILITIES & ~CAP_SYS_CHROOT)


def as_a_user() -> None:
    os.setresuid(1000, 1000, 1000)


def on_overlay(directory: Path) -> None:
    """Cover ``directory`` with an overlay, on which no other overlay can write (only in our namespace)."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("t", str(directory), "tmpfs")
    for name in ("l", "u", "w"):
        (directory / name).mkdir()
    options = ",".join(f"{k}dir={directory / k[0]}" for k in ("lower", "upper", "work"))
    syscalls.mount("overlay", str(directory), "overlay", data=options)


def forked(lose: Callable[[], None], work: Callable[[], str]) -> str:
    """What ``work`` says in a process that has lost something, an error included."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            lose()
            text = work()
        except ImageBuildError as error:
            text = f"{type(error).__name__}: {error}"
        except BaseException as error:
            text = repr(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading, "rb") as file:
        return file.read().decode()


@pytest.fixture
def open_tmp(tmp_path: Path) -> Path:
    """A directory that another user can reach and write."""
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(path.stat().st_mode | 0o755)
    tmp_path.chmod(0o777)
    return tmp_path


CHOICES = [
    ("auto", lambda: None, "namespace"),
    ("namespace", lambda: None, "namespace"),
    ("chroot", lambda: None, "chroot"),
    ("auto", as_docker_runs_it, "chroot"),
    ("chroot", as_docker_runs_it, "chroot"),
]


@pytest.mark.parametrize("wanted, lose, name", CHOICES, ids=lambda v: getattr(v, "__name__", v))
def test_choice(tmp_path: Path, wanted: str, lose: Callable[[], None], name: str) -> None:
    assert name == forked(lose, lambda: probe.choose(wanted, str(tmp_path)).name)


REFUSALS = [
    ("namespace", as_docker_runs_it, "NamespacesUnavailableError", "CAP_SYS_ADMIN"),
    ("namespace", as_a_user, "NamespacesUnavailableError", "run it as root"),
    ("auto", as_a_user, "NamespacesUnavailableError", "run it as root"),
    ("auto", without_chroot, "NamespacesUnavailableError", "CAP_SYS_CHROOT"),
]


@pytest.mark.parametrize(
    "wanted, lose, error, names", REFUSALS, ids=lambda v: getattr(v, "__name__", v)
)
def test_a_refusal_names_what_is_missing(
    open_tmp: Path, wanted: str, lose: Callable[[], None], error: str, names: str
) -> None:
    """F36: never silently weaker."""
    said = forked(lose, lambda: probe.choose(wanted, str(open_tmp)).name)

    assert said.startswith(error)
    assert names in said
    assert "fix: " in said


def test_a_store_on_an_overlay(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()

    assert "chroot" == forked(
        lambda: on_overlay(store), lambda: probe.choose("auto", str(store)).name
    )
    said = forked(lambda: on_overlay(store), lambda: probe.choose("namespace", str(store)).name)
    assert said.startswith("OverlayUnavailableError")
    assert "put the store on ext4, xfs" in said


def mounts_are_forbidden() -> None:
    """As an AppArmor profile does, with all capabilities in place: a filter that answers mount with EACCES."""
    deny = seccomp._when(165, [seccomp._instruction(0x06, 0x0005000D)])
    syscalls.install_seccomp(
        b"".join([seccomp._instruction(0x20, 0), *deny, seccomp._instruction(0x06, 0x7FFF0000)])
    )


FORBIDDEN_MOUNTS = {
    "auto": "chroot 0 {'new': 'file'}",
    "namespace": "NamespacesUnavailableError: cannot make namespaces: Permission denied",
}


@pytest.mark.parametrize("wanted, expected", FORBIDDEN_MOUNTS.items(), ids=FORBIDDEN_MOUNTS)
def test_only_auto_falls_back_where_a_run_cannot_start(
    base: Path, tmp_path: Path, wanted: str, expected: str
) -> None:
    """F36: never silently weaker."""
    runner = Runner(probe.choose(wanted, str(tmp_path)), base, tmp_path)

    def work() -> str:
        ran = runner.sh("echo x > /new; cat /etc/hosts")
        return f"{runner.runtime.name} {ran.status.code} {ran.changes()}"

    assert expected == forked(mounts_are_forbidden, work).splitlines()[0]


def test_an_unknown_runtime() -> None:
    with pytest.raises(UsageError, match='unknown runtime "docker"'):
        probe.choose("docker", "/")


def test_probing_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    found = probe.probe(str(tmp_path))

    assert (True, True, True, ()) == (found.root, found.sys_admin, found.overlay, found.missing)
    assert [] == os.listdir(tmp_path)


def test_the_chroot_runtime_needs_no_more_than_dockers_rights(base: Path, tmp_path: Path) -> None:
    """A pod as kaniko ran in: the whole of it, deletions included."""
    runner = Runner(ChrootRuntime(), base, tmp_path)

    def work() -> str:
        ran = runner.sh(
            "id -u; rm -r /data; echo x > /new; mkdir /d; chmod 4755 /new; chown 5:6 /d"
        )
        return f"{ran.status.code} {ran.out.strip()} {ran.changes()}"

    assert "0 0 {'d': 'dir', 'data': 'whiteout', 'new': 'file'}" == forked(as_docker_runs_it, work)


def test_the_namespace_runtime_says_what_it_lacks(base: Path, tmp_path: Path) -> None:
    runner = Runner(NamespaceRuntime(), base, tmp_path)

    said = forked(as_docker_runs_it, lambda: runner.sh("true").out)

    assert said.startswith("NamespacesUnavailableError: cannot make a pid namespace")


def test_network_none_in_a_chroot_without_rights_is_refused(base: Path, tmp_path: Path) -> None:
    runner = Runner(ChrootRuntime(), base, tmp_path)

    said = forked(as_docker_runs_it, lambda: runner.sh("true", network="none").out)

    assert said.startswith("NamespacesUnavailableError: network=none needs a network namespace")


def test_a_thread_is_refused(namespace: Any) -> None:
    import threading

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="before any thread"):
            namespace.sh("true")
    finally:
        stop.set()
        thread.join()


def test_a_fork_of_a_process_with_a_thread_has_none(namespace: Any) -> None:
    """`forked` tells what happens in a copy of this process."""
    import threading

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        said = forked(lambda: None, lambda: namespace.sh("echo ran").out)
    finally:
        stop.set()
        thread.join()

    assert "ran\n" == said


@pytest.mark.parametrize(
    "runtime", [NamespaceRuntime(), ChrootRuntime()], ids=lambda r: str(r.name)
)
def test_a_full_disk_is_told(base: Path, tmp_path: Path, runtime: Any) -> None:
    """F7: no room for the log, or for the copy of the root."""

    def on_a_small_disk() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("t", str(tmp_path), "tmpfs", data="size=256k")

    said = forked(on_a_small_disk, lambda: str(Runner(runtime, base, tmp_path).sh("yes").status))

    assert said.startswith("StoreFullError: cannot ")
    assert "No space left" in said


def test_more_layers_than_overlayfs_takes(namespace: Runner, base: Path, tmp_path: Path) -> None:
    """What is told then is about layers, not about the host."""
    layers = [tmp_path / f"layer-{number}" for number in range(500)]
    for layer in layers:
        layer.mkdir()

    assert 0 == namespace.sh("true", lower=[base, *layers[:490]]).status.code
    with pytest.raises(OverlayUnavailableError, match="overlayfs takes 500") as caught:
        namespace.sh("true", lower=[base, *layers])
    assert "COPY --from=IMAGE / /" in str(caught.value)
