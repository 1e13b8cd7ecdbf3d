"""What both runtimes take from the host, and check about it, before they start a command."""

from __future__ import annotations

import _thread  # what `threading` is made of
import os
import stat
import time
from contextlib import suppress
from typing import Dict, Tuple

from imagebuild.errors import HostError
from imagebuild.runtime.spec import ProcessSpec

_RESOLV_CONF_LIMIT = 1 << 16
_ENDS_MS = 200


def check_single_threaded() -> None:
    """A fork copies the locks of other threads as they are, held for ever.

    :raises RuntimeError: that is a bug of the caller.
    """
    if not _thread._count():
        return
    # In a forked process it still counts the threads of the other one; and one that was joined has to end yet.
    for _ in range(_ENDS_MS):
        if len(os.listdir("/proc/self/task")) == 1:
            return
        time.sleep(0.001)
    raise RuntimeError("a RUN has to be started before any thread of the executor")


def host_files(spec: ProcessSpec) -> Dict[str, bytes]:
    """The files that a RUN sees instead of the image's, as BuildKit has them; none is captured."""
    names = f"127.0.0.1\tlocalhost {spec.hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    resolv = b""
    if spec.network == "host":
        with suppress(OSError), open(
            "/etc/resolv.conf", "rb"
        ) as file:  # without one, nothing resolves either
            resolv = file.read(_RESOLV_CONF_LIMIT)
    return {"/etc/resolv.conf": resolv, "/etc/hosts": names.encode()}


def give_pipes(uid: int, *fds: int) -> None:
    """Make pipes the user's own, so that /dev/stdout can be opened by a USER that is not root."""
    for fd in fds:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.fchown(fd, uid, -1)


def own_program() -> Tuple[int, int]:
    """Device and inode of the program that runs the builder.

    :raises HostError: where /proc is not mounted.
    """
    try:
        status = os.stat("/proc/self/exe")
    except OSError as error:
        raise HostError(
            "cannot read /proc/self/exe", hint="mount /proc where the builder runs"
        ) from error
    return status.st_dev, status.st_ino
