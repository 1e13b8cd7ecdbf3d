"""``WWW-Authenticate`` (RFC 7235 section 4.1), read as a list of challenges."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Tuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NEXT = re.compile(
    rf"""[\s,]*(?:
        (?P<key>{_TOKEN})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))
        |(?P<scheme>{_TOKEN})(?=[\s,]|\Z)
    )""",
    re.VERBOSE,
)
_MAX_LENGTH = 8192


@dataclass(frozen=True)
class Challenge:
    """``Bearer realm="..."``: the scheme in lower case, parameter names in lower case, values as sent."""

    scheme: str
    parameters: Tuple[Tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        return dict(self.parameters).get(name, "")


def parse_challenges(headers: Iterable[str]) -> Tuple[Challenge, ...]:
    """Every challenge in the order sent; text that is none ends the reading of its header."""
    return tuple(challenge for header in headers for challenge in _parse(header[:_MAX_LENGTH]))


def choose_challenge(headers: Iterable[str]) -> Optional[Challenge]:
    """The challenge to answer: the first Bearer with a realm, else the first Basic."""
    challenges = parse_challenges(headers)
    bearer = (one for one in challenges if one.scheme == "bearer" and one.parameter("realm"))
    basic = (one for one in challenges if one.scheme == "basic")
    return next(bearer, None) or next(basic, None)


def _parse(header: str) -> List[Challenge]:
    found: List[Tuple[str, Dict[str, str]]] = []
    at = 0
    while at < len(header):
        match = _NEXT.match(header, at)
        if match is None or match.end() == at:
            break
        at = match.end()
        if match["scheme"]:
            found.append((match["scheme"].lower(), {}))
        elif found:
            quoted = match["quoted"]
            value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(match["key"].lower(), value or "")
    return [Challenge(scheme, tuple(parameters.items())) for scheme, parameters in found]
