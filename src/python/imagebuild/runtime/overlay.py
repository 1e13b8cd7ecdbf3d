"""Mount a stack of extracted layers as one root, in a private mount namespace.

Layers go to overlayfs as numbers of open descriptors relative to /proc/self/fd: 127 layers with long paths stay far
below the 4 KiB that mount(2) takes, names with ":" or "," need no quoting, and what is mounted is what was opened.

Mount points that the image lacks (/proc, /etc/resolv.conf, the target of a RUN --mount) come from one more lower layer
that holds nothing else. So the upper directory never sees a stub: there is none to remove afterwards, no parent whose
time changed, and no race about whom a stub belongs to.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import List, Optional, Sequence, Set, Tuple

from imagebuild.errors import OverlayUnavailableError, StepError
from imagebuild.runtime import syscalls
from imagebuild.runtime.inroot import Resolved, resolve

#: index, metacopy, redirect_dir and xino would leave metadata in the upper directory that only overlayfs understands;
#: an upper directory that is thrown away may have it.
#: volatile: the upper directory is scratch until its layer is written, so a RUN's fsync need not reach the disk.
_OPTIONS = "index=off,xino=off"
_VOLATILE = ",volatile"
_MAX_LOWER = 500  # OVL_MAX_STACK, fs/overlayfs/params.h


@dataclass(frozen=True)
class MountPoint:
    """A path inside the root where something will be mounted.

    :param directory: what to make where it is missing: a directory, or an empty file.
    :param follow: mount where a symbolic link in the last place leads, or over the link itself.
    :param optional: do without where the image has a loop of links, or a file for a directory, on the way.
    """

    path: str
    directory: bool
    follow: bool
    optional: bool = False


def fd_path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def open_path(path: str, dir_fd: int = -1) -> int:
    """An O_PATH descriptor that does not follow a link in the last place."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags) if dir_fd < 0 else os.open(path, flags, dir_fd=dir_fd)


def distinct(lower: Sequence[str]) -> List[str]:
    """``lower`` without the lower one of two equal layers: overlayfs refuses them, and it shows nothing of its own."""
    return list(reversed(list(dict.fromkeys(reversed(lower)))))


def open_directory(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OverlayUnavailableError(
            f'cannot open the directory "{path}": {os.strerror(error.errno or 0)}'
        ) from error


def mount_below(lower: Sequence[int], scratch: int) -> int:
    """The merged lower layers alone, read-only: what the image has, before anything is written.

    :param lower: descriptors of the layers, lowest first.
    :param scratch: a directory on a filesystem of our own.
    """
    for name in ("root", "below", "empty", "stubs"):
        os.mkdir(name, 0o755, dir_fd=scratch)
    os.utime("empty", (0, 0), dir_fd=scratch)
    empty = open_path("empty", scratch)
    if len(lower) <= 1:
        return lower[0] if lower else empty
    _mount([empty, *lower], "", open_path("below", scratch), writable=False)
    return open_path("below", scratch)


def mount_merged(
    lower: Sequence[int],
    below: int,
    upper: int,
    work: int,
    scratch: int,
    needed: Sequence[MountPoint],
) -> int:
    """Mount the root that a RUN works in and return a descriptor of it.

    :param below: what `mount_below` returned.
    :param needed: paths where something will be mounted afterwards.
    """
    stack = list(lower)
    if _make_stubs(below, scratch, needed) or not lower:
        stack.append(open_path("stubs", scratch))
    _copy_metadata(below, upper)
    _mount(stack, f",upperdir={upper},workdir={work}", open_path("root", scratch), writable=True)
    return open_path("root", scratch)


def mount_view(lower: Sequence[int], upper: str, scratch: int, name: str) -> None:
    """Mount the merged view of `lower` (lowest first) on the directory `name` in `scratch`.

    :param upper: a directory with the empty directories ``upper`` and ``work`` that takes what is written; a change of
        metadata copies no content. "" for a read-only view.
    """
    target = open_path(name, scratch)
    if not upper:
        _mount([open_path("empty", scratch), *lower], "", target, writable=False)
        return
    upper_fd, work_fd = (open_directory(os.path.join(upper, part)) for part in ("upper", "work"))
    stack = list(lower) or [open_path("empty", scratch)]
    _copy_metadata(stack[-1], upper_fd)
    where = f",upperdir={upper_fd},workdir={work_fd}"
    try:
        _mount(stack, where, target, writable=True, metacopy="on")
    except (
        OverlayUnavailableError
    ):  # a kernel that knows no metacopy, or a lower file system unfit for it
        _mount(stack, where, target, writable=True)


def try_mount(directory: str) -> None:
    """Mount an overlay of the empty directories lower, upper, work and root in ``directory``.

    :raises OverlayUnavailableError: saying why it cannot be.
    """
    lower, upper, work, root = (
        open_directory(os.path.join(directory, name)) for name in ("lower", "upper", "work", "root")
    )
    _mount([lower], f",upperdir={upper},workdir={work}", root, writable=True)


def _mount(
    lower: Sequence[int], upper: str, target: int, *, writable: bool, metacopy: str = "off"
) -> None:
    layers = ":".join(str(fd) for fd in reversed(lower))  # overlayfs wants the topmost first
    redirect = "on" if metacopy == "on" else "off"  # where an upper copy finds its content
    options = f"lowerdir={layers}{upper},metacopy={metacopy},redirect_dir={redirect},{_OPTIONS}"
    os.chdir("/proc/self/fd")
    try:
        if writable:
            _mount_writable(target, options)
        else:
            flags = syscalls.MS_NODEV | syscalls.MS_RDONLY
            syscalls.mount("overlay", fd_path(target), "overlay", flags, options)
    except OSError as error:
        raise _explain(error, len(lower)) from error
    finally:
        os.chdir("/")


def _mount_writable(target: int, options: str) -> None:
    try:
        syscalls.mount(
            "overlay", fd_path(target), "overlay", syscalls.MS_NODEV, options + _VOLATILE
        )
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # before Linux 5.10
        syscalls.mount("overlay", fd_path(target), "overlay", syscalls.MS_NODEV, options)


def _explain(error: OSError, layers: int) -> OverlayUnavailableError:
    hints = {
        errno.ENODEV: "load the kernel module `overlay`, or set [kaniko].runtime to chroot",
        errno.EPERM: "give the builder CAP_SYS_ADMIN, or set [kaniko].runtime to chroot",
        errno.EINVAL: "put the store on ext4, xfs, btrfs or tmpfs (overlayfs cannot write on overlayfs or NFS), "
        "or set [kaniko].runtime to chroot",
    }
    if error.errno == errno.EINVAL and layers > _MAX_LOWER:
        return OverlayUnavailableError(
            f"cannot mount {layers} layers as one root: overlayfs takes {_MAX_LOWER}",
            hint="make them fewer: FROM scratch and COPY --from=IMAGE / / gives an image one layer; "
            "or set [kaniko].runtime to chroot",
        )
    return OverlayUnavailableError(
        f"cannot mount {layers} layers as one root: {os.strerror(error.errno or 0)}",
        hint=hints.get(error.errno or 0, "set [kaniko].runtime to chroot"),
    )


def _make_stubs(below: int, scratch: int, needed: Sequence[MountPoint]) -> bool:
    """Make what ``needed`` lacks in the stub layer; whether there was anything to make."""
    stubs = open_path("stubs", scratch)
    parents: Set[Tuple[str, ...]] = set()
    made = False
    for point in needed:
        where = _locate(below, point)
        if where and where.missing:
            made = True
            names = where.found + where.missing
            _make_directories(stubs, names if point.directory else names[:-1])
            if not point.directory:
                touch(stubs, "/".join(names))
            parents.update(where.found[:n] for n in range(1, len(where.found) + 1))
    for names in sorted(
        parents, key=len, reverse=True
    ):  # a child that is made changes its parent's time
        path = "/".join(names)
        _copy_metadata(resolve(below, path).fd, resolve(stubs, path).fd)
    return made


def _locate(below: int, point: MountPoint) -> Optional[Resolved]:
    try:
        where = resolve(below, point.path, follow_last=point.follow)
    except OSError as error:
        if point.optional:
            return None
        raise StepError(
            f'cannot mount on "{point.path}": {os.strerror(error.errno or 0)}',
            expected="a path that leads to a directory or file of the image, or to nothing",
        ) from error
    os.close(where.fd)
    return where


def _make_directories(root: int, names: Sequence[str]) -> None:
    for depth in range(1, len(names) + 1):
        with suppress(FileExistsError):
            os.mkdir("/".join(names[:depth]), 0o755, dir_fd=root)


def touch(root: int, path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=root))


def _copy_metadata(source: int, target: int) -> None:
    """Give one directory the owner, mode, extended attributes and times of another (both O_PATH descriptors)."""
    status, path = os.fstat(source), fd_path(target)
    os.chown(path, status.st_uid, status.st_gid)
    os.chmod(path, status.st_mode & 0o7777)
    for name in os.listxattr(fd_path(source)):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(path, name, os.getxattr(fd_path(source), name))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
