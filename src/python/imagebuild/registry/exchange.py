"""What is asked and what comes back, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Callable, Optional, Sequence, Tuple

from imagebuild.registry.origin import Origin

MAX_ATTEMPTS = 5


class WireError(Exception):
    """No answer, or an answer that broke off.

    :param kind: "refused", "name", "timeout", "certificate", "tls", "proxy", "address", "broken" or "invalid".
    :param temporary: whether the same request may succeed a little later.
    """

    def __init__(self, kind: str, detail: str, *, temporary: bool) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.temporary = kind, detail, temporary


@dataclass(frozen=True)
class Trust:
    """Whom a connection believes, and who we are on it. One connection pool for each.

    :param floor: how near the peer may be: 0 anywhere, 1 not on this machine or its link, 2 only on the internet.
    """

    verify: bool = True
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    floor: int = 0


@dataclass(frozen=True)
class Request:
    """One request to a registry or a token server.

    :param purpose: what it is for, to begin an error message with: ``pulling "localhost:5000/app:1"``.
    :param open_body: opens the body from its start; called again for every attempt.
    :param size: bytes of the body.
    :param attempts: how often it is tried where failing is temporary.
    :param follow: whether redirects are followed.
    :param sent_by: the registry that named `url`, where that isn't the registry's own.
    :param allow_private: whether a registry on the internet may lead to a private address, as storage may have.
    """

    method: str
    url: str
    purpose: str
    headers: Tuple[Tuple[str, str], ...] = ()
    open_body: Optional[Callable[[], BinaryIO]] = None
    size: int = 0
    attempts: int = MAX_ATTEMPTS
    follow: bool = True
    sent_by: Optional[Origin] = None
    allow_private: bool = True


@dataclass(frozen=True)
class Reply:
    """An answer that was read to its end. Header names are lower case; `url` is where redirects led."""

    status: int
    url: str
    headers: Tuple[Tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of that (lower-case) name, or ""."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> Tuple[str, ...]:
        return tuple(value for key, value in self.headers if key == name)


class Authorization:
    """Who we are towards one origin. This one is nobody."""

    origin: Optional[Origin] = None

    def value(self) -> str:
        """The ``Authorization`` header to send, or "" for none."""
        return ""

    def refused(self, challenges: Sequence[str], sent: str) -> bool:
        """Take a 401 in; whether `value` has something new to try."""
        return False

    @property
    def identity(self) -> str:
        """The name behind it, for messages; "" for nobody."""
        return ""

    @property
    def secrets(self) -> Tuple[str, ...]:
        """Texts that must not show up in a message, even where a server echoes them."""
        return ()


ANONYMOUS = Authorization()
