"""One request: a fork that runs it, and what it writes.

To fork takes milliseconds, for the memory of a process that has loaded all modules; so it is done before there is a request.
"""

from __future__ import annotations

import marshal
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
    """A fork, which has all that the server has loaded, and nothing else of it. It waits for its request.

    :ivar pid: until it has ended.
    :ivar code: its exit code, negative for a signal, once it has ended.
    :ivar outputs: what it wrote to stdout and to stderr, and for `learn`.
    """

    def __init__(
        self, loop: Loop, main: Main, private: Iterable[int], ended: Callable[[Call], None]
    ) -> None:
        """:param private: the server's descriptors, which a request does not have.
        :param ended: called with this one when the request has ended.
        """
        self.pid, self.code = 0, 0
        self.outputs: List[bytes] = [b"", b"", b""]
        self._loop, self._ended = loop, ended
        known, server = Known(), posix.getpid()
        pipes = [posix.pipe() for _ in self.outputs]
        request, self._request = posix.pipe()
        self.pid = posix.fork()
        if not self.pid:
            for descriptor in (*private, self._request, *(read for read, _ in pipes)):
                posix.close(descriptor)
            _run(main, request, [write for _, write in pipes], known, server)
        posix.close(request)
        self._kinds: Dict[int, int] = {}
        for kind, (read, write) in enumerate(pipes):
            posix.close(write)
            self._kinds[read] = kind
            loop.watch(read, partial(self._read, read))

    def begin(self, arguments: List[str], directory: str) -> None:
        """This is its request.

        :raises OSError: when it has ended before.
        """
        try:
            posix.write(self._request, marshal.dumps((arguments, directory)))
        finally:
            posix.close(self._request)

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


def _run(main: Main, request: int, pipes: List[int], known: Known, server: int) -> NoReturn:
    code = EXIT_OUR_BUG
    try:
        for kind in (STDOUT, STDERR):
            posix.dup2(pipes[kind], 1 + kind)
            posix.close(pipes[kind])
        with open(request, "rb") as file:
            said = file.read()
        if not said:
            posix._exit(0)  # the server has ended
        arguments, directory = marshal.loads(said)  # noqa: S302 - the server's
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
        with suppress(OSError):  # nobody listens any more
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
