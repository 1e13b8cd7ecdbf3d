"""The executor as a resident process of Pants' daemon.

To start Python and load modules would be more than half of a small step. For tools that ask for it (`use_nailgun` of a
process), Pants keeps servers of the Nailgun protocol and has each run one request at a time; this is such a server. A request
is a fork, which has all modules that earlier ones loaded, and nothing else of theirs. The server itself does no more than
that: one thread, and of a request what it writes. Those that mostly wait it answers before their end (`aside`), so there may
be several.

It listens on loopback, where other users and the RUNs of its own requests reach it; so it serves the process that started it
and closes all other connections. It ends with that process, and what it runs ends with it.
"""

from __future__ import annotations

import os
import posix
from _socket import AF_INET, MSG_PEEK, SOCK_CLOEXEC, SOCK_STREAM, socket
from contextlib import suppress
from functools import partial
from signal import SIGKILL
from typing import Dict, NoReturn, Optional

from imagebuild import canonical
from imagebuild.errors import EXIT_SET_ASIDE
from imagebuild.serve.aside import GET, HEAD, Aside, GoesOn, asked_for, last_word
from imagebuild.serve.busy import FIRST, WINDOW, Look, can_tell, look
from imagebuild.serve.call import LEARNED, STDERR, STDOUT, Call, Main
from imagebuild.serve.learned import learn
from imagebuild.serve.loop import Loop
from imagebuild.serve.nailgun import MOST, READY, BrokenOff, answer, read_request
from imagebuild.serve.peer import LOOPBACK, owns

ASIDE = "--aside"
"""The option of a request that may be set aside: the scratch directory for the file with its outcome."""


class Server:
    """Runs what the process that started this one asks for.

    :param main: a request: from its arguments to its exit code.
    """

    def __init__(self, main: Main) -> None:
        self._main = main
        self._client = posix.getppid()
        self._listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC)
        self._listener.bind((".".join(map(str, LOOPBACK)), 0))
        self._listener.listen(16)
        self._port: int = self._listener.getsockname()[1]
        self._lifeline = posix.dup(1)  # to the client, at whose end it breaks
        self._loop = Loop()
        self._next: Optional[Call] = None
        self._askers: Dict[Call, socket] = {}
        self._aside: Dict[Call, Aside] = {}

    def serve(self) -> NoReturn:
        with suppress(PermissionError):  # it leads a group already
            posix.setsid()  # what a terminal sends is for Pants, which then ends us
        _close_inherited()
        posix.write(1, READY % self._port)
        nothing = posix.open(os.devnull, posix.O_RDWR)
        for descriptor in range(3):
            posix.dup2(nothing, descriptor)
        self._loop.watch(self._lifeline, _end, events=0)
        self._loop.watch(self._listener.fileno(), self._accept)
        self._prepare_ahead()
        self._loop.run()

    def _prepare(self, *connections: int) -> Call:
        """The fork for the next request, which has none of the `connections` to others."""
        if self._next is None:
            private = {*self._loop.watched(), *connections}
            private.update(waiting.descriptor for waiting in self._aside.values())
            self._next = Call(self._loop, self._main, private, self._finish)
        return self._next

    def _prepare_ahead(self) -> None:
        with suppress(OSError):  # no room for one now; the request may fare better
            self._prepare()

    def _accept(self) -> None:
        descriptor, (_, port) = self._listener._accept()  # type: ignore[attr-defined]
        connection = socket(AF_INET, SOCK_STREAM, 0, descriptor)
        try:
            if not owns(self._client, port, self._port):
                connection.close()
            elif connection.recv(1, MSG_PEEK) == GET[:1]:
                self._tell(connection)
            else:
                self._start(connection)
        except (BrokenOff, OSError):
            connection.close()  # the client knows; the next one may fare better

    def _start(self, connection: socket) -> None:
        arguments, directory = read_request(connection)
        call = self._prepare(connection.fileno())
        self._next = None
        call.begin(arguments, directory)
        self._askers[call] = connection
        self._loop.watch(connection.fileno(), partial(_hear, connection))
        if ASIDE in arguments[:-1] and can_tell():
            scratch = os.path.join(directory, arguments[arguments.index(ASIDE) + 1])
            self._look_after(FIRST, call, scratch, look(call.pid))

    def _look_after(self, seconds: float, call: Call, scratch: str, before: Look) -> None:
        self._loop.after(seconds, call, partial(self._look, call, scratch, before))

    def _look(self, call: Call, scratch: str, before: Look) -> None:
        """Set `call` aside if it has mostly waited since `before`."""
        now = look(call.pid)
        if not (now.waited_since(before) and self._set_aside(call, scratch)):
            self._look_after(WINDOW, call, scratch, now)

    def _set_aside(self, call: Call, scratch: str) -> bool:
        from imagebuild.store.scratch import Scratch

        try:
            waiting = Aside(self._loop, call, Scratch(scratch).file())
        except OSError:
            return False
        for other in [other for other, was in self._aside.items() if was.is_taken]:
            self._aside.pop(other).forget()
        self._aside[call] = waiting
        goes_on = canonical.dumps(GoesOn(self._port, waiting.name))
        self._reply(call, answer(EXIT_SET_ASIDE, goes_on, b""))
        self._prepare_ahead()
        return True

    def _tell(self, connection: socket) -> None:
        name = asked_for(connection)
        for waiting in self._aside.values():
            if waiting.name == name:
                waiting.tell(connection)
                return
        last_word(connection, HEAD % 1)  # and nothing behind it, which Pants does not ask for again

    def _finish(self, call: Call) -> None:
        if call is self._next:
            self._next = None
        if call in self._aside:
            self._aside[call].end()
            if self._aside[call].is_taken:
                self._aside.pop(call).forget()
        elif call in self._askers:
            self._loop.no_more(call)
            self._reply(call, answer(call.code, call.outputs[STDOUT], call.outputs[STDERR]))
        else:  # killed before it had its request
            return
        if call.outputs[LEARNED]:
            learn(call.outputs[LEARNED])
        self._prepare_ahead()

    def _reply(self, call: Call, data: bytes) -> None:
        connection = self._askers.pop(call)
        self._loop.forget(connection.fileno())
        last_word(connection, data)


def _hear(connection: socket) -> None:
    """A heartbeat; or nobody waits for the request any more."""
    try:
        if connection.recv(MOST):
            return
    except OSError:
        pass
    _end()


def _close_inherited() -> None:
    """Pants leaves us the files of its store; what Python opened itself is not inheritable (PEP 446)."""
    for name in posix.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing
            if int(name) > 2 and posix.get_inheritable(int(name)):
                posix.close(int(name))


def _end() -> NoReturn:
    posix.kill(posix.getpid(), SIGKILL)  # as Pants does it: of any other end it would warn
    raise SystemExit  # not reached
