"""The one encoding of structure: what is hashed, what crosses to the executor, and what golden files hold.

`dumps` is JSON with sorted members, no white space and ASCII only, so equal values give equal bytes on every machine and
Python version. Names and lengths are part of the text, so two different values never share an encoding (kaniko joined its
parts with "-"; ``["RUN a", "RUN b"]`` and ``["RUN a-RUN b"]`` were one key).

`encode` and `decode` map frozen dataclasses to that JSON by their annotations. A member that has its default is left out,
so that a new option changes no key of a build that does not use it. `decode` is strict: a member that the class does not
have, or a value of another type, is an error, so that two versions of us never half-understand each other.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import lru_cache
from typing import (
    Any,
    Dict,
    FrozenSet,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from imagebuild.errors import MalformedError
from imagebuild.oci.hash import Hash

T = TypeVar("T")

_PLAIN = frozenset((type(None), bool, int, str))
_ENCODER = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=True,
    allow_nan=False,
    check_circular=False,  # `encode` gives a tree
)


def dumps(value: Any) -> bytes:
    """Canonical bytes of a JSON value or of a dataclass.

    :raises TypeError: for floats, sets and whatever else has no one canonical text.
    """
    return _ENCODER.encode(encode(value)).encode()


def fingerprint(value: Any) -> Hash:
    """sha256 of the canonical bytes."""
    return Hash.of(dumps(value))


def encode(value: Any) -> Any:
    """`value` as plain JSON types; a dataclass becomes an object, one with a ``KIND`` carries it as ``"kind"``."""
    cls: Any = type(value)
    if cls in _PLAIN:
        return value
    if cls is Hash:
        return str(value)
    if cls is tuple or cls is list:
        return [item if type(item) in _PLAIN else encode(item) for item in value]
    members = _members(cls)
    if members is not None:
        return _encode_dataclass(value, members)
    if isinstance(value, Mapping):
        return {_member(key): encode(item) for key, item in value.items()}
    for plain in (str, int, tuple, list):  # named tuples, and whatever else is derived from them
        if isinstance(value, plain):
            return encode(plain(value))
    raise TypeError(f"{cls.__name__} has no canonical encoding")


def _encode_dataclass(value: Any, members: Tuple[Tuple[str, Any], ...]) -> Dict[str, Any]:
    """Planning encodes some ten thousand members: nothing is called for those that are plain, or have their default."""
    kind = getattr(value, "KIND", None)
    document = {} if kind is None else {"kind": kind}
    for name, default in members:
        item = getattr(value, name)
        if item is not default:
            cls = type(item)
            if cls is not type(default) or item != default:  # of one type: False is no 0
                document[name] = item if cls in _PLAIN else encode(item)
    return document


def loads(cls: Type[T], data: Union[bytes, str]) -> T:
    """Parse JSON text and `decode` it.

    :raises MalformedError: when it is not JSON, or not a `cls`.
    """
    try:
        value: T = decode(cls, json.loads(data))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not a JSON {cls.__name__}: {error}") from None
    return value


def decode(cls: Any, document: Any, where: str = "$") -> Any:
    """The value of type `cls` that `document` encodes; the inverse of `encode`.

    :raises MalformedError: naming the place, the type expected and the value found.
    """
    if cls is Any:
        return document
    if cls is Hash:
        return Hash.parse(_expect(str, document, where))
    origin, arguments = get_origin(cls), get_args(cls)
    if origin is Union:
        return _decode_union(arguments, document, where)
    if origin is tuple:
        items = _expect(list, document, where)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(
                decode(arguments[0], item, f"{where}[{at}]") for at, item in enumerate(items)
            )
        if len(items) != len(arguments):
            raise MalformedError(f"{where} has {len(items)} items", expected=f"{len(arguments)}")
        return tuple(
            decode(kind, item, f"{where}[{at}]")
            for at, (kind, item) in enumerate(zip(arguments, items))
        )
    if dataclasses.is_dataclass(cls):
        return _decode_dataclass(cls, _expect(dict, document, where), where)
    return _expect(cls, document, where)


def _member(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"member name {key!r} is not a string")
    return key


def _expect(cls: Type[T], document: Any, where: str) -> T:
    if not isinstance(document, cls) or (isinstance(document, bool) and cls is not bool):
        raise MalformedError(f"{where} is {str(document)[:60]!r}", expected=cls.__name__)
    return document


def _decode_union(choices: Any, document: Any, where: str) -> Any:
    if document is None and type(None) in choices:
        return None
    choices = [choice for choice in choices if choice is not type(None)]
    if len(choices) == 1:
        return decode(choices[0], document, where)
    kind = _expect(dict, document, where).get("kind")
    for choice in choices:
        if getattr(choice, "KIND", None) == kind:
            return decode(choice, document, where)
    raise MalformedError(f"{where} is of unknown kind {kind!r}")


def _decode_dataclass(cls: Any, document: Dict[str, Any], where: str) -> Any:
    hints, members = _fields(cls), dict(document)
    if getattr(cls, "KIND", None) is not None and members.pop("kind", None) != cls.KIND:
        raise MalformedError(f"{where} is not of kind {cls.KIND!r}")
    odd = (members.keys() - hints.keys()) | (_required(cls) - members.keys())
    if odd:
        names = ", ".join(sorted(odd))
        raise MalformedError(f"{where} has other members than a {cls.__name__}: {names}")
    return cls(
        **{name: decode(hints[name], value, f"{where}.{name}") for name, value in members.items()}
    )


@lru_cache(maxsize=None)
def _members(cls: Any) -> Optional[Tuple[Tuple[str, Any], ...]]:
    """Name and default of each member of a dataclass, None for another class."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple((field.name, field.default) for field in dataclasses.fields(cls))


@lru_cache(maxsize=None)
def _fields(cls: Any) -> Dict[str, Any]:
    hints = get_type_hints(cls, vars(sys.modules[cls.__module__]))
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@lru_cache(maxsize=None)
def _required(cls: Any) -> FrozenSet[str]:
    return frozenset(
        field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING
    )
