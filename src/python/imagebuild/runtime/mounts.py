"""The further mounts of a RUN: each is made whole on a place of our own, and only then attached inside the root.

What a RUN of another build may change meanwhile (a cache directory that both have) is so never looked up twice: flags are
set where nobody else is, and a place inside the root is found once, through descriptors that follow no link. All of it
runs in the private mount namespace of one RUN, before its command starts.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from imagebuild.errors import StepError, UnsafePathError
from imagebuild.runtime import overlay, syscalls
from imagebuild.runtime.inroot import Resolved, resolve
from imagebuild.runtime.overlay import MountPoint, fd_path, open_path
from imagebuild.runtime.spec import Bind, Inline, Merged, Mount, Tmpfs
from imagebuild.runtime.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REMOUNT,
)

_FRESH = "dev"  # a tmpfs of our own: what is missing there is made there
_CLOSED = ("proc", "sys")


@dataclass(frozen=True)
class Staged:
    """A mount that is ready to be attached: `fd` (O_PATH) is its root, on a place that only we know."""

    target: str
    fd: int

    @property
    def directory(self) -> bool:
        return stat.S_ISDIR(os.fstat(self.fd).st_mode)


def stage(mounts: Sequence[Mount], scratch: int) -> Tuple[Staged, ...]:
    """Make every mount in the directory `scratch`, in the order in which they are to be attached: parents first.

    :raises StepError: for a source that is not there.
    """
    ordered = sorted(mounts, key=lambda mount: [part for part in mount.target.split("/") if part])
    return tuple(
        Staged(mount.target, _stage(mount, scratch, f"mount-{number}"))
        for number, mount in enumerate(ordered)
    )


def points_of(staged: Sequence[Staged]) -> Tuple[MountPoint, ...]:
    """Where the mounts go, as far as the image has to have a place for them."""
    return tuple(
        MountPoint(item.target, item.directory, follow=True)
        for item in staged
        if _top(item.target) != _FRESH
    )


def attach(root: int, staged: Staged) -> None:
    """:raises StepError: where there is no place for the mount."""
    where = _place(root, staged)
    if where.found[:1] in [(name,) for name in _CLOSED]:
        raise _refusal(
            staged, f'it lies in "/{where.found[0]}"', "a target outside of /proc and /sys"
        )
    if not where.found:
        raise _refusal(staged, "it is the root directory", "a path below it")
    if stat.S_ISDIR(os.fstat(where.fd).st_mode) != staged.directory:
        there, comes = ("a file", "a directory") if staged.directory else ("a directory", "a file")
        raise _refusal(
            staged, f"it is {there}, and what is mounted is {comes}", f"{comes}, or nothing"
        )
    try:
        syscalls.mount(fd_path(staged.fd), fd_path(where.fd), flags=MS_BIND)
    except FileNotFoundError:  # what `where` is has no name any more
        raise _refusal(
            staged,
            "it was replaced meanwhile",
            "a place that stays while the command is started",
            "it lies in a cache that another RUN changes now: give that cache mount sharing=locked",
        ) from None


def _top(path: str) -> str:
    return next((part for part in path.split("/") if part not in ("", ".")), "")


def _place(root: int, staged: Staged) -> Resolved:
    """The target, made where it is missing; only ever inside another mount, never in the layer."""
    try:
        where = resolve(root, staged.target)
        if not where.missing:
            return where
        if os.fstat(where.fd).st_dev == os.fstat(root).st_dev:
            raise _refusal(
                staged, "a link in another mount leads there", "a path without such links"
            )
        _make(where, staged.directory)
        return resolve(root, staged.target)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno == errno.EROFS:
            reason = "it lies in another mount, which is read-only and has no such place"
        raise _refusal(
            staged, reason, "a path that leads to something mountable, or to nothing"
        ) from error


def _make(where: Resolved, directory: bool) -> None:
    parents = where.missing if directory else where.missing[:-1]
    fd = where.fd
    for name in parents:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=fd)
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    if not directory:
        flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(where.missing[-1], flags, 0o644, dir_fd=fd))


def _refusal(staged: Staged, why: str, expected: str, hint: str = "") -> StepError:
    return StepError(f'cannot mount on "{staged.target}": {why}', expected=expected, hint=hint)


def _stage(mount: Mount, scratch: int, name: str) -> int:
    if isinstance(mount, Tmpfs):
        return _stage_tmpfs(mount, scratch, name)
    if isinstance(mount, Inline):
        return _stage_inline(mount, scratch, name)
    if isinstance(mount, Merged):
        return _stage_merged(mount, scratch, name)
    source = _here(mount.source) if isinstance(mount.source, int) else _unlinked(mount)
    return _stand(source, scratch, name, MS_RDONLY if mount.readonly else 0)


def _unlinked(mount: Bind) -> int:
    fd = open_path(str(mount.source))
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        raise UnsafePathError(f'the source "{mount.source}" of a mount is a symbolic link')
    return fd


def _here(pinned: int) -> int:
    """The same file or directory through a mount of our own namespace: a bind takes no other.

    :raises UnsafePathError: where its path leads to something else by now (CVE-2024-11218).
    """
    fd = open_path(os.readlink(fd_path(pinned)))
    if not os.path.samestat(os.fstat(fd), os.fstat(pinned)):
        raise UnsafePathError("the source of a bind mount was exchanged while it was mounted")
    return fd


def _stand(source: int, scratch: int, name: str, flags: int) -> int:
    """Bind `source` in `scratch` with its flags; every mount is at least nosuid and nodev."""
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.mkdir(name, 0o700, dir_fd=scratch)
    else:
        overlay.touch(scratch, name)
    syscalls.mount(fd_path(source), fd_path(open_path(name, scratch)), flags=MS_BIND)
    fd = open_path(name, scratch)  # by name again: what is mounted there, not what it covers
    flags |= MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID
    syscalls.mount("", fd_path(fd), flags=flags)
    return fd


def _stage_tmpfs(mount: Tmpfs, scratch: int, name: str) -> int:
    os.mkdir(name, 0o700, dir_fd=scratch)
    size = f",size={mount.size}" if mount.size else ""
    _mount_tmpfs(scratch, name, MS_NOSUID | MS_NODEV | MS_NOEXEC, f"mode={mount.mode:o}{size}")
    return open_path(name, scratch)


def _mount_tmpfs(scratch: int, name: str, flags: int, data: str) -> None:
    syscalls.mount("tmpfs", fd_path(open_path(name, scratch)), "tmpfs", flags, data)


def _stage_inline(mount: Inline, scratch: int, name: str) -> int:
    """A tmpfs of its own for each file, which the mount keeps alive."""
    inside = f"{name}-files"
    os.mkdir(inside, 0o700, dir_fd=scratch)
    flags = MS_NOSUID | MS_NODEV | (MS_NOEXEC if mount.private else 0)
    try:
        _mount_tmpfs(scratch, inside, flags, f"mode=0700{',noswap' if mount.private else ''}")
    except OSError:  # before Linux 6.4
        _mount_tmpfs(scratch, inside, flags, "mode=0700")
    directory = open_path(inside, scratch)
    flags_to_make = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with os.fdopen(os.open("file", flags_to_make, 0o600, dir_fd=directory), "wb") as file:
        file.write(mount.content)
        os.fchown(file.fileno(), mount.uid, mount.gid)
        os.fchmod(file.fileno(), mount.mode & 0o7777)
    return _stand(open_path("file", directory), scratch, name, MS_NOEXEC if mount.private else 0)


def _stage_merged(mount: Merged, scratch: int, name: str) -> int:
    view = f"{name}-view"
    os.mkdir(view, 0o755, dir_fd=scratch)
    layers = [overlay.open_directory(path) for path in overlay.distinct(mount.lower)]
    overlay.mount_view(layers, mount.scratch, scratch, view)
    root = open_path(view, scratch)
    for path, mode in mount.settled:
        _settle(root, path, mode, mount.mtime)
    found = _source(root, mount)
    return _stand(found, scratch, name, MS_RDONLY if mount.readonly else 0)


def _source(root: int, mount: Merged) -> int:
    try:
        where = resolve(root, mount.source)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StepError(f'cannot mount "{mount.source}": {reason}') from error
    kind = stat.S_IFMT(os.fstat(where.fd).st_mode)
    if where.missing or kind not in (stat.S_IFDIR, stat.S_IFREG):
        what = "does not exist" if where.missing else "is neither a file nor a directory"
        raise StepError(
            f'the source "{mount.source}" of the mount on "{mount.target}" {what}',
            expected="a file or directory",
            hint="check its spelling, and that .dockerignore does not leave it out",
        )
    return where.fd


def _settle(root: int, path: bytes, mode: int, mtime: Optional[int]) -> None:
    """Through the view, so that only its own metadata changes."""
    fd = root
    parts: List[bytes] = path.split(b"/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        flags = os.O_RDONLY if last else os.O_PATH | os.O_DIRECTORY
        fd = os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    os.fchown(fd, 0, 0)
    os.fchmod(fd, mode)
    if mtime is not None:
        os.utime(fd, ns=(mtime, mtime))
    os.close(fd)
