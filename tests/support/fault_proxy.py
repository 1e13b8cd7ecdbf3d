"""A server on loopback that records every request, and misbehaves on demand; in front of a registry or alone.

    with fault_proxy(upstream=registry.address) as proxy:
        proxy.on("PATCH", r"/blobs/uploads/", reset_after(1 << 20))          # once
        proxy.on("GET", r"/manifests/", status(503), times=3)
        ... client talks to proxy.address ...
    [seen.headers.get("authorization") for seen in proxy.seen]

A fault is a function that takes the `Exchange`; it answers, or returns False to let the request pass.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import re
import socketserver
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Pattern, Tuple
from urllib.parse import parse_qs, urlsplit

from support.registry import TestCA

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True)
class Seen:
    """One request as it came. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def query(self) -> Dict[str, List[str]]:
        return parse_qs(urlsplit(self.path).query)


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Tuple[Tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass
class Exchange:
    """A request being answered."""

    handler: http.server.BaseHTTPRequestHandler
    seen: Seen
    proxy: FaultProxy

    def answer(self, answered: Answered, *, cut_after: Optional[int] = None) -> bool:
        """Send it; with `cut_after` only so many bytes of the body under the full Content-Length, then hang up."""
        self.handler.send_response_only(answered.status)
        for name, value in answered.headers:
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.handler.send_header(name, value)
        length = next(
            (v for k, v in answered.headers if k.lower() == "content-length"),
            str(len(answered.body)),
        )
        if answered.status != 204:
            self.handler.send_header("Content-Length", length)
        self.handler.end_headers()
        if self.seen.method != "HEAD":
            self.handler.wfile.write(
                answered.body if cut_after is None else answered.body[:cut_after]
            )
        if cut_after is not None:
            self.handler.close_connection = True
        return True

    def forward(self) -> Answered:
        """What the upstream answers."""
        host, _, port = self.proxy.upstream.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        with contextlib.closing(connection):
            headers = {
                name: value for name, value in self.seen.headers.items() if name not in _HOP_BY_HOP
            }
            connection.request(self.seen.method, self.seen.path, self.seen.body or None, headers)
            response = connection.getresponse()
            return Answered(response.status, tuple(response.getheaders()), response.read())


Fault = Callable[[Exchange], bool]


@dataclass
class _Rule:
    method: str
    path: Pattern[str]
    fault: Fault
    times: int
    after: int


@dataclass
class FaultProxy:
    """See the module. `seen` grows with every request; `rules` are tried in order, each at most its `times`."""

    address: str
    scheme: str
    upstream: str
    context: Any = None  # the ssl.SSLContext, where it speaks TLS
    seen: List[Seen] = field(default_factory=list)
    rules: List[_Rule] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    def on(self, method: str, path: str, fault: Fault, *, times: int = 1, after: int = 0) -> None:
        """Apply `fault` to requests of `method` ("" for any) whose path has a match: `times` of them, once `after` have passed."""
        self.rules.append(_Rule(method, re.compile(path), fault, times, after))

    def requests(self, method: str = "", path: str = "") -> List[Seen]:
        return [
            one for one in self.seen if method in ("", one.method) and re.search(path, one.path)
        ]

    def all_bytes(self) -> str:
        """Everything that was shown to this server, to look for a secret in."""
        return "\n".join(
            f"{one.method} {one.path} {dict(one.headers)} {one.body!r}" for one in self.seen
        )

    def handle(self, exchange: Exchange) -> None:
        with self.lock:
            self.seen.append(exchange.seen)
            matching = [
                rule
                for rule in self.rules
                if self._applies(rule, exchange.seen) and not hasattr(rule.fault, "early")
            ]
        for rule in matching:
            with self.lock:
                if not _is_due(rule):
                    continue
            if rule.fault(exchange):
                return
        exchange.answer(exchange.forward() if self.upstream else Answered(404))

    @staticmethod
    def _applies(rule: _Rule, seen: Seen) -> bool:
        return rule.method in ("", seen.method) and rule.path.search(seen.path) is not None


def _is_due(rule: _Rule) -> bool:
    if rule.after > 0:
        rule.after -= 1
        return False
    rule.times -= 1
    return rule.times >= 0


@contextlib.contextmanager
def fault_proxy(
    upstream: str = "", *, host: str = "127.0.0.1", tls: Optional[TestCA] = None
) -> Iterator[FaultProxy]:
    """Serve on a free port of `host` until the block ends; without `upstream`, what no rule answers is a 404."""
    server = _Server((host, 0), _Handler)
    scheme = "https" if tls else "http"
    server.proxy = FaultProxy(f"{host}:{server.server_address[1]}", scheme, upstream)
    if tls is not None:
        server.tls = server.proxy.context = tls.server_context()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    tls: Any = None
    proxy: FaultProxy

    def finish_request(self, request: Any, client_address: Any) -> None:
        # The handshake is made in the request's own thread; who only knocks (a TLS probe, a reset) is not an error.
        with contextlib.suppress(OSError):
            if self.tls is None:
                super().finish_request(request, client_address)
                return
            with self.tls.wrap_socket(request, server_side=True) as encrypted:
                super().finish_request(encrypted, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 60
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):
            super().handle_one_request()
            return
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass

    def answer_any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        proxy, seen = self.server.proxy, Seen(self.command, self.path, headers)
        exchange = Exchange(self, seen, proxy)
        for rule in proxy.rules:
            if hasattr(rule.fault, "early") and proxy._applies(rule, seen) and _is_due(rule):
                proxy.seen.append(seen)
                rule.fault(exchange)
                return
        body = self.rfile.read(int(headers.get("content-length") or 0))
        exchange.seen = Seen(self.command, self.path, headers, body)
        proxy.handle(exchange)


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT"):
    setattr(_Handler, f"do_{_method}", _Handler.answer_any)
