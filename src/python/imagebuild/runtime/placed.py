"""Mounts where nothing can be mounted: what a RUN is to see lies in its copied root while it runs.

Files are copied in, and the copy is thrown away; so a write to a read-only mount does not fail, and is lost all the same.
A cache is moved in and moved back. All of it is there before the root is looked at and left out of what has changed, so
that it is in no layer.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import FrozenSet, List, Optional, Sequence, Tuple

from imagebuild.errors import NamespacesUnavailableError, StepError
from imagebuild.layer.lower import open_in_lower
from imagebuild.layer.metadata import copy_metadata
from imagebuild.layer.removal import remove
from imagebuild.runtime.inroot import resolve
from imagebuild.runtime.spec import Bind, Inline, Merged, Mount, Tmpfs
from imagebuild.snapshot.copying import copy_merged
from imagebuild.snapshot.subtree import directories_at

_COPY = 1 << 20


def can_be_placed(mount: Mount) -> bool:
    """A secret belongs on no disk, and what others use at the same time cannot be moved."""
    if isinstance(mount, Inline):
        return not mount.private
    return not isinstance(mount, Bind) or mount.readonly or mount.alone or _is_socket(mount)


def refuse_others(mounts: Sequence[Mount], why: str) -> None:
    """:raises NamespacesUnavailableError: for mounts that cannot be placed: a directory can be in one place only."""
    moved = [mount.source for mount in mounts if isinstance(mount, Bind) and mount.alone]
    targets = [
        mount.target
        for mount in mounts
        if not can_be_placed(mount) or (isinstance(mount, Bind) and moved.count(mount.source) > 1)
    ]
    if targets:
        raise NamespacesUnavailableError(
            f"RUN --mount on {', '.join(targets)} needs a mount namespace: {why}",
            hint="give the builder CAP_SYS_ADMIN; or without it, mount a secret as a variable (env=NAME), and "
            "set [kaniko].runtime to chroot for caches",
        )


@dataclass(frozen=True)
class _Place:
    """:param parent: descriptor of the directory that it is in; :param path: relative to the root.
    :param home: where a cache goes back to; :param inode: the cache's.
    """

    parent: int
    name: str
    path: bytes
    home: str = ""
    inode: Tuple[int, int] = (0, 0)


class Placed:
    """The mounts in one copied root."""

    def __init__(self, root: str, mounts: Sequence[Mount]) -> None:
        """:raises StepError: where there is no place for one."""
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._places: List[_Place] = []
        try:
            for mount in sorted(mounts, key=lambda mount: mount.target.split("/")):
                self._put(mount)
        except BaseException:
            self.take_back()
            raise

    @property
    def paths(self) -> FrozenSet[bytes]:
        """Relative to the root."""
        return frozenset(place.path for place in self._places)

    def take_back(self) -> None:
        """Move caches home. What else is in the root goes with it."""
        for place in reversed(self._places):
            with suppress(FileNotFoundError):
                found = os.stat(place.name, dir_fd=place.parent, follow_symlinks=False)
                if not place.home:  # it may lie in a cache
                    remove(place.parent, os.fsencode(place.name))
                elif (found.st_dev, found.st_ino) == place.inode:
                    os.rename(place.name, place.home, src_dir_fd=place.parent)
            os.close(place.parent)
        os.close(self._root)
        self._places = []

    def _put(self, mount: Mount) -> None:
        names = _names(self._root, mount.target)
        name, path, parent = (
            names[-1],
            os.fsencode("/".join(names)),
            open_made(self._root, names[:-1]),
        )
        times = os.fstat(parent)
        with suppress(FileNotFoundError):
            remove(parent, os.fsencode(name))  # from the copied root: nothing of the image
        if isinstance(mount, Bind) and mount.alone and not mount.readonly:
            status = os.stat(str(mount.source))
            os.rename(str(mount.source), name, dst_dir_fd=parent)
            inode = status.st_dev, status.st_ino
            self._places.append(_Place(parent, name, path, str(mount.source), inode))
        else:
            self._places.append(_Place(parent, name, path))
            _fill(mount, f"/proc/self/fd/{parent}/{name}")
        os.utime(parent, ns=(times.st_atime_ns, times.st_mtime_ns))


def _names(root: int, target: str) -> Tuple[str, ...]:
    """The names that lead to `target` without links."""
    try:
        where = resolve(root, target)
    except OSError as error:
        raise _no_place(target, os.strerror(error.errno or 0)) from error
    os.close(where.fd)
    names = where.found + where.missing
    if not names or names[0] in ("proc", "sys"):
        raise _no_place(target, "nothing can be mounted there")
    return names


def open_made(root: int, names: Sequence[str]) -> int:
    """A descriptor of the directory at `names`, none of which is a link, made where it is missing; the times of those
    that were there stay."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    for name in names:
        times = os.fstat(fd)
        try:
            os.mkdir(name, 0o755, dir_fd=fd)
            os.utime(fd, ns=(times.st_atime_ns, times.st_mtime_ns))
        except FileExistsError:
            pass
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        below = os.open(name, flags, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def _fill(mount: Mount, path: str) -> None:
    if isinstance(mount, Tmpfs):
        os.mkdir(path)
        os.chmod(path, mount.mode)
    elif isinstance(mount, Inline):
        with open(path, "xb") as file:
            file.write(mount.content)
        os.chmod(path, mount.mode)
    elif isinstance(mount, Merged):
        _copy(mount.lower, mount.source.strip("/"), path)
        _settle(mount, path)
    elif _is_socket(mount):
        os.link(str(mount.source), path)
    else:
        source = mount.source
        real = os.readlink(f"/proc/self/fd/{source}") if isinstance(source, int) else source
        directory, _, name = real.rpartition("/")
        _copy((directory,), name, path)


def _copy(lower: Sequence[str], source: str, path: str) -> None:
    name = os.fsencode(source)
    directories = directories_at(lower, name)
    if directories:
        os.mkdir(path)
        copy_merged(directories, path)
        return
    fd: Optional[int] = open_in_lower(tuple(reversed(lower)), name)
    if fd is None:
        raise StepError(f'the source "/{source}" of a mount does not exist')
    with os.fdopen(fd, "rb") as content, open(path, "xb") as file:
        while True:
            block = content.read(_COPY)
            if not block:
                break
            file.write(block)
        file.flush()
        copy_metadata(fd, file.fileno())


def _settle(mount: Merged, path: str) -> None:
    for relative, mode in mount.settled:
        below = os.path.relpath(os.fsdecode(relative), mount.source.strip("/") or ".")
        copied = path if below == "." else os.path.join(path, below)
        os.chmod(copied, mode)
        os.chown(copied, 0, 0)
        if mount.mtime is not None:
            os.utime(copied, ns=(mount.mtime, mount.mtime))


def _is_socket(mount: Bind) -> bool:
    return isinstance(mount.source, str) and stat.S_ISSOCK(os.lstat(mount.source).st_mode)


def _no_place(target: str, why: str) -> StepError:
    return StepError(
        f'cannot mount on "{target}": {why}',
        expected="a path that leads to a directory or file of the image, or to nothing",
    )
