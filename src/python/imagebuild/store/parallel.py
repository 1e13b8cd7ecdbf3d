"""Work done side by side in forked processes: extraction is bound by the interpreter and the kernel, not by the disk."""

from __future__ import annotations

import os
from typing import Callable, Iterable, List

from imagebuild.layer.forked import may_fork


def run_forked(jobs: Iterable[Callable[[], None]]) -> None:
    """Call each of `jobs` in a process of its own, as many at once as there are processors.

    What a job fails with is lost: the caller finds out by what the job has not done, and does it itself. Where this
    process must not fork it does nothing.
    """
    if not may_fork():
        return
    limit = len(os.sched_getaffinity(0))
    running: List[int] = []
    for job in jobs:
        if len(running) >= limit:
            os.waitpid(running.pop(0), 0)
        running.append(_start(job))
    for pid in running:
        os.waitpid(pid, 0)


def _start(job: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        job()
        code = 0
    finally:
        os._exit(code)  # nothing of the parent's is flushed or cleaned up twice
