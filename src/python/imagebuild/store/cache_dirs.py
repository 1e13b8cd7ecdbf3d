"""Directories of this machine that RUN steps keep things in from one build to the next (``--mount=type=cache``).

    caches/<hex>/<n>/    the directory, by key; n is 0 but for those that are private to one RUN at a time
    locks/<hex>-<n>      held, shared or alone, by every RUN that has it mounted

What a RUN leaves there is hostile: nothing here, and nothing that mounts it, ever looks into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Callable, Iterator, Tuple

from imagebuild.errors import UsageError
from imagebuild.oci.hash import Hash
from imagebuild.store.files import store_errors
from imagebuild.store.scratch import exclusive
from imagebuild.store.store import Store

SHARED, PRIVATE, LOCKED = "shared", "private", "locked"
SHARINGS = (SHARED, PRIVATE, LOCKED)

Fill = Callable[[str], None]


@contextlib.contextmanager
def cache_dir(store: Store, key: Hash, sharing: str, fill: Fill) -> Iterator[str]:
    """The path of the cache directory named `key`, held until the context ends, or the process and all that it forked.

    :param sharing: "shared": with any number of others; "locked": alone, after waiting for the others; "private": alone,
        and in another directory where somebody has the first.
    :param fill: called with a new empty directory; what it makes of it appears as a whole.
    """
    if sharing not in SHARINGS:
        raise UsageError(f'unknown sharing "{sharing}" of a cache', expected=", ".join(SHARINGS))
    home = os.path.join(store.root, "caches", key.hex)
    with store_errors(store.root):
        os.makedirs(home, 0o700, exist_ok=True)
    number, fd = _held(store, key, sharing)
    try:
        yield _made(store, key, os.path.join(home, str(number)), fill)
    finally:
        os.close(fd)


def _held(store: Store, key: Hash, sharing: str) -> Tuple[int, int]:
    """The number of a directory, and a descriptor that holds its lock."""
    mode = fcntl.LOCK_SH if sharing == SHARED else fcntl.LOCK_EX
    mode |= fcntl.LOCK_NB if sharing == PRIVATE else 0
    number = 0
    while True:
        fd = os.open(_lock(store, key, str(number)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, mode)
        except BlockingIOError:
            os.close(fd)
            number += 1
        except BaseException:
            os.close(fd)
            raise
        else:
            return number, fd


def _lock(store: Store, key: Hash, what: str) -> str:
    return os.path.join(store.root, "locks", f"{key.hex}-{what}")


def _made(store: Store, key: Hash, path: str, fill: Fill) -> str:
    with exclusive(_lock(store, key, "new")):
        if not os.path.isdir(path):
            with store.work_dir() as work:
                new = os.path.join(work, "cache")
                os.mkdir(new, 0o700)
                fill(new)
                os.rename(new, path)
    return path
