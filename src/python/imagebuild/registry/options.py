"""How to reach one registry. Plain values without secrets: they cross to the executor in requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class RegistryOptions:
    """Settings of one registry.

    :param address: ``host[:port]``, as it stands in image names.
    :param insecure: accept any certificate, and plain HTTP where there is no TLS (Docker's ``insecure-registries``).
    :param ca_file: PEM file of certificates to trust besides the system's.
    :param client_cert: PEM file shown to this registry and to nobody else; `client_key` may be in the same file.
    :param mirrors: ``host[:port][/prefix]``, tried in order before the registry itself, for pulls only.
    :param auth_hosts: ``host[:port]`` of token servers that may be given this registry's credentials, besides its own host.
    """

    address: str
    insecure: bool = False
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    mirrors: Tuple[str, ...] = ()
    auth_hosts: Tuple[str, ...] = ()
