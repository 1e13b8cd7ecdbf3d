"""Owner, mode, xattrs and times, set through descriptors only: a name could be a link by the time it is used."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Iterable, Tuple, Union

from imagebuild.layer.entry import Entry

OPAQUE_XATTR = "trusted.overlay.opaque"
_OF_LAYERS = ("user.", "security.capability", "system.posix_acl_")
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)


def set_owner_and_mode(fd: int, entry: Entry) -> None:
    """The owner first: chown(2) clears setuid, setgid and file capabilities."""
    os.fchown(fd, entry.uid, entry.gid)
    os.fchmod(fd, entry.mode)


def own_by_root(fd: int, mode: int) -> None:
    """What a directory gets that no layer speaks of; without root it stays whose it is."""
    with contextlib.suppress(PermissionError):
        os.fchown(fd, 0, 0)
    os.fchmod(fd, mode)


def set_xattrs(file: Union[int, str], xattrs: Iterable[Tuple[str, bytes]]) -> None:
    """Set what the file system takes; ``user.`` attributes that it has no room or support for are left out, as in containerd.

    :param file: an open file, or its path in /proc where the descriptor is an O_PATH one.
    """
    for name, value in xattrs:
        try:
            os.setxattr(file, name, value)
        except OSError as error:
            if error.errno not in _UNSUPPORTED or name == "security.capability":
                raise


def clear_xattrs(file: Union[int, str]) -> None:
    """Remove what a layer below may have set, or a default ACL of the directory: an entry says all that its file has."""
    try:
        names = os.listxattr(file)
    except OSError:  # a file system without them
        return
    for name in names:
        if name.startswith(_OF_LAYERS):
            os.removexattr(file, name)


def set_times(fd: int, mtime: int) -> None:
    """Both times to `mtime`, in nanoseconds."""
    os.utime(fd, ns=(mtime, mtime))


def finish_node(parent_fd: int, entry: Entry, name: bytes) -> None:
    """Owner, mode, xattrs and times of a device or fifo that has just been made."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, "a node became a link while it was made")
        path = (
            f"/proc/self/fd/{fd}"  # an O_PATH descriptor takes no fchmod; this names the same inode
        )
        os.chown(path, entry.uid, entry.gid)
        os.chmod(path, entry.mode)
        clear_xattrs(path)
        set_xattrs(path, entry.xattrs)
        os.utime(path, ns=(entry.mtime, entry.mtime))
    finally:
        os.close(fd)


def finish_symlink(parent_fd: int, entry: Entry, name: bytes) -> None:
    """Owner and times of a symlink itself."""
    os.chown(name, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
    os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent_fd, follow_symlinks=False)


def copy_metadata(source_fd: int, fd: int) -> None:
    """Owner, mode, xattrs (but overlayfs' own) and times of one open file or directory onto another."""
    status = os.fstat(source_fd)
    os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, stat.S_IMODE(status.st_mode))
    names = [
        name
        for name in os.listxattr(source_fd)
        if not name.startswith(("trusted.overlay.", "user.overlay."))
    ]
    set_xattrs(fd, [(name, os.getxattr(source_fd, name)) for name in names])
    set_times(fd, status.st_mtime_ns)
