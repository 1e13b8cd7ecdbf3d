"""A resident executor, and this process as its client: what Pants' engine does with it."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import List, Tuple

from pants_kaniko.executor_server import COMMAND, chunk

WAIT = 20
"""Seconds for what takes a moment."""

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
