"""Whose socket is at the other end of a connection over loopback: the kernel's word for it."""

from __future__ import annotations

import posix
import sys
from _socket import AF_INET, AF_NETLINK, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_RAW, socket
from struct import Struct
from typing import Optional

LOOPBACK = bytes((127, 0, 0, 1))
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20  # linux/netlink.h, linux/sock_diag.h
NLM_F_REQUEST = 1
HEADER = Struct("=IHHII")
"""nlmsghdr (netlink(7)): length, type, flags, sequence number, port."""
ENDS = Struct("!HH16s16s")
"""Of an inet_diag_sockid (sock_diag(7)): the ports and the addresses of a socket and its peer."""
ANY_STATE, NO_INTERFACE_NO_COOKIE = 0xFFFFFFFF, bytes(4) + b"\xff" * 8
REPLY = Struct("=4x36s12x16xI")
"""inet_diag_msg, of which: the ends, and the socket's inode."""


def owns(process: int, peer: int, port: int) -> bool:
    """Whether `process` has the socket that is connected from the port `peer` to `port`."""
    inode = _by_sock_diag(peer, port) or _by_table(peer, port)
    link, descriptors = f"socket:[{inode}]", f"/proc/{process}/fd"
    return bool(inode) and any(
        _link(f"{descriptors}/{name}") == link for name in posix.listdir(descriptors)
    )


def _by_sock_diag(peer: int, port: int) -> Optional[int]:
    """That socket's inode; None where there is no such socket, or this kernel cannot tell so."""
    ends = ENDS.pack(peer, port, LOOPBACK, LOOPBACK)
    asked = bytes((AF_INET, IPPROTO_TCP, 0, 0)) + ANY_STATE.to_bytes(4, sys.byteorder)
    asked += ends + NO_INTERFACE_NO_COOKIE
    head = HEADER.pack(HEADER.size + len(asked), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
    try:
        told = _kernel_tells(head + asked)
    except OSError:
        return None
    if len(told) < HEADER.size + REPLY.size or HEADER.unpack_from(told)[1] != SOCK_DIAG_BY_FAMILY:
        return None
    found, inode = REPLY.unpack_from(told, HEADER.size)
    return int(inode) if found == ends else None  # else it listens at that port


def _kernel_tells(message: bytes) -> bytes:
    kernel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    try:
        kernel.send(message)
        return kernel.recv(HEADER.size + REPLY.size)
    finally:
        kernel.close()


def _by_table(peer: int, port: int) -> Optional[int]:
    """The same from a table of all sockets (proc(5)), which takes milliseconds to make."""
    address = f"{int.from_bytes(LOOPBACK, sys.byteorder):08X}"
    ends = f" {address}:{peer:04X} {address}:{port:04X} "
    with open("/proc/net/tcp") as table:
        return next((int(row.split()[9]) for row in table if ends in row), None)


def _link(path: str) -> str:
    """Where a symbolic link leads, "" for what has gone."""
    try:
        return posix.readlink(path)
    except OSError:
        return ""
