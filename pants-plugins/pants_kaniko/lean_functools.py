"""The standard library's `functools`, as far as the core uses it: `collections`, which the original loads, is slow to start."""

from __future__ import annotations

# ruff: noqa: F401 - the names are for others
from _functools import _lru_cache_wrapper, partial  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional


def lru_cache(maxsize: Optional[int]) -> Any:
    def decorate(function: Any) -> Any:
        return _lru_cache_wrapper(function, maxsize, False, _info)

    return decorate


def _info(*numbers: int) -> Any:
    return numbers
