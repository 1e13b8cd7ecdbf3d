"""Whether a process and all that it has started work or wait."""

from __future__ import annotations

import posix
from dataclasses import dataclass
from typing import List

FIRST, WINDOW = 0.03, 0.05
"""Seconds until the first look: what a RUN takes that has nothing to do; and from one look to the next: a shorter
time tells little of many short processes, for each counts whole ticks alone."""
LITTLE = 1
"""Clock ticks (10 ms) from one look to the next."""


@dataclass(frozen=True)
class Look:
    """What a process and its living descendants were at some moment.

    :param ticks: clock ticks of processor time that they have had, and those that they waited for.
    :param runs: whether any of their threads wants a processor; where there are too few, it may wait for one.
    :param faults: page faults of the children that they waited for. None runs without, so they count exactly, where
        of processes that live for less than a tick neither ticks nor a look need show any.
    """

    ticks: int
    runs: bool
    faults: int

    def waited_since(self, before: Look) -> bool:
        little = self.ticks - before.ticks <= LITTLE
        return little and not self.runs and self.faults == before.faults


def look(pid: int) -> Look:
    ticks, runs, faults, pids = 0, False, 0, [pid]
    while pids:
        pid = pids.pop()
        process = f"/proc/{pid}"
        try:
            fields = _fields(process)
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime (proc(5))
            faults += int(fields[8]) + int(fields[10])  # cminflt, cmajflt
            threads = posix.listdir(f"{process}/task")
            for thread in (f"{process}/task/{name}" for name in threads):
                state = _fields(thread)[0] if len(threads) > 1 else fields[0]
                runs = runs or state == b"R"
                pids += _children(thread)
        except OSError:  # it has ended meanwhile: so it ran
            runs = True
    return Look(ticks, runs, faults)


def can_tell() -> bool:
    """Whether this kernel lists children (CONFIG_PROC_CHILDREN)."""
    try:
        _children("/proc/thread-self")
    except OSError:
        return False
    return True


def _fields(process: str) -> List[bytes]:
    """Of its ``stat``, from the state on."""
    with open(f"{process}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def _children(thread: str) -> List[int]:
    with open(f"{thread}/children", "rb") as file:
        return [int(child) for child in file.read().split()]
