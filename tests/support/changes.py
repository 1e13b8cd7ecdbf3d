"""Random changes to a tree, as a command could make them, root included: what file systems know, and layers have to."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Tuple

from hypothesis import strategies as st

NAMES = [b"a", b"b", b"a.b", b"c", b"\xff\xfe", b"n" * 255]
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
_ACL = (
    "02000000 01000700ffffffff 02000600e8030000 04000500ffffffff 10000700ffffffff 20000500ffffffff"
)
ACL = bytes.fromhex(_ACL)
IDS = [0, 1, 1000, 65534, 65535, 1 << 31, (1 << 32) - 2]
MODES = [0o644, 0o755, 0o4755, 0o2711, 0o2755, 0o1777, 0o600, 0o7777, 0]
XATTRS = [
    ("user.one", b"1"),
    ("user.\xe9", b"\0=\n"),
    ("user.empty", b""),
    ("security.capability", CAPABILITY),
    ("system.posix_acl_access", ACL),
    ("system.posix_acl_default", ACL),
]
CONTENTS = [b"", b"x", b"text\n", bytes(200_000) + b"end" + bytes(70_000), b"\0" * 65_536]
DEVICES = [(stat.S_IFCHR, 1, 3), (stat.S_IFBLK, 8, 17), (stat.S_IFCHR, 4000, 1_000_000)]


class Change(NamedTuple):
    """One action; its numbers choose among what there is by then.

    :param where: for what makes something the directory, else the path that is changed.
    :param name: of what is made.
    :param choice: what the action makes of it; of a rename or a link, the directory it goes to.
    """

    action: str
    where: int
    name: bytes
    choice: int


def _opened(path: bytes, flags: int) -> BinaryIO:
    """For writing; a fifo without a reader is an error, not a wait."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_NONBLOCK | flags, 0o644), "wb")


def _put(path: bytes, other: bytes, choice: int) -> None:
    with _opened(path, os.O_CREAT | os.O_TRUNC) as file:
        file.write(CONTENTS[choice % len(CONTENTS)])


def _append(path: bytes, other: bytes, choice: int) -> None:
    with _opened(path, os.O_APPEND) as file:
        file.write(b"+")


def _hole(path: bytes, other: bytes, choice: int) -> None:
    with _opened(path, os.O_CREAT) as file:
        file.seek(1_000_000)
        file.write(b"behind a hole")


def _remove(path: bytes, other: bytes, choice: int) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _again(path: bytes, other: bytes, choice: int) -> None:
    _remove(path, other, choice)
    os.mkdir(path)


def _rename(path: bytes, other: bytes, choice: int) -> None:
    """As mv does where a rename is refused (EXDEV, for a lower directory)."""
    try:
        os.rename(path, other)
    except OSError:
        if other.startswith(path + b"/") or os.path.lexists(other):
            raise
        shutil.move(os.fsdecode(path), os.fsdecode(other))


def _node(path: bytes, other: bytes, choice: int) -> None:
    kind, major, minor = DEVICES[choice % len(DEVICES)]
    os.mknod(path, kind | 0o600, os.makedev(major, minor))


def _own(path: bytes, other: bytes, choice: int) -> None:
    os.lchown(path, IDS[choice % len(IDS)], IDS[choice // 7 % len(IDS)])


def _mode(path: bytes, other: bytes, choice: int) -> None:
    if not os.path.islink(path):
        os.chmod(path, MODES[choice % len(MODES)])


def _mark(path: bytes, other: bytes, choice: int) -> None:
    """Not of a link: there a capability means nothing, and the others cannot be."""
    if not os.path.islink(path):
        os.setxattr(path, *XATTRS[choice % len(XATTRS)])


def _unmark(path: bytes, other: bytes, choice: int) -> None:
    os.removexattr(path, XATTRS[choice % len(XATTRS)][0], follow_symlinks=False)


def _time(path: bytes, other: bytes, choice: int) -> None:
    at = choice * 12_345_678_901_234
    os.utime(path, ns=(at, at), follow_symlinks=False)


Action = Callable[[bytes, bytes, int], Any]
MAKING: Dict[str, Action] = {
    "put": _put,
    "hole": _hole,
    "mkdir": lambda path, other, choice: os.mkdir(path),
    "symlink": lambda path, other, choice: os.symlink(os.path.basename(other), path),
    "fifo": lambda path, other, choice: os.mkfifo(path),
    "node": _node,
}
CHANGING: Dict[str, Action] = {
    "append": _append,
    "truncate": _put,
    "remove": _remove,
    "again": _again,
    "rename": _rename,
    "link": lambda path, other, choice: os.link(path, other, follow_symlinks=False),
    "own": _own,
    "mode": _mode,
    "mark": _mark,
    "unmark": _unmark,
    "time": _time,
}
# Twice as often: what makes a file, and what makes it odd.
_ACTIONS = sorted([*MAKING, *CHANGING, "put", "mkdir", "mkdir", "mark", "rename", "again"])
CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(_ACTIONS),
        st.integers(0, 30),
        st.sampled_from(NAMES),
        st.integers(0, 40),
    ),
    min_size=4,
    max_size=30,
)


def make(root: str, changes: List[Change]) -> None:
    """Make all changes that can be made; the others fail as they would for a command."""
    base = os.fsencode(root)
    for change in changes:
        directories, paths = _listing(base)
        into = os.path.join(directories[change.choice % len(directories)], change.name)
        try:
            if change.action in MAKING:
                path = os.path.join(directories[change.where % len(directories)], change.name)
                MAKING[change.action](path, into, change.choice)
            elif paths:
                path = paths[change.where % len(paths)]
                CHANGING[change.action](path, into, change.choice)
        except (OSError, shutil.Error):
            continue


def _listing(base: bytes) -> Tuple[List[bytes], List[bytes]]:
    """Directories, the root among them, and all paths below it."""
    directories, paths = [base], []
    for directory, names, files in os.walk(base):
        names.sort()
        directories += [os.path.join(directory, name) for name in names]
        paths += [os.path.join(directory, name) for name in sorted((*names, *files))]
    return directories, paths
