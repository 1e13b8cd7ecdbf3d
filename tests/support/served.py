"""A resident executor, and this process as its client: what Pants' engine does with it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

from imagebuild.serve import server
from imagebuild.serve.nailgun import COMMAND, chunk

WAIT = 20
"""Seconds for what takes a moment."""

# A request is Python; what it is told besides are `arguments`.
MAIN = """\
import sys
sys.path[:0] = {path!r}
from imagebuild.serve import aside
from {server} import Server

def main(arguments):
    scope = {{"arguments": arguments[1:], "code": 0}}
    exec(arguments[0], scope)
    return scope["code"]

{patience}
Server(main).serve()
"""

Chunks = List[Tuple[bytes, bytes]]


class Served:
    """:param process: a server that this process has just started, its stdout a pipe."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process, self.directory = process, directory
        assert process.stdout
        line = process.stdout.readline()
        self.port = int(line.rpartition(b" ")[2].rstrip(b".\n"))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WAIT)

    def send(self, code: str, *arguments: str) -> socket.socket:
        connection = self.connect()
        words = b"".join(chunk(b"A", word.encode()) for word in (code, *arguments))
        environment = chunk(b"E", b"NAME=value")
        directory = chunk(b"D", str(self.directory).encode())
        connection.sendall(words + environment + directory + chunk(COMMAND, b"kaniko-executor"))
        return connection

    def ask(self, code: str, *arguments: str) -> Chunks:
        with self.send(code, *arguments) as connection:
            return received(connection)


def received(connection: socket.socket) -> Chunks:
    """All that comes until the other side closes, chunks of one kind in a row put together."""
    data = b""
    while True:
        try:
            more = connection.recv(1 << 16)
        except ConnectionResetError:
            more = b""
        if not more:
            break
        data += more
    found: Chunks = []
    while data:
        length, kind = int.from_bytes(data[:4], "big"), data[4:5]
        part, data = data[5 : 5 + length], data[5 + length :]
        if found and found[-1][0] == kind:
            part = found.pop()[1] + part
        found.append((kind, part))
    return found


def command(directory: Path, patience: str = "") -> List[str]:
    """What starts a server.

    :param patience: Python that changes how long it waits.
    """
    main, path = directory / "main.py", [entry for entry in sys.path if entry]
    main.write_text(MAIN.format(path=path, server=server.__name__, patience=patience))
    return [sys.executable, str(main)]


@contextmanager
def serving(directory: Path, patience: str = "") -> Iterator[Served]:
    sandbox = directory / "sandbox"
    sandbox.mkdir()
    with (directory / "of the client").open("w") as file:
        process = subprocess.Popen(
            command(directory, patience),
            cwd=sandbox,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[file.fileno()],  # as Pants does it with the files of its store
        )
    yield Served(process, sandbox)
    process.kill()
    process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
