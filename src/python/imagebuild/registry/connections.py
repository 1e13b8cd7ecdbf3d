"""Connections that don't wait for ever, and don't go inside on a stranger's word.

A registry can send its clients anywhere: through a redirect, an upload's ``Location`` or a token server's address. One on the
public internet has no business to send them to this machine or to a cloud's metadata service (server-side request forgery, as
in go-containerregistry #2291 and #2440). A name is no protection, it may resolve to anything; so the connected peer is looked
at, before the request is sent.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from typing import Any, Callable, Dict, Tuple, Type

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# How far away a peer is. A hop may lead outwards; inwards only as far as `Trust.floor` allows.
LOCAL, PRIVATE, PUBLIC = 0, 1, 2

# From the request to the end of the answer's headers, however slowly they drip.
HEADER_SECONDS = 360.0

Check = Callable[[Any], None]


def distance(address: str) -> int:
    """LOCAL for this machine and its link, PRIVATE for networks that are not the internet, else PUBLIC."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return LOCAL
    return PUBLIC if ip.is_global else PRIVATE


def pool_classes(check: Check) -> Dict[str, Type[HTTPConnectionPool]]:
    """Pools by scheme whose connections call `check` once connected, before anything is sent."""

    class Connection(_Impatient, HTTPConnection):
        def connect(self) -> None:
            super().connect()
            check(self)

    class SecureConnection(_Impatient, HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            check(self)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}


class _Impatient:
    """Hangs up when the headers of an answer take too long; a socket's timeout only bounds the wait for each byte."""

    sock: Any

    def getresponse(self) -> Any:
        ticket = _WATCH.begin(self.sock)
        try:
            return super().getresponse()  # type: ignore[misc]
        finally:
            _WATCH.end(ticket)


class _Watch:
    """One thread for all connections that wait for headers; it ends when there are none."""

    def __init__(self) -> None:
        self._waiting: Dict[object, Tuple[float, Any]] = {}
        self._running = False
        self._lock = threading.Lock()

    def begin(self, connection: Any) -> object:
        ticket = object()
        with self._lock:
            self._waiting[ticket] = (time.monotonic() + HEADER_SECONDS, connection)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="header-watch", daemon=True).start()
        return ticket

    def end(self, ticket: object) -> None:
        with self._lock:
            del self._waiting[ticket]

    def _run(self) -> None:
        while True:
            time.sleep(min(1.0, HEADER_SECONDS / 2))
            with self._lock:
                late = [one for until, one in self._waiting.values() if until < time.monotonic()]
                self._running = bool(self._waiting)
                if not self._running:
                    return
            for connection in late:
                # The plain call: an SSLSocket's own would forget its TLS state under the reader's feet.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


_WATCH = _Watch()
