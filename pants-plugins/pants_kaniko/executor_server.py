"""The executor as a resident process of Pants' daemon: lies beside ``main.py`` in its directory (see executor_main.py).

To start Python and load modules would be more than half of a small step. For tools that ask for it (`use_nailgun` of a
process), Pants keeps servers of the Nailgun protocol and has each run one request at a time; this is such a server. A request
is a fork, which has all modules that earlier ones loaded, and nothing else of theirs. The server itself does no more than
that: one thread, no data of a request, no files but its pipes.

It listens on loopback, where other users and the RUNs of its own requests reach it; so it serves the process that started it
and closes all other connections. It ends with that process, and what it runs ends with it.

The protocol is that of the Nailgun project's ``protocol.txt``: chunks of a length (4 bytes, big-endian), a kind (1), data.
"""

from __future__ import annotations

import marshal
import os
import posix
import select
import sys
from contextlib import suppress
from signal import SIGINT, SIGKILL, alarm, signal
from socket import AF_INET, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, socket

from imagebuild.errors import EXIT_OUR_BUG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn, Tuple

    Main = Callable[[List[str]], int]

SERVER = "com.martiansoftware.nailgun.NGServer"
"""What Pants starts in place of a process when it has no server for it."""
READY = b"NGServer 1.0.0 started on 127.0.0.1, port %d.\n"
"""Pants reads the port off this line."""
LOOPBACK = bytes((127, 0, 0, 1))
ARGUMENT, DIRECTORY, COMMAND, EXIT = b"A", b"D", b"C", b"X"
STDOUT, STDERR, LEARNED = b"1", b"2", b""
"""What a request writes: kinds of chunks, but for the last, which `learn` gets."""
GRACE = 3
"""Seconds that a request has to end in when it is called off: what Pants gives a process."""
MOST = 1 << 16
"""Bytes that are read at once."""


class BrokenOff(Exception):
    """A connection ended before its request was complete."""


class Server:
    """Runs what the process that started this one asks for.

    :param main: a request: from its arguments to its exit code.
    """

    def __init__(self, main: Main) -> None:
        self._main = main
        self._pid, self._client = posix.getpid(), posix.getppid()
        self._listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC)
        self._listener.bind((".".join(map(str, LOOPBACK)), 0))
        self._listener.listen(16)
        self._port: int = self._listener.getsockname()[1]
        self._lifeline = posix.dup(1)  # to the client, at whose end it breaks

    def serve(self) -> NoReturn:
        with suppress(PermissionError):  # it leads a group already
            posix.setsid()  # what a terminal sends is for Pants, which then ends us
        _close_inherited()
        posix.write(1, READY % self._port)
        nothing = posix.open(os.devnull, posix.O_RDWR)
        for descriptor in range(3):
            posix.dup2(nothing, descriptor)
        events = self._events(self._listener.fileno())
        while True:
            if self._lifeline in dict(events.poll()):
                _end()
            descriptor, (_, port) = self._listener._accept()  # type: ignore[attr-defined]
            connection = socket(AF_INET, SOCK_STREAM, 0, descriptor)
            try:
                if owns(self._client, port, self._port):
                    self._answer(connection)
            except (BrokenOff, OSError):
                pass  # the client knows; the next one may fare better
            finally:
                connection.close()

    def _events(self, *descriptors: int) -> Any:
        events = select.poll()
        events.register(self._lifeline, 0)
        for descriptor in descriptors:
            events.register(descriptor, select.POLLIN)
        return events

    def _answer(self, connection: socket) -> None:
        arguments, directory = read_request(connection)
        known = Known()
        pipes = {kind: posix.pipe() for kind in (STDOUT, STDERR, LEARNED)}
        child = posix.fork()
        if not child:
            for descriptor in (self._listener.fileno(), self._lifeline, connection.fileno()):
                posix.close(descriptor)
            self._run(arguments, directory, pipes, known)
        for _, end in pipes.values():
            posix.close(end)
        learned = self._relay(connection, {pipes[kind][0]: kind for kind in pipes})
        _, status = posix.waitpid(child, 0)
        code = posix.WEXITSTATUS(status) if posix.WIFEXITED(status) else -posix.WTERMSIG(status)
        connection.sendall(chunk(EXIT, str(code).encode()))
        connection.shutdown(SHUT_WR)
        if learned:
            learn(*marshal.loads(learned))  # noqa: S302 - a fork of ours wrote it

    def _run(
        self,
        arguments: List[str],
        directory: str,
        pipes: Dict[bytes, Tuple[int, int]],
        known: Known,
    ) -> NoReturn:
        code = EXIT_OUR_BUG
        try:
            posix.dup2(pipes[STDOUT][1], 1)
            posix.dup2(pipes[STDERR][1], 2)
            for kind, (read, write) in pipes.items():
                posix.close(read)
                if kind != LEARNED:
                    posix.close(write)
            self._end_with_server()
            posix.chdir(directory)
            _make_caches()
            code = self._main(arguments)
            posix.write(pipes[LEARNED][1], known.more())
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else EXIT_OUR_BUG
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            posix._exit(code)

    def _end_with_server(self) -> None:
        from imagebuild.runtime import syscalls

        signal(SIGINT, _called_off)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, SIGINT)
        if posix.getppid() != self._pid:
            posix._exit(EXIT_OUR_BUG)

    def _relay(self, connection: socket, outputs: Dict[int, bytes]) -> bytes:
        """Pass on what a request writes until it ends.

        :param outputs: what is to be read of it, and what that is.
        :return: what it has learned.
        """
        events = self._events(connection.fileno(), *outputs)
        learned = b""
        while outputs:
            for descriptor, _ in events.poll():
                if descriptor not in outputs:
                    # A heartbeat; or nobody waits for the request any more.
                    if descriptor == self._lifeline or not connection.recv(MOST):
                        _end()
                    continue
                data, kind = posix.read(descriptor, MOST), outputs[descriptor]
                if not data:
                    events.unregister(descriptor)
                    posix.close(descriptor)
                    del outputs[descriptor]
                elif kind == LEARNED:
                    learned += data
                else:
                    connection.sendall(chunk(kind, data))
        return learned


class Known:
    """What was loaded and compiled when it was made."""

    def __init__(self) -> None:
        self._modules, self._expressions = set(sys.modules), set(_expressions())

    def more(self) -> bytes:
        """What there is more of now, for `learn`; b"" for nothing."""
        modules = [name for name in sys.modules if name not in self._modules]
        expressions = [each for each in _expressions() if each not in self._expressions]
        return marshal.dumps((modules, expressions)) if modules or expressions else b""


def learn(modules: List[str], expressions: List[Tuple[Any, int]]) -> None:
    """Have what a request needed, for those to come."""
    for name in modules:
        with suppress(ImportError):
            __import__(name)
    if expressions:
        import re

        for pattern, flags in expressions:
            re.compile(pattern, flags)


def _expressions() -> List[Tuple[Any, int]]:
    """The regular expressions that `re` keeps: it compiles none of them again."""
    cache = getattr(sys.modules.get("re"), "_cache", {})
    return [(pattern, int(flags)) for _, pattern, flags in cache]


def owns(process: int, peer: int, port: int) -> bool:
    """Whether `process` has the socket that is connected from the port `peer` to `port`: the kernel's word for it (proc(5))."""
    address = f"{int.from_bytes(LOOPBACK, sys.byteorder):08X}"
    ends = f" {address}:{peer:04X} {address}:{port:04X} "
    with open("/proc/net/tcp") as table:
        rows = [row.split() for row in table if ends in row]
    sockets = {f"socket:[{row[9]}]" for row in rows}
    descriptors = f"/proc/{process}/fd"
    return any(_link(f"{descriptors}/{name}") in sockets for name in posix.listdir(descriptors))


def read_request(connection: socket) -> Tuple[List[str], str]:
    """The arguments of a request, and its directory. Its environment is the server's: Pants starts one for each.

    :raises BrokenOff: when the connection ends first.
    """
    arguments: List[str] = []
    directory, kind = "", b""
    while kind != COMMAND:
        head = _received(connection, 5)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        data = _received(connection, length).decode()
        if kind == ARGUMENT:
            arguments.append(data)
        elif kind == DIRECTORY:
            directory = data
    return arguments, directory


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data


def _received(connection: socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise BrokenOff
        data += more
    return data


def _close_inherited() -> None:
    """Pants leaves us the files of its store; what Python opened itself is not inheritable (PEP 446)."""
    for name in posix.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing
            if int(name) > 2 and posix.get_inheritable(int(name)):
                posix.close(int(name))


def _make_caches() -> None:
    """Named caches, which Pants makes when it starts the server, may have been deleted since."""
    for target in map(_link, posix.listdir()):
        if target:
            os.makedirs(target, exist_ok=True)


def _link(path: str) -> str:
    """Where a symbolic link leads, "" for what is none or has gone."""
    try:
        return posix.readlink(path)
    except OSError:
        return ""


def _called_off(*_: object) -> None:
    alarm(GRACE)  # and its end is not in Python's hands
    raise KeyboardInterrupt


def _end() -> NoReturn:
    posix.kill(posix.getpid(), SIGKILL)  # as Pants does it: of any other end it would warn
    raise SystemExit  # not reached
