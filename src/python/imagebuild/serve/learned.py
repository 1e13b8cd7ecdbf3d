"""What a request had to load and compile, so that those that come after it have it."""

from __future__ import annotations

import marshal
import sys
from contextlib import suppress
from typing import Any, List, Tuple


class Known:
    """What was loaded and compiled when it was made."""

    def __init__(self) -> None:
        self._modules, self._expressions = set(sys.modules), set(_expressions())

    def more(self) -> bytes:
        """What there is more of now, for `learn`; b"" for nothing."""
        modules = [name for name in sys.modules if name not in self._modules]
        expressions = [each for each in _expressions() if each not in self._expressions]
        return marshal.dumps((modules, expressions)) if modules or expressions else b""


def learn(more: bytes) -> None:
    """Load and compile it here.

    :param more: of a `Known` of another process.
    """
    modules, expressions = marshal.loads(more)  # noqa: S302 - a fork of ours wrote it
    for name in modules:
        with suppress(ImportError):
            __import__(name)
    for pattern, flags in expressions:
        sys.modules["re"].compile(pattern, flags)  # the original, which keeps them


def _expressions() -> List[Tuple[Any, int]]:
    """The regular expressions that `re` keeps: it compiles none of them again."""
    cache = getattr(sys.modules.get("re"), "_cache", {})
    return [(pattern, int(flags)) for _, pattern, flags in cache]
