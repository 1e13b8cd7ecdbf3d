"""What a command can see and do from inside. Each refusal is paired with the legitimate use that has to work."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from host.runtime.conftest import Runner, alive, processes_with, read_status, wait_for
from host.runtime.programs import elf

from imagebuild.errors import NamespacesUnavailableError
from imagebuild.runtime.chroot import ChrootRuntime
from imagebuild.runtime.spec import Bind, Inline, Tmpfs

DOCKER = "00000000a80425fb"
NOTHING = "0000000000000000"


def status_inside(runner: Any, **fields: Any) -> Dict[str, str]:
    """/proc/self/status of a running command, read from outside (a chroot has no /proc)."""
    marker = f"MARK={os.urandom(8).hex()}"
    env = (("PATH", "/bin"), ("MARK", marker[5:]))
    pid = runner.background("exec sleep 30", env=env, **fields)
    try:
        found = wait_for(lambda: processes_with(marker), "the start of the command")
        status: Dict[str, str] = wait_for(lambda: _status_of_sleep(found), "exec")
        return status
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        wait_for(lambda: not any(alive(p) for p in found), "the end of the command")


def _status_of_sleep(pids: List[int]) -> Dict[str, str]:
    for pid in pids:
        found = read_status(pid)
        if found["Name"] in ("sleep", "busybox"):
            return found
    return {}


CAPABILITIES = [
    ("namespace", 0, DOCKER, "0"),
    ("namespace", 1000, NOTHING, "0"),
    ("chroot", 0, "00000000a00425fb", "1"),  # without CAP_MKNOD
    ("chroot", 1000, NOTHING, "1"),
]


@pytest.mark.parametrize("name, uid, effective, no_new_privileges", CAPABILITIES)
def test_capabilities_are_dockers(
    request: pytest.FixtureRequest, name: str, uid: int, effective: str, no_new_privileges: str
) -> None:
    """Row 43 (CVE-2022-24769): inheritable and ambient sets are empty."""
    found = status_inside(request.getfixturevalue(name), uid=uid)

    bounding = DOCKER if name == "namespace" else "00000000a00425fb"
    expected = {"CapInh": NOTHING, "CapPrm": effective, "CapEff": effective, "CapAmb": NOTHING}
    expected.update(CapBnd=bounding, NoNewPrivs=no_new_privileges, Seccomp="2")
    assert expected == {key: found[key] for key in expected}


def test_no_new_privileges_on_request(namespace: Any) -> None:
    assert "1" == status_inside(namespace, no_new_privileges=True)["NoNewPrivs"]


# exit(geteuid())
GETEUID = bytes.fromhex("b86b0000000f0589c7b83c0000000f05")


@pytest.mark.parametrize("name, euid", [("namespace", 0), ("chroot", 232)])  # 1000 & 255
def test_a_set_user_id_program_works_as_under_docker(
    request: pytest.FixtureRequest, base: Path, tmp_path: Path, name: str, euid: int
) -> None:
    """sudo and su in a RUN need it. The chroot runtime's wall needs no_new_privs, which takes it away."""
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "euid").write_bytes(elf(GETEUID))
    (layer / "euid").chmod(0o4755)

    ran = request.getfixturevalue(name)("/euid", lower=[base, layer], uid=1000, gid=1000)

    assert euid == ran.status.code


def test_a_set_user_id_program_works_in_a_chroot_without_its_wall(
    base: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "euid").write_bytes(elf(GETEUID))
    (layer / "euid").chmod(0o4755)
    runner = Runner(ChrootRuntime(wall=False), base, tmp_path)

    assert 0 == runner("/euid", lower=[base, layer], uid=1000, gid=1000).status.code


FORBIDDEN = [
    "mount -t tmpfs x /tmp",
    "mount -o remount,rw /proc/sys",
    "mount -t cgroup x /tmp",
    "umount /proc/sys",
    "unshare -r true",
    "unshare -m true",
    "echo 1 > /proc/sys/kernel/panic",
    "echo c > /proc/sysrq-trigger",
    "mkdir /sys/fs/x",
    "cat /dev/disk",
    "echo x > /etc/resolv.conf",
    "rm /etc/hosts",
]


@pytest.mark.parametrize("script", FORBIDDEN)
def test_what_a_step_may_not_do(namespace: Any, script: str) -> None:
    """Row 45 (CVE-2022-0492) and the masks of SECURITY section 3. /dev/disk is a block device that the step makes."""
    ran = namespace.sh(f"mknod /dev/disk b 254 0; mknod /disk b 254 0; {script}")

    assert 0 != ran.status.code, ran.out


ALLOWED = [
    "echo x > /dev/null && head -c 4 /dev/zero && head -c 4 /dev/urandom > /x",
    "mknod /node c 1 3 && test -c /node",
    "mkdir /r && cp -a /bin /r/ && chroot /r true || busybox chroot /r /bin/true",
    "chown 1000:1000 /tmp && touch /tmp/x && chown 0:0 /tmp/x",
    "echo x > /dev/shm/x && cat /dev/shm/x",
    "test -e /dev/ptmx && test -d /dev/pts && test -d /dev/mqueue",
    "cat /sys/kernel/mm/transparent_hugepage/enabled; ls /sys/class > /x",
    "cat /proc/meminfo /proc/cpuinfo /proc/self/status > /x",
    "sh -c 'echo a | cat' | grep a",
    "echo in > /dev/stdout; echo x > /dev/stderr",
]


@pytest.mark.parametrize("script", ALLOWED)
def test_what_a_step_may_do(namespace: Any, script: str) -> None:
    ran = namespace.sh(script)

    assert 0 == ran.status.code, ran.err


def test_device_nodes_of_image_and_step_cannot_be_opened(
    namespace: Any, base: Path, tmp_path: Path
) -> None:
    """Docker has a device cgroup for it; here every mount that a step can write is nodev."""
    layer = tmp_path / "layer"
    layer.mkdir()
    os.mknod(layer / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))

    ran = namespace.sh(
        "mknod /dev/n c 1 3; mknod /made c 1 3; for n in /null /dev/n /made; do echo x > $n && echo opened $n; done",
        lower=[base, layer],
    )

    assert "" == ran.out
    assert 3 == ran.err.count("Permission denied")


def test_only_its_own_processes_are_visible(namespace: Any) -> None:
    """Rows 27, 44: it is process 1, and the builder is not there."""
    ran = namespace.sh(
        "echo $$; ls /proc | grep -c '^[0-9]'; cat /proc/1/environ; true", env=(("PATH", "/bin"),)
    )

    first, count, environ = ran.out.split("\n", 2)
    assert "1" == first
    assert int(count) <= 3  # the shell, ls and grep
    assert "PATH=/bin\0" == environ


def test_the_masked_paths_are_empty(namespace: Any) -> None:
    masked = "acpi scsi asound kcore keys timer_list latency_stats sched_debug"
    script = f"cd /proc; for p in {masked}; do cat $p $p/* 2>/dev/null; done; ls /sys/firmware"

    assert "" == namespace.sh(script).out


def test_hostname_and_ipc_are_its_own(namespace: Any) -> None:
    ran = namespace.sh(
        "cat /proc/sys/kernel/hostname; readlink /proc/self/ns/ipc", hostname="builder-7"
    )

    name, ipc = ran.out.split()
    assert "builder-7" == name
    assert os.readlink("/proc/self/ns/ipc") != ipc


def test_network_none_has_a_loopback_and_nothing_else(namespace: Any) -> None:
    ran = namespace.sh("ip -o addr; ip route; cat /etc/resolv.conf", network="none")

    devices = {line.split()[1] for line in ran.out.splitlines()}
    assert {"lo"} == devices
    assert "127.0.0.1" in ran.out


def test_network_none_reaches_no_server_of_the_host(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ran = run.sh(f"nc 127.0.0.1 {server.getsockname()[1]}", network="none")

    assert 0 != ran.status.code


def test_network_host_reaches_loopback_servers(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        pid = os.fork()
        if pid == 0:
            server.accept()[0].sendall(b"served\n")
            os._exit(0)
        ran = run.sh(f"nc 127.0.0.1 {server.getsockname()[1]}")
        os.waitpid(pid, 0)

    assert "served\n" == ran.out


@pytest.mark.parametrize("network", ["host", "none"])
def test_abstract_sockets_of_the_host_are_out_of_reach(
    run: Any, base: Path, tmp_path: Path, network: str
) -> None:
    """Row 46 (CVE-2020-15257). busybox cannot connect to one, so the step is a small program of the test."""
    name = f"canary-{os.getpid()}-{network}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen(1)
        assert (
            0
            != run(
                "/connect", name, lower=[base, connector(tmp_path, name)], network=network
            ).status.code
        )


def connector(tmp_path: Path, name: str) -> Path:
    """A layer with a static program /connect that exits 0 when it can connect to the abstract socket ``name``."""
    address = b"\x01\x00\0" + name.encode()
    code = bytes.fromhex(
        "b829000000bf01000000be0100000031d20f0589c7"
    )  # fd = socket(AF_UNIX, SOCK_STREAM, 0)
    code += b"\x48\x8d\x35" + (26 - 4).to_bytes(4, "little")  # rsi = the address behind the code
    code += b"\xba" + len(address).to_bytes(4, "little")
    code += bytes.fromhex("b82a0000000f05")  # connect
    code += bytes.fromhex("89c7f7dfb83c0000000f05")  # exit(-result)
    code = code[:21] + b"\x48\x8d\x35" + (len(code) - 28).to_bytes(4, "little") + code[28:]
    layer = tmp_path / "connector"
    layer.mkdir()
    (layer / "connect").write_bytes(elf(code + address))
    (layer / "connect").chmod(0o755)
    return layer


def test_the_same_program_connects_without_a_wall(base: Path, tmp_path: Path) -> None:
    """The twin that shows that the test above can fail."""
    name = f"twin-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen(1)
        runner = Runner(ChrootRuntime(wall=False), base, tmp_path)
        assert 0 == runner("/connect", name, lower=[base, connector(tmp_path, name)]).status.code


EXTRA: Dict[str, Tuple[Tmpfs, str, str]] = {
    "tmpfs": (
        Tmpfs("/scratch/deep", size=1 << 20),
        "echo x > /scratch/deep/f && cat /scratch/deep/f",
        "x\n",
    ),
    "tmpfs over a directory": (Tmpfs("/data"), "ls /data", ""),
    "tmpfs through a link": (Tmpfs("/link/m"), "touch /tmp/m/x; ls /tmp/m", "x\n"),
}


@pytest.mark.parametrize("mount, script, out", EXTRA.values(), ids=EXTRA)
def test_further_mounts_leave_nothing_behind(
    namespace: Any, base: Path, tmp_path: Path, mount: Tmpfs, script: str, out: str
) -> None:
    """Rows 31, 37: a missing target is made, and no stub of it reaches the layer."""
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "link").symlink_to("/tmp")

    ran = namespace.sh(script, mounts=(mount,), lower=[base, layer])

    assert out == ran.out, ran.err
    assert {} == ran.changes()


def test_binds_of_directory_file_and_descriptor(namespace: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("from outside\n")
    pinned = os.open(source, os.O_PATH)
    mounts = (
        Bind("/run/secrets/one", str(source / "f"), readonly=True),
        Bind("/cache", pinned),
        Bind("/ro", str(source), readonly=True),
    )

    ran = namespace.sh(
        "cat /run/secrets/one; echo kept > /cache/new; echo x > /ro/x; cat /cache/f", mounts=mounts
    )

    assert "from outside\nfrom outside\n" == ran.out
    assert "Read-only" in ran.err
    assert {} == ran.changes()
    assert "kept\n" == (source / "new").read_text()
    os.close(pinned)


def test_a_mount_stub_cannot_be_swapped_for_a_host_path(namespace: Any, tmp_path: Path) -> None:
    """Row 37 (CVE-2024-23652): nothing is cleaned up by name, so there is nothing to redirect."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("safe")

    ran = namespace.sh(
        f"rm -rf /a 2>/dev/null; mv /a /b; ln -s {canary} /a", mounts=(Tmpfs("/a/b"),)
    )

    assert "safe" == (canary / "file").read_text()
    assert [] == [p for p in ran.changes() if p.endswith("file")]


def test_the_chroot_runtime_says_what_it_cannot_mount(chroot: Any, tmp_path: Path) -> None:
    """A secret would lie on a disk, and a directory that others use cannot be moved into the root."""
    for mount in (Inline("/s", b"secret"), Bind("/c", str(tmp_path))):
        with pytest.raises(NamespacesUnavailableError, match="needs a mount namespace") as error:
            chroot.sh("true", mounts=(mount,))
        assert "give the builder CAP_SYS_ADMIN" in str(error.value)
