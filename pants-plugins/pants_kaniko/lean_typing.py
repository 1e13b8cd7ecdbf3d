"""The standard library's `typing`, as far as the core's modules use it when they run; they get it in the executor's bundle.

Nearly all of what they import from there stands in annotations, which nobody evaluates but `canonical`. The original takes as
long to load as a small step's command to run. What is not here is the original's.
"""

from __future__ import annotations

# ruff: noqa: F401 - the names are for others
from _collections_abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from _collections_abc import Set as AbstractSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as _Any
    from typing import Dict as _Dict

Dict, FrozenSet, List, Set, Tuple, Type = dict, frozenset, list, set, tuple, type


class _Special:
    """What has no class of its own, alone (Any) or with arguments (Union[int, str])."""

    def __init__(self, name: str, origin: _Any = None, arguments: _Any = ()) -> None:
        self.name, self.__origin__, self.__args__ = name, origin, arguments

    def __getitem__(self, arguments: _Any) -> _Any:
        return _Special(self.name, self, arguments)

    def __mro_entries__(self, bases: _Any) -> _Any:
        """A class that is derived from it is made of the original."""
        import typing

        return (getattr(typing, self.name),)

    def __call__(self, *arguments: _Any) -> None:
        """`GenericAlias` takes only what could be called for a type."""


class _Union(_Special):
    def __getitem__(self, arguments: _Any) -> _Any:
        found: _Dict[_Any, None] = {}  # in order, each once, and those of a union in it among them
        for item in arguments if isinstance(arguments, tuple) else (arguments,):
            nested = get_origin(item) is Union
            found.update(dict.fromkeys(get_args(item) if nested else (_class(item),)))
        return _Special("Union", self, tuple(found)) if len(found) > 1 else next(iter(found))


class _Optional(_Special):
    def __getitem__(self, argument: _Any) -> _Any:
        return Union[argument, None]


Any, BinaryIO, NoReturn, ClassVar, ContextManager, Pattern = map(
    _Special, ("Any", "BinaryIO", "NoReturn", "ClassVar", "ContextManager", "Pattern")
)
Union, Optional = _Union("Union"), _Optional("Optional")


class Protocol:
    pass


def TypeVar(name: str, *_constraints: _Any, **_options: _Any) -> _Any:  # noqa: N802
    return _Special(name)


def cast(_kind: _Any, value: _Any) -> _Any:
    return value


def get_origin(kind: _Any) -> _Any:
    return getattr(kind, "__origin__", None)


def get_args(kind: _Any) -> _Any:
    return getattr(kind, "__args__", ())


def get_type_hints(cls: _Any, names: _Any) -> _Dict[str, _Any]:
    """The annotations of a class and its bases, evaluated among `names`."""
    return {
        name: _class(eval(text, names))  # noqa: S307 - our own source
        for base in reversed(cls.__mro__)
        for name, text in vars(base).get("__annotations__", {}).items()
    }


def _class(kind: _Any) -> _Any:
    return type(None) if kind is None else kind


def __getattr__(name: str) -> _Any:
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    import typing

    return getattr(typing, name)
