"""What a run leaves in its upper directory: its changes, all of them, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from imagebuild.snapshot.copying import copy_merged

CHANGES: Dict[str, Tuple[str, Dict[str, str]]] = {
    "nothing": ("true", {}),
    "reading": ("cat /data/file /etc/passwd; ls /data", {}),
    "new file": ("echo x > /new", {"new": "file"}),
    "new directory": (
        "mkdir -p /a/b; echo x > /a/b/c",
        {"a": "dir", "a/b": "dir", "a/b/c": "file"},
    ),
    "removed file": ("rm /data/file", {"data": "dir", "data/file": "whiteout"}),
    "removed directory": ("rm -r /data", {"data": "whiteout"}),
    "chmod": ("chmod 600 /data/file", {"data": "dir", "data/file": "file"}),
    "chown": (
        "chown 5:6 /data/sub/deep",
        {"data": "dir", "data/sub": "dir", "data/sub/deep": "file"},
    ),
    "same bytes": ("echo lower > /data/file", {"data": "dir", "data/file": "file"}),
    "chmod of a directory": ("chmod 700 /data/sub", {"data": "dir", "data/sub": "dir"}),
    "symbolic link": ("ln -s nowhere /data/link", {"data": "dir", "data/link": "link"}),
    "fifo": ("mkfifo /data/pipe", {"data": "dir", "data/pipe": "fifo"}),
    "renamed file": (
        "mv /data/sub/deep /data/moved",
        {"data": "dir", "data/moved": "file", "data/sub": "dir", "data/sub/deep": "whiteout"},
    ),
    "directory becomes a file": (
        "rm -r /data/sub; echo x > /data/sub",
        {"data": "dir", "data/sub": "file"},
    ),
    "file becomes a directory": (
        "rm /data/file; mkdir /data/file",
        {"data": "dir", "data/file": "dir"},
    ),
    "made and removed again": ("mkdir /x; rmdir /x", {}),
    "devices are not the image's": ("echo x > /dev/x; mkdir /dev/shm/y 2>/dev/null; true", {}),
}


@pytest.mark.parametrize("script, changes", CHANGES.values(), ids=CHANGES)
def test_changes(run: Any, script: str, changes: Dict[str, str]) -> None:
    ran = run.sh(script)

    assert 0 == ran.status.code, ran.err
    assert changes == ran.changes()


def test_a_new_hard_link_stays_one(run: Any) -> None:
    ran = run.sh("ln /data/sub/deep /data/again; echo a > /n1; ln /n1 /n2")

    again, deep = (ran.upper / name for name in ("data/again", "data/sub/deep"))
    assert again.stat().st_ino == deep.stat().st_ino
    assert 2 == (ran.upper / "n1").stat().st_nlink == (ran.upper / "n2").stat().st_nlink


def test_metadata_of_changed_entries(run: Any) -> None:
    ran = run.sh(
        "chmod 4755 /data/file; chown 5:6 /data/file; mkdir /d; chmod 1777 /d; touch -d @1234 /d; chown 7:8 /data"
    )

    file, directory, data = ((ran.upper / name).stat() for name in ("data/file", "d", "data"))
    # chown clears set-id bits
    assert (0o755, 5, 6) == (file.st_mode & 0o7777, file.st_uid, file.st_gid)
    assert (0o1777, 1234) == (directory.st_mode & 0o7777, int(directory.st_mtime))
    assert (0o755, 7, 8) == (data.st_mode & 0o7777, data.st_uid, data.st_gid)


def test_the_upper_root_has_the_roots_metadata(run: Any, base: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir(mode=0o711)
    layer.chmod(0o711)
    os.chown(layer, 3, 4)
    os.utime(layer, (1234, 1234))

    status = run("true", lower=[base, layer]).upper.stat()

    assert (0o711, 3, 4, 1234) == (
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        int(status.st_mtime),
    )


def test_a_parent_that_was_only_passed_keeps_its_time(run: Any) -> None:
    ran = run.sh("chmod 600 /data/sub/deep")

    assert 1_000_000_000 == (ran.upper / "data/sub").stat().st_mtime
    assert 1_000_000_000 == (ran.upper / "data").stat().st_mtime


def test_names_that_are_not_utf8(run: Any) -> None:
    ran = run.sh(r"""touch "/data/$(printf '\377\376')" "/data/$(printf 'a\nb')" """)

    assert {b"\xff\xfe", b"a\nb"} == set(os.listdir(os.fsencode(ran.upper / "data")))


IMAGES_ETC = ("absent etc", "empty etc", "own files", "link to nowhere", "opaque")


@pytest.mark.parametrize("etc", IMAGES_ETC)
def test_the_hosts_files_are_seen_and_never_captured(
    run: Any, base: Path, tmp_path: Path, etc: str
) -> None:
    """BuildKit binds them over the image's; where it makes mount points, ours never reach the layer."""
    lower = [_etc_variant(tmp_path / "layer", base, etc)]

    ran = run.sh("cat /etc/resolv.conf; echo -; cat /etc/hosts; echo x > /kept", lower=lower)

    resolv, _, hosts = ran.out.partition("-\n")
    assert Path("/etc/resolv.conf").read_text() == resolv
    assert "127.0.0.1\tlocalhost" in hosts
    assert {"kept": "file"} == ran.changes()


def _etc_variant(layer: Path, base: Path, etc: str) -> Path:
    shutil.copytree(base, layer, symlinks=True)
    if etc == "absent etc":
        shutil.rmtree(layer / "etc")
    elif etc == "own files":
        (layer / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
        (layer / "etc/hosts").write_text("192.0.2.2 own\n")
    elif etc == "link to nowhere":
        (layer / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    elif etc == "opaque":
        os.setxattr(layer / "etc", "trusted.overlay.opaque", b"y")
    return layer


def test_writing_next_to_them_captures_only_that(run: Any) -> None:
    ran = run.sh("echo a > /etc/conf")

    assert {"etc": "dir", "etc/conf": "file"} == ran.changes()
    mode = (ran.upper / "etc").stat().st_mode & 0o7777
    assert 0o755 == mode


def test_changes_to_the_hosts_files_are_not_captured(run: Any) -> None:
    ran = run.sh("echo x >> /etc/resolv.conf; rm -f /etc/hosts; ln -sf /x /etc/resolv.conf; true")

    assert {} == {p: k for p, k in ran.changes().items() if p != "etc"}


def test_the_hosts_files_are_not_captured_where_they_were_moved(chroot: Any) -> None:
    """In the chroot runtime they are files like others; elsewhere a mount point cannot be moved."""
    ran = chroot.sh("mv /etc/resolv.conf /tmp/kept; mv /etc /etc2")

    assert [] == [p for p in ran.changes() if p.endswith(("resolv.conf", "hosts", "kept"))]
    assert "file" == ran.changes()["etc2/passwd"]


def test_no_lower_layer_at_all(run: Any, tmp_path: Path) -> None:
    """FROM scratch with only a COPY's layer, and an empty stack."""
    ran = run("/bin/true", lower=[])

    assert 127 == ran.status.code
    assert {} == ran.changes()
    assert 0o755 == ran.upper.stat().st_mode & 0o7777


def merged(layers: List[Path], into: Path) -> Dict[str, Tuple[object, ...]]:
    into.mkdir()
    copy_merged([str(layer) for layer in layers], str(into))
    out: Dict[str, Tuple[object, ...]] = {}
    for path in sorted(into.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        link = os.readlink(path) if path.is_symlink() else ""
        out[str(path.relative_to(into))] = (
            status.st_mode,
            status.st_uid,
            status.st_nlink,
            link,
            content,
        )
    return out


HISTORIES = {
    name: script
    for name, (script, _) in CHANGES.items()
} | {
    "deleted and made again": "rm -r /data; mkdir -p /data/sub; echo new > /data/sub/other",
    "directory renamed": "mv /data /moved 2>/dev/null || { cp -a /data /moved; rm -r /data; }",
    "directories exchanged": "mkdir /p /q; echo p > /p/x; echo q > /q/x; mv /p /t; mv /q /p; mv /t /q",
    "many": "for i in 1 2 3 4 5 6 7 8 9; do mkdir -p /m/$i; echo $i > /m/$i/f; rm -r /m/$((i - 1)); done; true",
}  # fmt: skip


@pytest.mark.parametrize("script", HISTORIES.values(), ids=HISTORIES)
def test_both_runtimes_leave_the_same_tree(
    namespace: Any, chroot: Any, base: Path, tmp_path: Path, script: str
) -> None:
    """Law: base + upper shows the same files whichever runtime made it."""
    trees = [
        merged([base, runner.sh(script).upper], tmp_path / f"tree-{number}")
        for number, runner in enumerate((namespace, chroot))
    ]

    assert trees[0] == trees[1]
