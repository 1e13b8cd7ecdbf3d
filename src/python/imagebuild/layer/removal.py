"""Removing trees of any depth and any content, without following a link and without recursion limits."""

from __future__ import annotations

import os
from typing import Callable

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEP = 100

Keep = Callable[[os.stat_result], bool]


def remove(parent_fd: int, name: bytes) -> None:
    """Remove `name` in `parent_fd`, whatever it is.

    :raises FileNotFoundError: when there is nothing.
    """
    try:
        os.unlink(name, dir_fd=parent_fd)
        return
    except (IsADirectoryError, PermissionError):
        pass
    empty_directory(parent_fd, name)
    os.rmdir(name, dir_fd=parent_fd)


def remove_path(path: str) -> None:
    """Remove what is at `path` in a directory of our own; nothing there is fine."""
    parent_fd = os.open(os.path.dirname(path) or ".", _OPEN)
    try:
        remove(parent_fd, os.fsencode(os.path.basename(path)))
    except FileNotFoundError:
        pass
    finally:
        os.close(parent_fd)


def empty_directory(parent_fd: int, name: bytes) -> None:
    """Remove all that is in the directory `name`; what lies very deep is first moved up, so that depth costs no descriptors."""
    fd = _open_writable(parent_fd, name)
    try:
        while _empty(fd, fd, 0):
            continue
    finally:
        os.close(fd)


def _empty(fd: int, top_fd: int, depth: int) -> int:
    """One pass over the directory `fd`; gives how many deep directories it has moved into `top_fd`."""
    moved = 0
    with os.scandir(fd) as listing:
        entries = [
            (os.fsencode(entry.name), entry.is_dir(follow_symlinks=False), entry.inode())
            for entry in listing
        ]
    for name, is_directory, inode in entries:
        if not is_directory:
            os.unlink(name, dir_fd=fd)
        elif depth >= _DEEP:
            os.rename(name, b".deep-%d" % inode, src_dir_fd=fd, dst_dir_fd=top_fd)
            moved += 1
        else:
            child = _open_writable(fd, name)
            try:
                moved += _empty(child, top_fd, depth + 1)
            finally:
                os.close(child)
            os.rmdir(name, dir_fd=fd)
    return moved


def _open_writable(parent_fd: int, name: bytes) -> int:
    try:
        return os.open(name, _OPEN, dir_fd=parent_fd)
    except PermissionError:  # only without root: a directory of ours that its owner may not read
        os.chmod(name, 0o700, dir_fd=parent_fd)
        return os.open(name, _OPEN, dir_fd=parent_fd)


def prune(parent_fd: int, name: bytes, keep: Keep) -> bool:
    """Remove `name` but for what `keep` is true of, and the directories that lead there; tells whether anything stayed."""
    try:
        status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    kept = keep(status)
    if not _is_directory(status):
        if not kept:
            os.unlink(name, dir_fd=parent_fd)
        return kept
    fd = os.open(name, _OPEN, dir_fd=parent_fd)
    try:
        kept = prune_children(fd, keep) or kept
    finally:
        os.close(fd)
    if not kept:
        os.rmdir(name, dir_fd=parent_fd)
    return kept


def prune_children(fd: int, keep: Keep) -> bool:
    """`prune` everything in the directory `fd`; tells whether anything stayed."""
    kept = False
    for name in os.listdir(fd):
        kept = prune(fd, os.fsencode(name), keep) or kept
    return kept


def _is_directory(status: os.stat_result) -> bool:
    return (status.st_mode & 0o170000) == 0o040000
