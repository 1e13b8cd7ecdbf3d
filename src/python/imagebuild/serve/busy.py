"""Whether a process and all that it has started have done anything."""

from __future__ import annotations

import posix
from typing import List

TICKS = 1
"""Clock ticks (10 ms) in a `WINDOW` that are next to nothing."""
WINDOW = 0.1
"""Seconds."""


def ticks(pid: int) -> int:
    """Clock ticks of processor time that `pid` and its living descendants have had, and those that these waited for."""
    total, pids = 0, [pid]
    while pids:
        pid = pids.pop()
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            total += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime (proc(5))
            for thread in posix.listdir(f"/proc/{pid}/task"):
                pids += _children(pid, thread)
        except OSError:  # it has ended
            continue
    return total


def can_tell() -> bool:
    """Whether this kernel lists children (CONFIG_PROC_CHILDREN)."""
    try:
        _children(posix.getpid(), str(posix.getpid()))
    except OSError:
        return False
    return True


def _children(pid: int, thread: str) -> List[int]:
    with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
        return [int(child) for child in file.read().split()]
