"""Copy the merged view of a stack of extracted layers into one directory.

For the runtime without overlayfs. Data is shared where the filesystem can (reflink), else copied in the kernel. Paths are
bytes: names in an image need not be UTF-8. Nothing follows a link: a directory is descended into only after its own
entry said that it is one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from typing import Dict, List, Sequence, Set, Tuple

_FICLONE = 0x40049409
_BLOCK = 1 << 20
_OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")


@dataclass(frozen=True)
class _Found:
    """What the merged view shows under one name: ``path`` in the topmost layer that has it."""

    layer: int
    path: bytes
    status: os.stat_result


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: bytes) -> bool:
    """Whether an overlayfs directory hides what lower layers have in it (without CAP_SYS_ADMIN: the user.* name)."""
    for prefix in _OVERLAY_XATTRS:
        try:
            return os.getxattr(path, prefix + "opaque", follow_symlinks=False) == b"y"
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
                raise
    return False


def copy_merged(lower: Sequence[str], root: str) -> None:
    """Fill the empty directory ``root`` with what an overlay of ``lower`` (lowest first) would show.

    Device nodes are left out: where this is used nothing keeps a command from opening them. So are sockets.

    :raises OSError: ENOSPC and the like.
    """
    layers = [(number, os.fsencode(path)) for number, path in enumerate(lower)][::-1]
    target = os.fsencode(root)
    links: Dict[Tuple[int, int, int], bytes] = {}
    directories: List[Tuple[bytes, bytes]] = [(layers[0][1], target)] if layers else []
    pending = [(layers, target)]
    while pending:
        sources, into = pending.pop()
        merged, below = _merge(sources)
        for name, found in merged.items():
            path = into + b"/" + name
            if name in below:
                os.mkdir(path, 0o700)
                directories.append((found.path, path))
                pending.append((below[name], path))
            else:
                _copy_entry(found, path, links)
    for source, path in reversed(directories):  # children change their parent's times
        copy_metadata(source, path)


def _merge(
    sources: Sequence[Tuple[int, bytes]],
) -> Tuple[Dict[bytes, _Found], Dict[bytes, List[Tuple[int, bytes]]]]:
    """One directory of the merged view: its entries, and for subdirectories the layers that they come from."""
    merged: Dict[bytes, _Found] = {}
    below: Dict[bytes, List[Tuple[int, bytes]]] = {}
    closed: Set[bytes] = set()
    for layer, directory in sources:  # topmost first
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name in closed:
                    continue
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    closed.add(entry.name)
                    if entry.name not in merged and not is_whiteout(status):
                        merged[entry.name] = _Found(layer, entry.path, status)
                    continue
                merged.setdefault(entry.name, _Found(layer, entry.path, status))
                below.setdefault(entry.name, []).append((layer, entry.path))
                if is_opaque(entry.path):
                    closed.add(entry.name)
    return merged, below


def _copy_entry(found: _Found, path: bytes, links: Dict[Tuple[int, int, int], bytes]) -> None:
    """Copy one entry that is not a directory; hard links inside one layer stay hard links."""
    status = found.status
    identity = (found.layer, status.st_dev, status.st_ino)
    if status.st_nlink > 1:
        if identity in links:
            os.link(links[identity], path, follow_symlinks=False)
            return
        links[identity] = path
    if stat.S_ISREG(status.st_mode):
        _copy_file(found.path, path, status)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(found.path), path)
    elif stat.S_ISFIFO(status.st_mode):
        os.mkfifo(path)
    else:
        links.pop(identity, None)
        return
    copy_metadata(found.path, path)


def _copy_file(source: bytes, target: bytes, status: os.stat_result) -> None:
    read = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if status.st_size and not _reflink(read, write):
                _copy_data(read, write, status)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _reflink(read: int, write: int) -> bool:
    try:
        fcntl.ioctl(write, _FICLONE, read)
    except OSError:  # another filesystem, or one that cannot
        return False
    return True


def _copy_data(read: int, write: int, status: os.stat_result) -> None:
    """Copy the bytes, and leave holes where the source has them."""
    if status.st_blocks * 512 >= status.st_size:
        _copy_range(read, write, 0, status.st_size)
        return
    end = 0
    while end < status.st_size:
        try:
            start = os.lseek(read, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no data behind here
                raise
            break
        end = os.lseek(read, start, os.SEEK_HOLE)
        _copy_range(read, write, start, end)
    os.ftruncate(write, status.st_size)


def _copy_range(read: int, write: int, start: int, end: int) -> None:
    while start < end:
        block = os.pread(read, min(_BLOCK, end - start), start)
        if not block:
            return
        start += os.pwrite(write, block, start)


def copy_metadata(source: bytes, target: bytes) -> None:
    """Give ``target`` the owner, mode, extended attributes and times of ``source``; neither is followed."""
    status = os.lstat(source)
    os.lchown(target, status.st_uid, status.st_gid)  # first: it clears set-id bits and capabilities
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(_OVERLAY_XATTRS):
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=False)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
