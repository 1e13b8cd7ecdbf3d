"""The standard library's `re`, but that an expression is compiled when it is first used; see LEAN in install.py.

A process uses one in ten of those that its modules define, and urllib3's of an IPv6 address alone takes 3 ms to compile.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_METHODS = (
    "findall",
    "finditer",
    "fullmatch",
    "match",
    "pattern",
    "search",
    "split",
    "sub",
    "subn",
)


def compile(pattern: Any, flags: Any = 0) -> Any:  # noqa: A001 - the original's name
    return _Later(pattern, flags)


class _Later:
    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        import re

        compiled = re.compile(*self._arguments)
        vars(self).update((method, getattr(compiled, method)) for method in _METHODS)
        return getattr(compiled, name)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    import re

    return getattr(re, name)
