"""Give the caller's terminal back as it was, after an interactive command used it."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def lent_terminal(lend: bool) -> Iterator[None]:
    """While active, the command may change the controlling terminal's settings and foreground group.

    :param lend: False, or no controlling terminal: nothing to do.
    """
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC) if lend else -1
    except OSError:
        fd = -1
    if fd < 0:
        yield
        return
    import termios

    settings, group = termios.tcgetattr(fd), os.tcgetpgrp(fd)
    try:
        yield
    finally:
        # a shell that made itself the foreground group is gone, and left us in the background
        former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        os.tcsetpgrp(fd, group)
        termios.tcsetattr(fd, termios.TCSADRAIN, settings)
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        os.close(fd)
