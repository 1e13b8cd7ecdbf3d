"""From an answer, or none, to an error that says what was tried, what came back and what to do."""

from __future__ import annotations

import json
from typing import Any, List, Mapping, Sequence, Tuple, Type

from imagebuild.errors import (
    AuthenticationError,
    NotFoundError,
    RateLimitedError,
    RegistryError,
    UnreachableError,
)
from imagebuild.registry.exchange import ANONYMOUS, Authorization, Reply, Request
from imagebuild.registry.origin import Origin, redact

MAX_ERROR_BODY = 1 << 16
_MAX_DETAIL = 300
_MAX_CODES = 8

_KINDS: Mapping[int, Type[RegistryError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    429: RateLimitedError,
}
_UNREACHABLE = {
    "refused": "check that the registry is running and that the port is right",
    "name": "check the host name, and the DNS and proxy settings of this machine",
    "certificate": "if the registry has a CA of its own, set `ca_file` for it; `insecure` accepts any certificate",
    "tls": "no TLS is spoken there; if the registry is plain HTTP on purpose, set `insecure` for it",
    "address": "a registry on the internet led to an address inside this network; nothing was sent there",
    "proxy": "check http_proxy, https_proxy and no_proxy",
    "timeout": "check the network and proxy settings, then try again",
    "broken": "try again; if it stays, look into the registry's log",
}


def unreachable(request: Request, kind: str, detail: str) -> UnreachableError:
    """No answer: `kind` and `detail` are those of a `WireError`."""
    return UnreachableError(
        f"{request.purpose}: {Origin.of(request.url)} can't be reached: {detail}",
        kind=kind,
        method=request.method,
        url=redact(request.url),
        hint=_UNREACHABLE.get(kind, ""),
    )


def failure(request: Request, reply: Reply, who: Authorization = ANONYMOUS) -> RegistryError:
    """The error of an answer that has another status than was hoped for (distribution-spec, "Error codes")."""
    codes, detail = _diagnose(reply.body, who.secrets)
    host = Origin.of(reply.url)
    said = f": {detail}" if detail else ""
    message, hint = {
        401: _unauthorized(who, host),
        403: (
            f"{host} does not allow it{said}",
            "use credentials that have this right, or ask for it",
        ),
        404: (f"{host} does not have it{said}", "check the name and the tag or digest"),
        429: (f"{host} limits the rate of requests{said}", "wait, or log in for a higher limit"),
    }.get(reply.status, (f"{host} answered {reply.status}{said}", _hint(reply.status)))
    return _KINDS.get(reply.status, RegistryError)(
        f"{request.purpose}: {message}",
        method=request.method,
        url=redact(reply.url),
        status=reply.status,
        codes=codes,
        hint=hint,
    )


def _unauthorized(who: Authorization, host: Origin) -> Tuple[str, str]:
    hub = host.host.endswith(".docker.io")
    login = "docker login" if hub else f"docker login {host.name}"
    if who.identity:
        return (
            f'{host} does not accept the credentials of "{who.identity}"',
            f"log in again: {login}",
        )
    # Many registries answer this for a repository that does not exist, not to tell the two apart.
    return (
        f"{host} asks for credentials, and there are none for it",
        f"check the name, or log in: {login}",
    )


def _hint(status: int) -> str:
    return "this is temporary on the registry's side; try again later" if status >= 500 else ""


def _diagnose(body: bytes, secrets: Sequence[str]) -> Tuple[Tuple[str, ...], str]:
    try:
        errors = json.loads(body)["errors"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return (), ""
    if not isinstance(errors, list):
        return (), ""
    entries = [entry for entry in errors[:_MAX_CODES] if isinstance(entry, dict)]
    codes = tuple(_clean(entry.get("code"), secrets) for entry in entries)
    details: List[str] = [_clean(entry.get("message"), secrets) for entry in entries]
    said = "; ".join(
        filter(None, (f"{code} {detail}".strip() for code, detail in zip(codes, details)))
    )
    return tuple(filter(None, codes)), said[:_MAX_DETAIL]


def _clean(value: Any, secrets: Sequence[str]) -> str:
    text = value if isinstance(value, str) else ""
    for secret in secrets:
        text = text.replace(secret, "***")
    return "".join(mark if mark.isprintable() else " " for mark in text)[:_MAX_DETAIL]
