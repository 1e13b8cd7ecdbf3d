"""What processes cost, as proc(5) has it: processor seconds, and the most memory that one of them had."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Type

TICKS = os.sysconf("SC_CLK_TCK")
INTERVAL = 0.1
"""Seconds between two looks: all processes of a machine are read in about 2 ms."""


class Process(NamedTuple):
    """:param seconds: of the processor, with those of all children that it has waited for."""

    pid: int
    parent: int
    seconds: float


def below(roots: Iterable[int]) -> Dict[int, Process]:
    """The processes `roots`, and all that they have started, directly or not."""
    every = {process.pid: process for process in map(_read, _pids()) if process}
    children: Dict[int, List[int]] = {}
    for process in every.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: Dict[int, Process] = {}
    waiting = [pid for pid in roots if pid in every]
    while waiting:
        pid = waiting.pop()
        found[pid] = every[pid]
        waiting.extend(children.get(pid, ()))
    return found


def seconds(roots: Iterable[int]) -> float:
    """Processor seconds of `roots` and of what they have started."""
    return sum(process.seconds for process in below(roots).values())


class Peak:
    """Inside the block, looks now and then how much memory the processes below some have had; `bytes` is the most of one.

    :param roots: asked at each look. They themselves do not count.
    """

    def __init__(self, roots: Callable[[], Iterable[int]]) -> None:
        self.bytes = 0
        self._roots, self._done = roots, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._old: Set[int] = set()

    def __enter__(self) -> Peak:
        self._old = set(below(self._roots()))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(INTERVAL):
            roots = set(self._roots())
            for pid in below(roots):
                # Who was there before has had its most before; a request of a resident executor is a new process.
                if pid not in roots and pid not in self._old:
                    self.bytes = max(self.bytes, _peak(pid))


def _pids() -> List[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int) -> Optional[Process]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return None
    return Process(pid, int(fields[1]), sum(map(int, fields[11:15])) / TICKS)


def _peak(pid: int) -> int:
    """Bytes of the largest resident set that it has had (VmHWM)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
