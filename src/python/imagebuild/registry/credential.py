"""One identity at a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True, repr=False)
class Credential:
    """Name and password, or an OAuth2 refresh token (`identity_token`), or a ready bearer token (`registry_token`)."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def secrets(self) -> Tuple[str, ...]:
        """What must never be shown."""
        return tuple(filter(None, (self.password, self.identity_token, self.registry_token)))

    def basic(self) -> str:
        """The value of an ``Authorization`` header (RFC 7617, UTF-8)."""
        import base64

        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode(
            "ascii"
        )

    def __repr__(self) -> str:
        return f"Credential({self.username!r}, ***)"
