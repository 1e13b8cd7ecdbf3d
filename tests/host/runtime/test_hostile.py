"""Images that try to make the builder act outside their root. A canary tree on the host stays as it is."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from imagebuild.errors import UnsafePathError
from imagebuild.runtime.spec import Bind, Tmpfs


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A tree of the host that nothing may change."""
    root = tmp_path / "canary"
    (root / "sub").mkdir(parents=True)
    (root / "secret").write_text("canary-secret")
    (root / "resolv.conf").write_text("canary-resolv")
    (root / "null").write_text("canary-null")
    (root / "setuid").write_text("x")
    (root / "setuid").chmod(0o4755)
    os.mkfifo(root / "fifo")
    before = fingerprint(root)
    yield root
    assert before == fingerprint(root)


def fingerprint(root: Path) -> Dict[str, object]:
    out: Dict[str, object] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        names = ("st_mode", "st_uid", "st_gid", "st_nlink", "st_mtime_ns", "st_ctime_ns")
        out[str(path)] = (
            digest,
            os.listdir(path) if path.is_dir() else "",
            *(getattr(status, n) for n in names),
        )
    return out


def layer_with(tmp_path: Path, links: Dict[str, str]) -> Path:
    layer = tmp_path / "hostile"
    for name, target in links.items():
        path = layer / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return layer


@pytest.mark.parametrize("name", ["/proc", "/dev", "/sys"])
@pytest.mark.parametrize(
    "target", ["{canary}", "/data", "../../../../../../{canary}", "/proc/self/fd/3", "."]
)
def test_a_system_directory_that_is_a_link_is_refused(
    namespace: Any, canary: Path, tmp_path: Path, name: str, target: str
) -> None:
    """Rows 29-31 (CVE-2019-19921, CVE-2023-27561, CVE-2025-52881, CVE-2026-41579)."""
    layer = layer_with(tmp_path, {name: target.format(canary=canary)})

    with pytest.raises(UnsafePathError) as caught:
        namespace.sh("true", lower=[layer, namespace.base])

    assert f'"{name}" of the image is a symbolic link' in caught.value.message


def test_a_system_directory_that_is_a_file_is_refused(namespace: Any, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "proc").write_text("")

    with pytest.raises(UnsafePathError, match="not a directory"):
        namespace.sh("true", lower=[namespace.base, layer])


@pytest.mark.parametrize(
    "name", ["/dev/null", "/dev/ptmx", "/dev/pts", "/dev/console", "/dev/shm", "/dev/fd"]
)
def test_planted_devices_are_never_touched(
    run: Any, canary: Path, tmp_path: Path, name: str
) -> None:
    """Rows 28, 30 (CVE-2025-52565)."""
    layer = layer_with(tmp_path, {name: str(canary / "null")})

    ran = run.sh("echo x > /dev/null; test -c /dev/null", lower=[run.base, layer])

    assert 0 == ran.status.code, ran.err


@pytest.mark.parametrize(
    "links",
    [
        {"/etc/resolv.conf": "{canary}/resolv.conf", "/etc/hosts": "{canary}/new"},
        {"/etc/resolv.conf": "/proc/self/mem"},
        {"/etc/resolv.conf": "resolv.conf"},
        {"/etc": "{canary}"},
        {"/etc": "../../../../../..{canary}/sub"},
        {"/etc": "/proc/1/root{canary}"},
        {"/etc": "etc"},
    ],
    ids=str,
)
def test_resolver_files_are_never_written_through_a_link(
    run: Any, canary: Path, tmp_path: Path, links: Dict[str, str]
) -> None:
    layer = layer_with(tmp_path, {k: v.format(canary=canary) for k, v in links.items()})
    lower = [layer, bin_only(run.base, tmp_path)]

    ran = run.sh("cat /etc/resolv.conf; ls /", lower=lower)

    assert "canary" not in ran.out.replace(str(tmp_path), "")
    assert [] == [p for p in ran.changes() if not p.startswith("dev")]


def bin_only(base: Path, tmp_path: Path) -> Path:
    layer = tmp_path / "bin-only"
    (layer / "bin").mkdir(parents=True)
    for name in ("busybox", "sh", "cat", "ls", "true"):
        source = base / "bin" / name
        if source.is_symlink():
            (layer / "bin" / name).symlink_to(os.readlink(source))
        else:
            (layer / "bin" / name).write_bytes(source.read_bytes())
            (layer / "bin" / name).chmod(0o755)
    return layer


@pytest.mark.parametrize("mount_target", ["/l/x", "/../../x", "/data/../../../x"])
def test_mount_targets_stay_inside(
    namespace: Any, canary: Path, tmp_path: Path, mount_target: str
) -> None:
    """Row 31, 34: a target through a link is resolved in the root."""
    layer = layer_with(tmp_path, {"/l": f"../../../../../..{canary}"})

    ran = namespace.sh("true", lower=[namespace.base, layer], mounts=(Tmpfs(mount_target),))

    assert (0, {}) == (ran.status.code, ran.changes())


def test_a_bind_source_that_is_a_link_is_not_followed(
    namespace: Any, canary: Path, tmp_path: Path
) -> None:
    """Row 32 (CVE-2024-1753): the caller resolves sources and hands a descriptor over."""
    (tmp_path / "s").symlink_to(canary)

    with pytest.raises(UnsafePathError, match="symbolic link"):
        namespace.sh("ls /m", mounts=(Bind("/m", str(tmp_path / "s")),))


OWN_PROGRAM = {
    "argument": ("/proc/self/exe", {}),
    "link": ("/bin/evil", {"/bin/evil": "/proc/self/exe"}),
    "link to a link": ("/bin/evil", {"/bin/evil": "/x", "/x": "/proc/1/exe"}),
    "shell": ("/bin/sh", {"/bin/sh": "/proc/self/exe"}),
}


@pytest.mark.parametrize("command, links", OWN_PROGRAM.values(), ids=OWN_PROGRAM)
def test_no_command_leads_to_the_builders_program(
    namespace: Any, tmp_path: Path, command: str, links: Dict[str, str]
) -> None:
    """Row 27 (CVE-2019-5736): executing /proc/self/exe would give the step a handle on the host's Python."""
    layer = tmp_path / "hostile"
    layer.mkdir()
    lower = [namespace.base, layer_with(tmp_path, links)] if links else [namespace.base]

    ran = namespace(command, "-c", "print('escaped')", lower=lower)

    assert 126 == ran.status.code
    assert "leads to the builder itself" in ran.status.message


def test_nor_does_an_interpreter_line(namespace: Any, tmp_path: Path) -> None:
    layer = tmp_path / "hostile"
    layer.mkdir()
    (layer / "script").write_text("#!/interpreter\n")
    (layer / "interpreter").write_text("#!/proc/self/exe -c\n")
    for name in ("script", "interpreter"):
        (layer / name).chmod(0o755)

    ran = namespace("/script", lower=[namespace.base, layer])

    assert 126 == ran.status.code
    assert "leads to the builder itself" in ran.status.message


def test_landlock_alone_keeps_the_builders_program_from_running(
    namespace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall, with the check by inode taken away."""
    monkeypatch.setattr("imagebuild.runtime.namespaces.own_program", lambda: (0, 0))

    ran = namespace("/proc/self/exe", "-c", "print('escaped')")

    assert (126, "") == (ran.status.code, ran.out)


def test_nothing_of_the_image_is_opened_before_the_command_runs(base: Path, tmp_path: Path) -> None:
    """Row 23 (CVE-2019-14271): trojan modules and libraries in the image, and a trace of the child's system calls."""
    layer = tmp_path / "trojan"
    library = Path(os.__file__).parent
    for directory in (
        library,
        library / "encodings",
        library / "lib-dynload",
        Path("/usr/lib/python3/dist-packages"),
    ):
        (layer / str(directory).lstrip("/")).mkdir(parents=True, exist_ok=True)
    for name in ("traceback.py", "encodings/idna.py", "linecache.py", "pwd.py", "sitecustomize.py"):
        (layer / str(library).lstrip("/") / name).write_text("open('/trojan-ran', 'w')\n")
    trace = tmp_path / "trace"
    program = (
        "import os\n"
        "from imagebuild.runtime.namespaces import NamespaceRuntime\n"
        "from imagebuild.runtime.spec import ProcessSpec\n"
        f"for name in ('u', 'w'): os.mkdir({str(tmp_path)!r} + '/' + name)\n"
        f"NamespaceRuntime().run([{str(base)!r}, {str(layer)!r}], {str(tmp_path / 'u')!r}, {str(tmp_path / 'w')!r},"
        " ProcessSpec(('nope-é',), (('PATH', '/bin:/usr/bin'),), uid=1, gid=1), stdout=1, stderr=2)\n"
    )
    environment = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": os.environ.get("PATH", os.defpath),
    }

    subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=file,pivot_root",
            "-o",
            str(trace),
            sys.executable,
            "-c",
            program,
        ],
        check=True,
        env=environment,
        stderr=subprocess.DEVNULL,
    )

    lines = trace.read_text().splitlines()
    pivots = [line.split()[0] for line in lines if "pivot_root(" in line and line.endswith("= 0")]
    assert 1 == len(pivots)
    start = next(n for n, line in enumerate(lines) if "pivot_root(" in line)
    inside = [
        line.split(None, 1)[1] for line in lines[start + 1 :] if line.startswith(f"{pivots[0]} ")
    ]
    assert any("execve(" in line for line in inside)
    allowed = ("execve(", "chdir(", "getcwd(", "umount2(", 'stat("/bin/nope', 'stat("/usr/bin/nope')
    opened = 'openat(AT_FDCWD, "/", O_RDONLY|O_CLOEXEC|O_PATH)'
    assert [] == [
        line
        for line in inside
        if not line.startswith((*allowed, opened, "newfstatat(")) and "+++" not in line
    ]
    assert [] == [line for line in inside if line.startswith("newfstatat") and "nope" not in line]


def test_copying_meets_only_what_the_layer_holds(chroot: Any, canary: Path, tmp_path: Path) -> None:
    """The chroot runtime copies links as links, and leaves devices out."""
    layer = layer_with(tmp_path, {"/d": str(canary), "/f": str(canary / "secret")})
    os.mknod(layer / "disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))

    ran = chroot.sh("cat /f; ls /d; cat /disk", lower=[chroot.base, layer])

    assert "" == ran.out


def test_the_chroot_cannot_be_left(chroot: Any, canary: Path, tmp_path: Path) -> None:
    """The classic second chroot. Landlock answers with EACCES; without it there would be no CAP_SYS_CHROOT."""
    up = "/".join([".."] * 20)
    ran = chroot.sh(
        f"mkdir /deeper; busybox chroot /deeper {up}/bin/true; cat {up}{canary}/secret /proc/1/environ"
    )

    assert "canary-secret" not in ran.out
    assert 0 != ran.status.code


def test_without_landlock_the_other_walls_stand(
    request: pytest.FixtureRequest, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 5.19: no CAP_SYS_CHROOT in a chroot, and the builder's program is known by its inode."""
    monkeypatch.setattr("imagebuild.runtime.syscalls.landlock_abi", lambda: 0)
    chroot, namespace = (request.getfixturevalue(name) for name in ("chroot", "namespace"))

    ran = chroot.sh("mkdir /deeper; busybox chroot /deeper /bin/true")
    own = namespace("/proc/self/exe", "-c", "print('escaped')")

    assert "Operation not permitted" in ran.err
    assert (126, "") == (own.status.code, own.out)


def test_a_host_on_an_initramfs(
    namespace: Any, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a root that cannot be pivoted away; the new one is moved over it."""

    def refuse(new: str, old: str) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("imagebuild.runtime.syscalls.pivot_root", refuse)
    up = "/".join([".."] * 20)

    ran = namespace.sh(
        f"mkdir /deeper; ls /; ls {up}{canary}; busybox chroot /deeper ls {up}{canary}; mount | grep -c ' / '"
    )

    assert "bin" in ran.out
    assert "secret" not in ran.out
    assert "1" == ran.out.split()[-1]
