"""One request: a fork that runs it, and what it writes."""

from __future__ import annotations

import os
import posix
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import Callable, Dict, Iterable, List, NoReturn

from imagebuild.errors import EXIT_OUR_BUG
from imagebuild.serve.learned import Known
from imagebuild.serve.loop import Loop
from imagebuild.serve.nailgun import MOST

Main = Callable[[List[str]], int]
"""Runs a request: from its arguments to its exit code."""

GRACE = 3
"""Seconds that a request has to end in when it is called off: what Pants gives a process."""
STDOUT, STDERR, LEARNED = range(3)
"""What a request writes."""


class Call:
    """A fork, which has all that the server has loaded, and nothing else of it.

    :ivar pid: until it has ended.
    :ivar code: its exit code, negative for a signal, once it has ended.
    :ivar outputs: what it wrote to stdout and to stderr, and for `learn`.
    """

    def __init__(
        self,
        loop: Loop,
        main: Main,
        arguments: List[str],
        directory: str,
        private: Iterable[int],
        ended: Callable[[Call], None],
    ) -> None:
        """:param private: the server's descriptors, which a request does not have.
        :param ended: called with this one when the request has ended.
        """
        self.pid, self.code = 0, 0
        self.outputs: List[bytes] = [b"", b"", b""]
        self._loop, self._ended = loop, ended
        known, server = Known(), posix.getpid()
        pipes = [posix.pipe() for _ in self.outputs]
        self.pid = posix.fork()
        if not self.pid:
            for descriptor in (*private, *(read for read, _ in pipes)):
                posix.close(descriptor)
            _run(main, arguments, directory, [write for _, write in pipes], known, server)
        self._kinds: Dict[int, int] = {}
        for kind, (read, write) in enumerate(pipes):
            posix.close(write)
            self._kinds[read] = kind
            loop.watch(read, partial(self._read, read))

    def _read(self, descriptor: int) -> None:
        data = posix.read(descriptor, MOST)
        if data:
            self.outputs[self._kinds[descriptor]] += data
            return
        self._loop.forget(descriptor)
        posix.close(descriptor)
        del self._kinds[descriptor]
        if not self._kinds:
            _, status = posix.waitpid(self.pid, 0)
            exited = posix.WIFEXITED(status)
            self.code = posix.WEXITSTATUS(status) if exited else -posix.WTERMSIG(status)
            self._ended(self)

    def call_off(self) -> None:
        """It has `GRACE` seconds."""
        posix.kill(self.pid, signal.SIGINT)


def _run(
    main: Main, arguments: List[str], directory: str, pipes: List[int], known: Known, server: int
) -> NoReturn:
    code = EXIT_OUR_BUG
    try:
        for kind in (STDOUT, STDERR):
            posix.dup2(pipes[kind], 1 + kind)
            posix.close(pipes[kind])
        _end_with(server)
        posix.chdir(directory)
        _make_caches()
        code = main(arguments)
        posix.write(pipes[LEARNED], known.more())
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else EXIT_OUR_BUG
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        posix._exit(code)


def _end_with(server: int) -> None:
    from imagebuild.runtime import syscalls

    signal.signal(signal.SIGINT, _called_off)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGINT)
    if posix.getppid() != server:
        posix._exit(EXIT_OUR_BUG)


def _called_off(*_: object) -> None:
    signal.alarm(GRACE)  # and its end is not in Python's hands
    raise KeyboardInterrupt


def _make_caches() -> None:
    """Named caches, which Pants makes when it starts the server, may have been deleted since."""
    for name in posix.listdir():
        with suppress(OSError):  # it is no link
            os.makedirs(posix.readlink(name), exist_ok=True)
