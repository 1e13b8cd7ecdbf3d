"""The Nailgun protocol, as Pants' engine speaks it to servers.

By the Nailgun project's ``protocol.txt``: chunks of a length (4 bytes, big-endian), a kind (1), data.
"""

from __future__ import annotations

from _socket import socket  # what `socket` is made of
from typing import List, Tuple

SERVER = "com.martiansoftware.nailgun.NGServer"
"""What Pants starts in place of a process when it has no server for it."""
READY = b"NGServer 1.0.0 started on 127.0.0.1, port %d.\n"
"""Pants reads the port off this line."""
ARGUMENT, DIRECTORY, COMMAND = b"A", b"D", b"C"
STDOUT, STDERR, EXIT = b"1", b"2", b"X"
MOST = 1 << 16
"""Bytes that a chunk of ours has."""


class BrokenOff(Exception):
    """A connection ended before its request was complete."""


def read_request(connection: socket) -> Tuple[List[str], str]:
    """The arguments of a request, and its directory. Its environment is the server's: Pants starts one for each.

    :raises BrokenOff: when the connection ends first.
    """
    arguments: List[str] = []
    directory, kind = "", b""
    while kind != COMMAND:
        head = received(connection, 5)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        data = received(connection, length).decode()
        if kind == ARGUMENT:
            arguments.append(data)
        elif kind == DIRECTORY:
            directory = data
    return arguments, directory


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data


def answer(code: int, stdout: bytes, stderr: bytes) -> bytes:
    """All that a request has written, and how it ended."""
    outputs = ((STDOUT, stdout), (STDERR, stderr))
    chunks = [
        chunk(kind, data[start : start + MOST])
        for kind, data in outputs
        for start in range(0, len(data), MOST)
    ]
    return b"".join((*chunks, chunk(EXIT, str(code).encode())))


def received(connection: socket, length: int) -> bytes:
    """:raises BrokenOff: when the connection ends first."""
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise BrokenOff
        data += more
    return data
