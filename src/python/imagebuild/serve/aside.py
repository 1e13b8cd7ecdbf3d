"""A request that goes on after it was answered.

Pants runs as many processes at once as there are cores. A RUN that sleeps, or waits for a server far away, would hold one of
these slots for nothing. So a request that mostly waits is set aside: the server answers Pants that it goes on (`GoesOn`), and
Pants gives the slot to another. Whoever asked waits for its end without one, as for a file that is downloaded; at the end of
a request, that is what it gets for a file. Then the request's outcome is taken out of the file that `GoesOn` names.

Nobody waits any more: then the request is called off.
"""

from __future__ import annotations

import marshal
import os
import posix
from _socket import SHUT_WR, socket
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, ContextManager, List, Optional, Tuple

from imagebuild.serve.call import Call
from imagebuild.serve.loop import Loop
from imagebuild.serve.nailgun import received

FIRST, AGAIN = 10.0, 1.0
"""Seconds that may pass until somebody waits for a request that was set aside, and until somebody else does."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
GET, END_OF_HEAD = b"GET /", b"\r\n\r\n"
LONGEST_HEAD = 1 << 16


@dataclass(frozen=True)
class GoesOn:
    """The answer for a request that was set aside.

    :param port: where its server listens, on loopback.
    :param name: what its file is called; and, as ASCII, what there is to download at its end.
    """

    port: int
    name: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.name}"


class Aside:
    """A request that was set aside.

    :param holder: gives it a file, which goes when this process ends.
    """

    def __init__(self, loop: Loop, call: Call, holder: ContextManager[BinaryIO]) -> None:
        """:raises OSError: when there can be no file."""
        self._loop, self._call, self._holder = loop, call, holder
        self._file = holder.__enter__()
        self._waiting: List[socket] = []
        self._ended = self._lost = False
        self.name = os.path.basename(self._file.name)
        loop.after(FIRST, self, self._call_off)

    @property
    def descriptor(self) -> int:
        """Of its file."""
        return self._file.fileno()

    @property
    def is_taken(self) -> bool:
        """Whether its outcome was taken out of its file; or there will be none."""
        return self._lost or posix.fstat(self.descriptor).st_nlink == 0

    def tell(self, connection: socket) -> None:
        """Tell `connection` when it has ended."""
        connection.sendall(HEAD % len(self.name))
        if self._ended:
            self._tell_end(connection)
            return
        self._loop.no_more(self)
        self._waiting.append(connection)
        self._loop.watch(connection.fileno(), partial(self._leave, connection))

    def _leave(self, connection: socket) -> None:
        self._loop.forget(connection.fileno())
        connection.close()
        self._waiting.remove(connection)
        if not self._waiting and not self._lost:
            self._loop.after(AGAIN, self, self._call_off)

    def _call_off(self) -> None:
        self._lost = True
        self._call.call_off()

    def end(self) -> None:
        """Its call has ended."""
        self._ended = True
        self._loop.no_more(self)
        code, (stdout, stderr, _) = self._call.code, self._call.outputs
        if not _write(self.descriptor, marshal.dumps((code, stdout, stderr))):
            self._lost = True
        for connection in self._waiting:
            self._loop.forget(connection.fileno())
            self._tell_end(connection)

    def _tell_end(self, connection: socket) -> None:
        last_word(connection, b"" if self._lost else self.name.encode())

    def forget(self) -> None:
        """Remove its file, if that is still there."""
        self._holder.__exit__(None, None, None)


def asked_for(connection: socket) -> Optional[str]:
    """The name that is asked for, None where it is no request for a file.

    :raises BrokenOff: when the connection ends first.
    """
    head = b""
    while END_OF_HEAD not in head and len(head) < LONGEST_HEAD:
        head += received(connection, 1)
    line = head.partition(b" HTTP/")[0]
    return line[len(GET) :].decode("ascii", "replace") if line.startswith(GET) else None


def _write(descriptor: int, data: bytes) -> bool:
    """All of it or nothing; where there is no room, whoever runs the request again is told so."""
    with suppress(OSError):
        if posix.write(descriptor, data) == len(data):
            return True
    posix.ftruncate(descriptor, 0)
    return False


def last_word(connection: socket, data: bytes) -> None:
    """Say the last word, if there is anyone to hear it."""
    with suppress(OSError):
        connection.sendall(data)
        connection.shutdown(SHUT_WR)
    connection.close()


def outcome(path: str) -> Optional[Tuple[int, bytes, bytes]]:
    """Take the outcome of a request out of its file: exit code, stdout, stderr. None where there is none, or not yet."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
    except FileNotFoundError:
        return None
    if not data:
        return None
    code, stdout, stderr = marshal.loads(data)  # noqa: S302 - a server of ours wrote it
    return code, stdout, stderr
