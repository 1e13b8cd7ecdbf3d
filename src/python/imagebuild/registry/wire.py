"""One HTTP exchange on `requests`: no retry, no redirect, no credential of its own. The only importer of third parties here.

`requests.Session` is left out on purpose. Even with redirects off it reads (and decodes) the body of a redirect, keeps cookies
and looks at the environment; its `HTTPAdapter` does none of that and is what holds the connections.
"""

from __future__ import annotations

import socket
import ssl
import threading
from types import TracebackType
from typing import Any, BinaryIO, Dict, List, Mapping, Optional, Tuple, Type

import urllib3
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from requests.models import PreparedRequest

from imagebuild.registry.connections import LOCAL, Check, distance, pool_classes
from imagebuild.registry.exchange import Trust, WireError
from imagebuild.registry.mishaps import classify
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


class Answer:
    """Status, headers and a body that is read raw: a Content-Encoding is never undone (CVE-2025-66471 and its family)."""

    def __init__(self, response: Any, url: str) -> None:
        self.url = url
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._raw = response.raw

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
        self._adapters: Dict[Trust, _Adapter] = {}
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
        request = PreparedRequest()
        try:
            request.prepare_method(method)
            request.prepare_url(url, None)
            request.prepare_headers(dict(headers))
            request.prepare_cookies({})
            if method not in ("GET", "HEAD"):
                request.headers["Content-Length"] = str(size)
            request.body = body if size else None  # type: ignore[assignment]
            proxy = self._proxies.proxy_for(origin.scheme, origin.host, origin.port)
            trust = trust if origin.scheme == "https" else Trust(floor=trust.floor)
            response = self._adapter(trust).send(
                request,
                stream=True,
                timeout=(_CONNECT_SECONDS, _STORE_SECONDS if size else _IDLE_SECONDS),
                proxies={origin.scheme: proxy} if proxy else {},
            )
        except (
            RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            UnicodeError,
        ) as error:
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
        for adapter in self._adapters.values():
            adapter.close()  # type: ignore[no-untyped-call]

    def _adapter(self, trust: Trust) -> _Adapter:
        with self._lock:
            if trust not in self._adapters:
                self._adapters[trust] = _Adapter(trust, self._check_peer(trust.floor))
            return self._adapters[trust]

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


class _Adapter(HTTPAdapter):
    """An adapter with its own TLS context, loaded once rather than for every connection."""

    def __init__(self, trust: Trust, check: Check) -> None:
        self._trust, self._check = trust, check
        self._context: Optional[ssl.SSLContext] = None
        super().__init__(pool_connections=16, pool_maxsize=32)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        super().init_poolmanager(  # type: ignore[no-untyped-call]
            connections, maxsize, block, blocksize=_BLOCK, **options
        )
        self.poolmanager.pool_classes_by_scheme = pool_classes(self._check)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(  # type: ignore[no-untyped-call]
            proxy, blocksize=_BLOCK, **options
        )

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        origin = Origin.of(request.url or "")
        host = {"scheme": origin.scheme, "host": origin.host, "port": origin.port}
        if origin.scheme != "https":
            return host, {}
        if self._context is None:
            self._context = tls_context(self._trust)
        return host, {"ssl_context": self._context}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context has it all; the inherited one would load a bundle for every new connection."""
