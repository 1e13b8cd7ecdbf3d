"""One HTTP exchange on `urllib3`: no retry, no redirect, no credential of its own. The only importer of third parties here.

Not on `requests`: it takes as long to load as all the rest of ``resolve``, and all of it that was used is in urllib3.
"""

from __future__ import annotations

import socket
import ssl
import threading
from base64 import b64encode
from types import TracebackType
from typing import Any, BinaryIO, Dict, List, Mapping, Optional, Tuple, Type
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util import Retry, Timeout, parse_url

from imagebuild.registry.connections import LOCAL, Check, distance, pool_classes
from imagebuild.registry.exchange import Trust, WireError
from imagebuild.registry.mishaps import INVALID, classify
from imagebuild.registry.origin import Origin
from imagebuild.registry.proxies import Proxies
from imagebuild.registry.tls import tls_context, unverified_context

_CONNECT_SECONDS = 20.0
_IDLE_SECONDS = 60.0
# Storing what was sent takes a registry longer: it hashes and copies a layer of gigabytes before it answers.
_STORE_SECONDS = 300.0
# http.client hands a body to the socket in pieces of this size, and each piece has the connect timeout to go out.
_BLOCK = 1 << 16
_MAX_FINISH = 1 << 16
# What fails is said at once.
_NO_RETRY = Retry(0, read=False)


class Answer:
    """Status, headers and a body that is read raw: a Content-Encoding is never undone (CVE-2025-66471 and its family)."""

    def __init__(self, response: Any, url: str) -> None:
        self.url = url
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self._raw = response

    def header(self, name: str) -> str:
        return self.headers.get(name) or ""

    def all(self, name: str) -> List[str]:
        """Every header of that name; some of them can't be joined and split again."""
        values: List[str] = self._raw.headers.getlist(name)
        return values

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as some are there; empty at the end.

        :raises WireError: when the body breaks off before its length, or nothing comes for a minute.
        """
        try:
            piece: bytes = self._raw.read1(size, decode_content=False)
            return piece
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise classify(error) from None

    def finish(self) -> None:
        """Done with it: the connection is kept when little is left to read, else closed."""
        try:
            left = _MAX_FINISH
            while left > 0:
                piece = self.read(left)
                if not piece:
                    self._raw.release_conn()
                    return
                left -= len(piece)
        except WireError:
            pass
        self._raw.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self._raw.close()


class Wire:
    """Sends requests; thread-safe. Connections are kept and reused, by origin and `Trust`."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._managers: Dict[Tuple[Trust, str], urllib3.PoolManager] = {}
        self._contexts: Dict[Trust, ssl.SSLContext] = {}
        self._distances: Dict[Tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        trust: Trust,
        body: Optional[BinaryIO] = None,
        size: int = 0,
    ) -> Answer:
        """:raises WireError: when there is no answer. :raises UsageError: for CA or key files that can't be used."""
        origin = Origin.of(url)
        sent = dict(headers)
        if method not in ("GET", "HEAD"):
            sent["Content-Length"] = str(size)
        _refuse_odd(origin, sent)
        proxy = self._proxies.proxy_for(origin.scheme, origin.host, origin.port)
        trust = trust if origin.scheme == "https" else Trust(floor=trust.floor)
        target = _target(url)
        try:
            response = self._pool(origin, trust, proxy).urlopen(
                method,
                f"{origin}{target}" if proxy and origin.scheme == "http" else target,
                body=body if size else None,
                headers=sent,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                retries=_NO_RETRY,
                timeout=Timeout(
                    connect=_CONNECT_SECONDS, read=_STORE_SECONDS if size else _IDLE_SECONDS
                ),
            )
        except (urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise classify(error) from None
        return Answer(response, url)

    def distance(self, origin: Origin) -> int:
        """How far away `origin` was when last connected to (see `connections`); LOCAL where that isn't known."""
        return self._distances.get((origin.host, origin.port), LOCAL)

    def offers_tls(self, origin: Origin) -> bool:
        """Whether a TLS handshake succeeds at `origin`. It costs less than to find out with the system's CAs loaded."""
        try:
            with socket.create_connection(
                (origin.host, origin.port), _CONNECT_SECONDS
            ) as connection, unverified_context().wrap_socket(
                connection, server_hostname=origin.host
            ):
                return True
        except OSError:
            return False

    def close(self) -> None:
        for manager in self._managers.values():
            manager.clear()

    def _pool(self, origin: Origin, trust: Trust, proxy: str) -> HTTPConnectionPool:
        """Connections to `origin`; their TLS context is loaded once rather than for each."""
        options = {}
        with self._lock:
            if (trust, proxy) not in self._managers:
                self._managers[trust, proxy] = self._new_manager(trust, proxy)
            manager = self._managers[trust, proxy]
            if origin.scheme == "https":
                if trust not in self._contexts:
                    self._contexts[trust] = tls_context(trust)
                options["ssl_context"] = self._contexts[trust]
        return manager.connection_from_host(origin.host, origin.port, origin.scheme, options)

    def _new_manager(self, trust: Trust, proxy: str) -> urllib3.PoolManager:
        if proxy:
            proxy = proxy if "://" in proxy else f"http://{proxy}"
            return urllib3.ProxyManager(
                proxy, 16, proxy_headers=_proxy_headers(proxy), maxsize=32, blocksize=_BLOCK
            )
        manager = urllib3.PoolManager(16, maxsize=32, blocksize=_BLOCK)
        manager.pool_classes_by_scheme = pool_classes(self._check_peer(trust.floor))
        return manager

    def _check_peer(self, floor: int) -> Check:
        def check(connection: Any) -> None:
            if connection.proxy is not None:
                return  # the proxy decides who may be reached through it
            peer = connection.sock.getpeername()[0]
            found = distance(peer)
            if found < floor:
                connection.close()
                raise WireError("address", f"its address is {peer}", temporary=False)
            self._distances[connection.host, connection.port] = found

        return check


def _target(url: str) -> str:
    parts = urlsplit(url)
    if "/." in parts.path:
        return parse_url(url).request_uri
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _refuse_odd(origin: Origin, headers: Mapping[str, str]) -> None:
    """:raises WireError: for what would end a header early, and for a host that is none."""
    if origin.host.startswith(("*", ".")) or any(
        value != value.lstrip() or "\r" in value or "\n" in value for value in headers.values()
    ):
        raise WireError("invalid", INVALID, temporary=False)


def _proxy_headers(proxy: str) -> Dict[str, str]:
    parts = urlsplit(proxy)
    if not parts.username or parts.password is None:
        return {}
    identity = f"{unquote(parts.username)}:{unquote(parts.password)}"
    return {"Proxy-Authorization": f"Basic {b64encode(identity.encode('latin-1')).decode()}"}
