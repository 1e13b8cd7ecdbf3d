"""Origins (RFC 6454): a credential belongs to one scheme, host and port, and goes nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from imagebuild.errors import RegistryError

_PORTS = {"http": 80, "https": 443}
_DOCKER_HUB_HOST = "registry-1.docker.io"


@dataclass(frozen=True)
class Origin:
    scheme: str
    host: str
    port: int

    @staticmethod
    def of(url: str) -> Origin:
        """:raises RegistryError: unless `url` is absolute, HTTP(S), and without user info."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if parts.scheme not in _PORTS or not host or parts.username is not None or _is_odd(url):
            raise RegistryError(
                f'an answer leads to an address that is refused: "{redact(url)}"',
                url=redact(url),
                expected="an absolute http or https URL without a user name in it",
            )
        return Origin(parts.scheme, host.rstrip("."), port or _PORTS[parts.scheme])

    @staticmethod
    def of_registry(scheme: str, registry: str) -> Origin:
        """Where the registry that image names call `registry` is served."""
        return Origin.of(f"{scheme}://{_DOCKER_HUB_HOST if registry == 'docker.io' else registry}")

    @property
    def is_loopback(self) -> bool:
        """127.0.0.0/8, ::1 and ``localhost``: Docker speaks plain HTTP to these without being told."""
        return self.host in ("localhost", "::1") or _is_ipv4_loopback(self.host)

    @property
    def name(self) -> str:
        """``host`` or ``host:port``, as in image names."""
        return str(self).partition("://")[2]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def redact(url: str) -> str:
    """`url` fit for a message: no user info, query (signatures live there) or fragment, no control characters."""
    text = url.split("?", 1)[0].split("#", 1)[0]
    scheme, mark, rest = text.partition("://")
    if mark:
        authority, slash, path = rest.partition("/")
        text = f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
    return "".join(mark if mark.isprintable() else "?" for mark in text[:300])


def _is_ipv4_loopback(host: str) -> bool:
    numbers = host.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(number.isdigit() for number in numbers)


def _is_odd(url: str) -> bool:
    # Parsers disagree about these, and a disagreement is how a URL gets past a check.
    return any(mark in url for mark in "\\ \t\r\n") or not url.isascii()
