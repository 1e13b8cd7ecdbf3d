"""Which proxy a request goes through. The environment is read once, by the caller, and handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple


@dataclass(frozen=True)
class Proxies:
    """Proxies by scheme of the target, as curl and Go read them from the environment."""

    http: str = ""
    https: str = ""
    no_proxy: Tuple[str, ...] = ()

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Proxies:
        """Reads ``http_proxy`` (lower case only, CVE-2016-5388), ``https_proxy``, ``no_proxy`` and their upper case."""
        exempt = env.get("no_proxy") or env.get("NO_PROXY") or ""
        return Proxies(
            http=env.get("http_proxy", ""),
            https=env.get("https_proxy") or env.get("HTTPS_PROXY") or "",
            no_proxy=tuple(filter(None, (name.strip().lower() for name in exempt.split(",")))),
        )

    def proxy_for(self, scheme: str, host: str, port: int) -> str:
        """The proxy's URL for a target, or "" to connect directly."""
        if any(_exempts(rule, host.lower(), port) for rule in self.no_proxy):
            return ""
        return self.https if scheme == "https" else self.http

    def __repr__(self) -> str:
        # A proxy's URL may carry a password.
        return (
            f"Proxies(http={bool(self.http)}, https={bool(self.https)}, no_proxy={self.no_proxy})"
        )


def _exempts(rule: str, host: str, port: int) -> bool:
    if rule == "*":
        return True
    name, colon, number = rule.rpartition(":")
    if (
        colon
        and number.isdigit()
        and "]" not in number
        and (":" not in name or name.startswith("["))
    ):
        if int(number) != port:
            return False
        rule = name
    rule = rule.strip("[]")
    if "/" in rule:
        return _in_network(rule, host)
    suffix = rule.lstrip("*").lstrip(".")
    return host == suffix or host.endswith("." + suffix)


def _in_network(network: str, host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
