"""Which token server may see a registry's credentials.

A registry names its token server itself (``realm``), so a hostile registry, or one on a hijacked connection, would name its
own (CVE-2026-48978). Credentials go to the registry's own host, to pairs that are known to belong together, and to hosts that
the user listed. Anybody else gets an anonymous request at most.
"""

from __future__ import annotations

from typing import Sequence

from imagebuild.errors import AuthenticationError, RegistryError
from imagebuild.registry.origin import Origin, redact

_KNOWN = {
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}


def judge_realm(registry: Origin, realm: str, listed: Sequence[str] = ()) -> bool:
    """Whether credentials for `registry` may be sent to `realm`; False allows an anonymous request only.

    :raises AuthenticationError: when nothing at all may be sent there.
    """
    try:
        there = Origin.of(realm)
    except RegistryError:
        raise AuthenticationError(
            f'{registry} names "{redact(realm)}" as its token server, which is refused',
            expected="an absolute URL",
        ) from None
    if registry.scheme == "https" and there.scheme != "https":
        raise AuthenticationError(
            f"{registry} names {there} as its token server, which is refused: it is not encrypted",
            expected="https",
        )
    if there.host == registry.host:
        return True
    if there.scheme == "https" and there.port == 443 and _KNOWN.get(registry.host) == there.host:
        return True
    return any(Origin.of_registry(there.scheme, name) == there for name in listed)
