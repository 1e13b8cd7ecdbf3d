"""Build what a RUN sees around the image's files: /dev, /proc, /sys, masks, resolv.conf, hosts and further mounts.

Everything is mounted on descriptors that were opened inside the root without following links (runc's CVE-2019-19921,
CVE-2021-30465, CVE-2025-52565 and relatives came from mounting on names). All of it runs in a private mount namespace
whose end undoes it.
"""

from __future__ import annotations

import os
import stat
from typing import Dict, Sequence, Tuple

from imagebuild.errors import UnsafePathError
from imagebuild.runtime import syscalls
from imagebuild.runtime.inroot import resolve
from imagebuild.runtime.mounts import Staged, attach
from imagebuild.runtime.overlay import MountPoint, fd_path, open_path, touch
from imagebuild.runtime.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REMOUNT,
)

_SYSTEM_DIRECTORIES = ("proc", "dev", "sys")
_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
# Docker's lists (moby, oci/defaults.go)
_MASKED_PROC = (
    "acpi",
    "asound",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
)
_MASKED_SYS = ("firmware", "devices/virtual/powercap")
_READONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_QUIET = MS_NOSUID | MS_NODEV | MS_NOEXEC


def mount_points(files: Dict[str, bytes]) -> Tuple[MountPoint, ...]:
    """Every path on which `furnish` mounts by itself."""
    return (
        *(MountPoint(f"/{name}", directory=True, follow=False) for name in _SYSTEM_DIRECTORIES),
        *(MountPoint(path, directory=False, follow=False, optional=True) for path in files),
    )


def refuse_redirects(below: int) -> None:
    """An image whose /proc, /dev or /sys is anything but a directory (or missing) is refused.

    :raises UnsafePathError: naming it and, for a link, its target.
    """
    for name in _SYSTEM_DIRECTORIES:
        try:
            mode = os.stat(name, dir_fd=below, follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "not a directory"
            raise UnsafePathError(
                f'"/{name}" of the image is {what}: a mount on it could land elsewhere',
                expected=f"a directory, or no /{name} at all",
            )


def furnish(root: int, scratch: int, files: Dict[str, bytes], staged: Sequence[Staged]) -> None:
    """Mount everything inside ``root``. Has to run as a member of the RUN's own pid and network namespaces.

    :param files: text of files that are bound in read-only, by path in the root.
    :raises StepError: where there is no place for one of the further mounts.
    """
    _mount_dev(root, scratch)
    syscalls.mount("proc", fd_path(open_path("proc", root)), "proc", _QUIET)
    syscalls.mount("sysfs", fd_path(open_path("sys", root)), "sysfs", _QUIET | MS_RDONLY)
    null, empty = open_path("null", scratch), open_path("empty", scratch)
    _mask(open_path("proc", root), _MASKED_PROC, null, empty)
    _mask(open_path("sys", root), _MASKED_SYS, null, empty)
    _make_readonly(open_path("proc", root), _READONLY_PROC)
    for number, (path, content) in enumerate(files.items()):
        _bind_file(root, path, scratch, f"file-{number}", content)
    for mount in staged:
        attach(root, mount)


def _mount_dev(root: int, scratch: int) -> None:
    """A fresh /dev. It and the image's own files are mounted nodev, so no device node that the image or the RUN makes
    can be opened; the six of `_DEVICES` are bound in from a mount that allows them."""
    syscalls.mount(
        "tmpfs",
        fd_path(open_path("dev", root)),
        "tmpfs",
        MS_NOSUID | MS_NODEV,
        "mode=755,size=65536k",
    )
    dev = open_path("dev", root)
    for name, major, minor in _DEVICES:
        os.mknod(name, 0o666 | stat.S_IFCHR, os.makedev(major, minor), dir_fd=scratch)
        touch(dev, name)
        _bind(open_path(name, scratch), open_path(name, dev))
    for name, target in _DEVICE_LINKS:
        os.symlink(target, name, dir_fd=dev)
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(name, 0o755, dir_fd=dev)
    pts = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    syscalls.mount("devpts", fd_path(open_path("pts", dev)), "devpts", MS_NOSUID | MS_NOEXEC, pts)
    syscalls.mount("shm", fd_path(open_path("shm", dev)), "tmpfs", _QUIET, "mode=1777,size=65536k")
    try:
        syscalls.mount("mqueue", fd_path(open_path("mqueue", dev)), "mqueue", _QUIET)
    except OSError:  # a kernel without POSIX message queues
        os.rmdir("mqueue", dir_fd=dev)


def _bind(source: int, target: int) -> None:
    syscalls.mount(fd_path(source), fd_path(target), flags=MS_BIND)


def _mask(parent: int, names: Sequence[str], null: int, empty: int) -> None:
    """Show an empty directory in place of a directory, and /dev/null in place of a file."""
    for name in names:
        try:
            target = open_path(name, parent)
        except FileNotFoundError:  # not in this kernel
            continue
        if stat.S_ISDIR(os.fstat(target).st_mode):
            _bind(empty, target)
            _remount_readonly(open_path(name, parent), _QUIET)
        else:
            _bind(null, target)


def _make_readonly(parent: int, names: Sequence[str]) -> None:
    for name in names:
        try:
            target = open_path(name, parent)
        except FileNotFoundError:
            continue
        _bind(target, target)
        _remount_readonly(open_path(name, parent), _QUIET)


def _remount_readonly(mounted: int, flags: int) -> None:
    syscalls.mount("", fd_path(mounted), flags=MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def _bind_file(root: int, path: str, scratch: int, name: str, content: bytes) -> None:
    """Bind a text over ``path``, or over the link there: the image's own file or link stays as it is underneath."""
    try:
        target = resolve(root, path, follow_last=False)
    except OSError:
        return
    if target.missing or stat.S_ISDIR(os.fstat(target.fd).st_mode):
        return  # a directory, or a link to nowhere on the way: then the image wants no such file
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=scratch)
    os.write(fd, content)
    os.close(fd)
    _bind(open_path(name, scratch), target.fd)
    _remount_readonly(resolve(root, path, follow_last=False).fd, _QUIET)


def enter(root: int) -> None:
    """Make ``root`` the root directory of this mount namespace and detach the old one with all its mounts."""
    os.fchdir(root)
    try:
        syscalls.pivot_root(".", ".")
        syscalls.umount(".", syscalls.MNT_DETACH)
    except OSError:  # the host itself runs from an initramfs, which cannot be pivoted away
        os.fchdir(root)
        syscalls.mount(".", "/", flags=syscalls.MS_MOVE)
        os.chroot(".")
    os.chdir("/")
