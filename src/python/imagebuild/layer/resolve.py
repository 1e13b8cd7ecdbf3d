"""Path resolution inside a root, over any tree whose links can be read: path_resolution(7) with the root as the top."""

from __future__ import annotations

from typing import Callable, List, Optional

from imagebuild.errors import UnsafePathError
from imagebuild.layer.entry import ROOT, shown

MAX_LINKS = 40

ReadLink = Callable[[bytes], Optional[bytes]]


def resolve(path: bytes, readlink: ReadLink, *, follow_leaf: bool = True) -> bytes:
    """The path without links that `path` leads to; components that do not exist are kept as they are.

    Absolute targets start at the root and ".." stops there, as for a process whose root it is.

    :param readlink: the target of the symlink at a path without links, or None where there is no symlink.
    :raises UnsafePathError: after 40 links, as Linux gives ELOOP.
    """
    done: List[bytes] = []
    left = path.split(b"/")
    left.reverse()
    links = 0
    while left:
        part = left.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            del done[-1:]
            continue
        done.append(part)
        if not follow_leaf and not any(rest not in (b"", b".") for rest in left):
            break
        target = readlink(b"/".join(done))
        if target is None:
            continue
        links += 1
        if links > MAX_LINKS:
            raise UnsafePathError(
                f"path {shown(path)} goes through more than {MAX_LINKS} symlinks",
                expected="no symlink loop",
            )
        done.pop()
        if target.startswith(b"/"):
            done.clear()
        left.extend(reversed(target.split(b"/")))
    return b"/".join(done) or ROOT
