"""Durations as kaniko's flags have them: Go's ``time.ParseDuration``, whole seconds at the least."""

from __future__ import annotations

import re
from typing import Optional

_UNITS = {"h": 3600, "m": 60, "s": 1}
_TERMS = re.compile(r"(?:[0-9]+[hms])+\Z")
_TERM = re.compile(r"([0-9]+)([hms])")


def seconds_of(text: str) -> Optional[int]:
    """Seconds of ``336h``, ``1h30m`` or a plain number of seconds; None for anything else.

    >>> seconds_of("1h30m"), seconds_of("90"), seconds_of("soon")
    (5400, 90, None)
    """
    if text.isdigit() and text.isascii():
        return int(text)
    if not _TERMS.match(text):
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in _TERM.findall(text))
