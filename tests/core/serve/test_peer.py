"""Whose connection it is, by the kernel."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import Callable, Iterator, Optional, Tuple

import pytest

from imagebuild.serve import peer

Ends = Tuple[socket.socket, socket.socket]

BOTH = pytest.mark.parametrize("inode_of", [peer._by_sock_diag, peer._by_table])


@contextmanager
def connection() -> Iterator[Ends]:
    """The ends of the client and of the server."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield client, server


def port(end: socket.socket) -> int:
    number: int = end.getsockname()[1]
    return number


@BOTH
def test_both_ways_to_ask_say_the_same(inode_of: Callable[[int, int], Optional[int]]) -> None:
    with connection() as (client, server):
        assert os.fstat(client.fileno()).st_ino == inode_of(port(client), port(server))
        assert os.fstat(server.fileno()).st_ino == inode_of(port(server), port(client))


@BOTH
def test_what_listens_is_at_no_end(inode_of: Callable[[int, int], Optional[int]]) -> None:
    with connection() as (client, server):
        assert inode_of(port(server), port(server)) is None
        assert inode_of(port(client), port(client)) is None


def test_a_process_owns_its_own_connections_alone() -> None:
    with connection() as (client, server):
        assert peer.owns(os.getpid(), port(client), port(server))
        assert not peer.owns(os.getppid(), port(client), port(server))


def test_a_kernel_that_cannot_be_asked_has_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "NETLINK_SOCK_DIAG", 99)
    with connection() as (client, server):
        assert peer._by_sock_diag(port(client), port(server)) is None
        assert peer.owns(os.getpid(), port(client), port(server))


def test_one_that_has_ended_is_nobodys() -> None:
    with connection() as (client, server):
        ports = port(client), port(server)
        client.close()

        assert not peer.owns(os.getpid(), *ports)
