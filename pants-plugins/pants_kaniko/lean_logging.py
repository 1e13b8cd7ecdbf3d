"""The standard library's `logging`, for urllib3, which has no handler here: nothing of what it logs is ever shown."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEBUG = 10


class NullHandler:
    pass


class _Silent:
    def addHandler(self, handler: Any) -> None:  # noqa: N802 - the original's name
        pass

    def debug(self, *message: Any, **options: Any) -> None:
        pass

    info = warning = error = debug


def getLogger(name: str) -> _Silent:  # noqa: N802, ARG001 - the original's names
    return _Silent()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    import logging

    return getattr(logging, name)
