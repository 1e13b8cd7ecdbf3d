"""Faults for `support.fault_proxy`: what servers, networks and attackers do."""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Set

from support.fault_proxy import Answered, Exchange, Fault, FaultProxy
from support.registry import PASSWORD, USER

BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def status(code: int, headers: Optional[Mapping[str, str]] = None, body: bytes = b"") -> Fault:
    """Answer with this."""
    return lambda exchange: exchange.answer(Answered(code, tuple((headers or {}).items()), body))


def short_body(size: int) -> Fault:
    """The upstream's answer, cut after `size` bytes of its body."""
    return lambda exchange: exchange.answer(exchange.forward(), cut_after=size)


def changed(change: Callable[[Answered], Answered]) -> Fault:
    """The upstream's answer, changed."""
    return lambda exchange: exchange.answer(change(exchange.forward()))


def with_headers(**headers: str) -> Fault:
    """The upstream's answer under other headers; a name's underscores are hyphens, "" leaves the header out."""
    new = {name.replace("_", "-").lower(): value for name, value in headers.items()}

    def change(answered: Answered) -> Answered:
        kept = [(name, value) for name, value in answered.headers if name.lower() not in new]
        return Answered(
            answered.status, (*kept, *((n, v) for n, v in new.items() if v)), answered.body
        )

    return changed(change)


def redirect_to(url: str, code: int = 307) -> Fault:
    """To the same path under another origin, or to `url` itself where it has a path."""

    def fault(exchange: Exchange) -> bool:
        target = url if url.count("/") > 2 else url + exchange.seen.path
        return exchange.answer(Answered(code, (("Location", target),)))

    return fault


def reset() -> Fault:
    """Read the request, then reset the connection."""

    def fault(exchange: Exchange) -> bool:
        _reset(exchange)
        return True

    return fault


def reset_after(size: int, *, deliver: bool = False) -> Fault:
    """Reset the connection when `size` bytes of the request's body have come; `deliver` hands these to the upstream first."""

    def fault(exchange: Exchange) -> bool:
        part = exchange.handler.rfile.read(size)
        if deliver:
            headers = {**exchange.seen.headers, "content-length": str(len(part))}
            exchange.seen = type(exchange.seen)(
                exchange.seen.method, exchange.seen.path, headers, part
            )
            exchange.forward()
        _reset(exchange)
        return True

    fault.early = True  # type: ignore[attr-defined]
    return fault


def endless(piece: bytes, pause: float, stop: threading.Event) -> Fault:
    """A body of unknown length that goes on until `stop` is set or nobody listens."""

    def fault(exchange: Exchange) -> bool:
        exchange.handler.send_response_only(200)
        exchange.handler.send_header("Connection", "close")
        exchange.handler.end_headers()
        exchange.handler.close_connection = True
        while not stop.wait(pause):
            exchange.handler.wfile.write(piece)
        return True

    return fault


def _reset(exchange: Exchange) -> None:
    connection = exchange.handler.connection
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.handler.close_connection = True
    connection.close()


@dataclass
class TokenRealm:
    """Bearer tokens for the registry behind `proxy`: every path below /v2/ needs one; ``/token`` on `server` gives them.

    :param server: who answers ``/token``; the proxy itself unless given.
    :param anonymous: whether a token without credentials is given.
    :param refresh_token: what an identity token must be.
    """

    proxy: FaultProxy
    server: FaultProxy
    anonymous: bool = False
    expires_in: Optional[int] = 300
    refresh_token: str = "canary-refresh-token"
    realm: str = ""
    valid: Dict[str, Set[str]] = field(default_factory=dict)

    def install(self) -> TokenRealm:
        self.server.on("", r"^/token", self.give, times=1 << 30)
        self.proxy.on("", r"^/v2/", self.guard, times=1 << 30)
        return self

    def revoke(self) -> None:
        self.valid.clear()

    def guard(self, exchange: Exchange) -> bool:
        token = exchange.seen.headers.get("authorization", "").partition("Bearer ")[2]
        wanted = _wanted(exchange.seen.method, exchange.seen.path)
        if token in self.valid and wanted <= self.valid[token]:
            headers = {
                name: value
                for name, value in exchange.seen.headers.items()
                if name != "authorization"
            }
            seen = exchange.seen
            exchange.seen = type(seen)(seen.method, seen.path, headers, seen.body)
            return False
        realm = self.realm or f"{self.server.url}/token"
        scope = "".join(f',scope="{one}"' for one in sorted(wanted))
        challenge = f'Bearer realm="{realm}",service="tests"{scope}'
        body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        return exchange.answer(Answered(401, (("WWW-Authenticate", challenge),), body))

    def give(self, exchange: Exchange) -> bool:
        seen = exchange.seen
        form = _form(seen.body)
        named = (
            seen.headers.get("authorization") == BASIC
            or form.get("refresh_token") == self.refresh_token
        )
        if not named and not (self.anonymous and "authorization" not in seen.headers and not form):
            return exchange.answer(
                Answered(401, (), b'{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}')
            )
        scopes = form["scope"].split() if form else seen.query.get("scope", [])
        token = f"canary-token-{len(self.server.seen)}-{len(self.valid)}"
        self.valid[token] = {
            f"{s.rpartition(':')[0]}:{a}" for s in scopes for a in s.rpartition(":")[2].split(",")
        }
        document: Dict[str, Any] = {"access_token" if form else "token": token}
        if self.expires_in is not None:
            document["expires_in"] = self.expires_in
        return exchange.answer(
            Answered(200, (("Content-Type", "application/json"),), json.dumps(document).encode())
        )


def _wanted(method: str, path: str) -> Set[str]:
    match = re.match(r"/v2/(.+)/(?:blobs|manifests|tags)/", path)
    if match is None:
        return set()
    return {f"repository:{match[1]}:{'pull' if method in ('GET', 'HEAD') else 'push'}"}


def _form(body: bytes) -> Dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(body.decode()))


SECRETS = (PASSWORD, BASIC.partition(" ")[2], "canary-token", "canary-refresh-token")


def saw_secret(server: FaultProxy) -> bool:
    """Whether any credential, or even an Authorization header, came to that server."""
    shown = any(secret in server.all_bytes() for secret in SECRETS)
    return shown or any("authorization" in seen.headers for seen in server.seen)


def ask_for_password(proxy: FaultProxy) -> None:
    """Let nothing pass without the test user's password; rules that are there already come after."""

    def guard(exchange: Exchange) -> bool:
        if exchange.seen.headers.get("authorization") == BASIC:
            return False
        return exchange.answer(Answered(401, (("WWW-Authenticate", 'Basic realm="tests"'),)))

    proxy.on("", "^/v2/", guard, times=1 << 30)
    proxy.rules.insert(0, proxy.rules.pop())
