"""Errors of the transport, said as those of an ADD: the transport's own speak of registries, and of logging in to them."""

from __future__ import annotations

from imagebuild.errors import ImageBuildError, RegistryError, RemoteError, UnreachableError
from imagebuild.registry.origin import Origin

_KINDS = {
    "refused": "check that the server is running and that the port is right",
    "name": "check the host name, and the DNS and proxy settings of this machine",
    "certificate": "nobody that this machine trusts vouches for the server: add its CA to the system's, or name it by "
    "SSL_CERT_FILE",
    "tls": "no TLS is spoken there; check the URL's scheme and port",
    "address": "a server on the internet led to an address inside this network; nothing was sent there",
    "proxy": "check http_proxy, https_proxy and no_proxy",
    "timeout": "check the network and proxy settings, then try again",
    "broken": "try again; if it stays, look into the server's log",
    "invalid": "check the URL",
}
_LOGIN = "ADD sends no credentials: make the file readable for all, or fetch it in a RUN that has the token as a secret mount"
_STATUSES = {
    401: ("asks for credentials", _LOGIN),
    403: ("does not allow it", _LOGIN),
    404: ("does not have it", "check the URL"),
    410: ("does not have it any more", "check the URL"),
    429: ("limits the rate of requests", "wait, and try again"),
}


def translated(error: ImageBuildError, purpose: str) -> RemoteError:
    """`error` of the transport while doing `purpose`; others of our errors keep their words and code."""
    if isinstance(error, UnreachableError):
        return RemoteError(error.message, hint=_KINDS.get(error.kind, ""))
    if isinstance(error, RegistryError) and error.status and error.url:
        later = "this is temporary on the server's side; try again later"
        said, hint = _STATUSES.get(
            error.status, (f"answered {error.status}", later if error.status >= 500 else "")
        )
        return RemoteError(f"{purpose}: {Origin.of(error.url)} {said}", hint=hint)
    message = error.message if error.message.startswith(purpose) else f"{purpose}: {error.message}"
    made = RemoteError(message, expected=error.expected, hint=error.hint)
    if not isinstance(error, RegistryError):
        made.exit_code = error.exit_code
    return made
