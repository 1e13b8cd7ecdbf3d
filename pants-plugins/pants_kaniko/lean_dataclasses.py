"""The standard library's `dataclasses`, for a process that lives 50 ms; in the executor it takes that one's name.

A dataclass compiles its methods when it is defined: for the executor's sixty classes that, and importing `inspect` for it,
cost as much as all the rest of a small step. Here each method is compiled when it is first called, from the same kind of
source, so that a class that is used much is as fast as ever, and one that is not used costs nothing. Only the core's own
classes are made so: other modules that ask for `dataclasses` get the original's work, whatever they ask of it.

`tests/backend/test_lean_dataclasses.py` compares both over every dataclass of the core.
"""

# ruff: noqa: A002, ARG001 - the names are those of the original, and all makers of methods are called alike
from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Tuple

MISSING: Any = object()
Maker = Callable[[Any, str, bool], Any]
FEW = 3  # instances of a class are made without compiling anything for it
_FIELDS = "__dataclass_fields__"
_ORDER = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


class FrozenInstanceError(AttributeError):
    pass


class Field:
    """:param default_factory: MISSING, or what makes the default; :param hash: None to follow `compare`."""

    __slots__ = ("compare", "default", "default_factory", "hash", "init", "name", "repr", "type")

    def __init__(
        self, default: Any, default_factory: Any, init: bool, repr: bool, hash: Any, compare: bool
    ) -> None:
        self.name: str = ""
        self.type: Any = None
        self.default, self.default_factory = default, default_factory
        self.init, self.repr, self.hash, self.compare = init, repr, hash, compare


def field(*args: Any, **options: Any) -> Any:
    return _field(*args, **options) if _asked_by_core() else _original().field(*args, **options)


def _field(
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    init: bool = True,
    repr: bool = True,
    hash: Any = None,
    compare: bool = True,
) -> Any:
    return Field(default, default_factory, init, repr, hash, compare)


def dataclass(cls: Any = None, **options: Any) -> Any:
    if not _asked_by_core():
        return _original().dataclass(cls, **options)
    return _dataclass(cls, **options)


def _dataclass(
    cls: Any = None,
    *,
    init: bool = True,
    repr: bool = True,
    eq: bool = True,
    order: bool = False,
    frozen: bool = False,
) -> Any:
    def decorate(cls: Any) -> Any:
        return _decorated(cls, init, repr, eq, order, frozen)

    return decorate if cls is None else decorate(cls)


def _asked_by_core() -> bool:
    """Whether the caller's caller is a module of the core, on a Python whose annotations are read as they are here."""
    module = sys._getframe(2).f_globals.get("__name__", "")
    return str(module).partition(".")[0] == "imagebuild" and sys.version_info < (3, 14)


def _decorated(cls: Any, init: bool, repr: bool, eq: bool, order: bool, frozen: bool) -> Any:
    found = _collect(cls)
    setattr(cls, _FIELDS, found)
    makers = {
        **({"__init__": _init} if init else {}),
        **({"__repr__": _repr} if repr else {}),
        **({"__eq__": _eq} if eq else {}),
        **(dict.fromkeys(_ORDER, _comparison) if order else {}),
        **({"__hash__": _hash} if eq and frozen else {}),
    }
    if eq and not frozen and "__hash__" not in vars(cls):
        cls.__hash__ = None
    for name, make in makers.items():
        # A class that defines __eq__ has a __hash__ of None, which is not one of its own.
        if vars(cls).get(name) is None:
            setattr(cls, name, _lazy(cls, name, make, frozen))
    if frozen:
        cls.__setattr__, cls.__delattr__ = _frozen_setattr, _frozen_delattr
    return cls


def _collect(cls: Any) -> Dict[str, Field]:
    found: Dict[str, Field] = {}
    for base in cls.__mro__[-1:0:-1]:
        found.update(getattr(base, _FIELDS, {}))
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if str(annotation).startswith(("ClassVar", "typing.ClassVar")):
            continue
        default = vars(cls).get(name, MISSING)
        item = default if isinstance(default, Field) else _field(default=default)
        item.name, item.type = name, annotation
        if isinstance(default, Field):
            if item.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, item.default)
        found[name] = item
    return found


def _lazy(cls: Any, name: str, make: Maker, frozen: bool) -> Any:
    calls = iter(range(FEW if name == "__init__" else 0))

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is not None and _filled(cls, self, args, kwargs):
            return None
        made = make(cls, name, frozen)
        setattr(cls, name, made)
        return made(self, *args, **kwargs)

    return method


def _filled(cls: Any, instance: Any, args: Any, kwargs: Any) -> bool:
    """Do what `__init__` does; whether it could be done. What could not raises an error from the compiled one."""
    found = getattr(cls, _FIELDS)
    values = dict(zip(found, args))
    if len(args) > len(found) or not values.keys().isdisjoint(kwargs):
        return False
    values.update(kwargs)
    for name, item in found.items():
        if name not in values:
            if item.default is MISSING and item.default_factory is MISSING:
                return False
            given = item.default if item.default is not MISSING else item.default_factory()
            values[name] = given
    if len(values) > len(found):
        return False
    vars(instance).update(values)
    if hasattr(cls, "__post_init__"):
        instance.__post_init__()
    return True


def _compiled(cls: Any, name: str, parameters: str, body: List[str], names: Dict[str, Any]) -> Any:
    """A method from the lines of its body.

    :param names: what they may speak of, besides builtins.
    """
    scope: Dict[str, Any] = {}
    lines = [f"def made({', '.join(names)}):", f" def {name}({parameters}):"]
    lines.extend(f"  {line}" for line in body or ["pass"])
    lines.append(f" return {name}")
    exec("\n".join(lines), {}, scope)  # noqa: S102 - what the original does, too
    method = scope["made"](*names.values())
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    return method


def _init(cls: Any, name: str, frozen: bool) -> Any:
    names: Dict[str, Any] = {"_MISSING": MISSING, "_set": object.__setattr__}
    parameters, body = ["self"], []
    for item in getattr(cls, _FIELDS).values():
        given = item.name
        if item.default_factory is not MISSING:
            names[f"_factory_{item.name}"] = item.default_factory
            given = f"_factory_{item.name}() if {item.name} is _MISSING else {item.name}"
            parameters.append(f"{item.name}=_MISSING")
        elif item.default is not MISSING:
            names[f"_default_{item.name}"] = item.default
            parameters.append(f"{item.name}=_default_{item.name}")
        else:
            parameters.append(item.name)
        body.append(
            f"_set(self, {item.name!r}, {given})" if frozen else f"self.{item.name} = {given}"
        )
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    return _compiled(cls, name, ", ".join(parameters), body, names)


def _tuple(cls: Any, who: str, wanted: Callable[[Field], bool]) -> str:
    parts = [f"{who}.{item.name}," for item in getattr(cls, _FIELDS).values() if wanted(item)]
    return f"({' '.join(parts)})"


def _compares(item: Field) -> bool:
    return item.compare


def _hashes(item: Field) -> bool:
    return item.compare if item.hash is None else bool(item.hash)


def _eq(cls: Any, name: str, frozen: bool) -> Any:
    mine, other = _tuple(cls, "self", _compares), _tuple(cls, "other", _compares)
    body = [
        "if other.__class__ is self.__class__:",
        f" return {mine} == {other}",
        "return NotImplemented",
    ]
    return _compiled(cls, name, "self, other", body, {"NotImplemented": NotImplemented})


def _comparison(cls: Any, name: str, frozen: bool) -> Any:
    mine, other = _tuple(cls, "self", _compares), _tuple(cls, "other", _compares)
    body = [
        "if other.__class__ is self.__class__:",
        f" return {mine} {_ORDER[name]} {other}",
        "return NotImplemented",
    ]
    return _compiled(cls, name, "self, other", body, {"NotImplemented": NotImplemented})


def _hash(cls: Any, name: str, frozen: bool) -> Any:
    return _compiled(cls, name, "self", [f"return hash({_tuple(cls, 'self', _hashes)})"], {})


def _repr(cls: Any, name: str, frozen: bool) -> Any:
    shown = [item.name for item in getattr(cls, _FIELDS).values() if item.repr]

    def __repr__(self: Any) -> str:  # noqa: N807
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{self.__class__.__qualname__}({values})"

    return __repr__


def _frozen_setattr(self: Any, name: str, value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _frozen_delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def fields(cls_or_instance: Any) -> Tuple[Any, ...]:
    found = getattr(cls_or_instance, _FIELDS).values()
    if all(isinstance(item, Field) for item in found):
        return tuple(found)
    made: Tuple[Any, ...] = _original().fields(cls_or_instance)
    return made


def is_dataclass(thing: Any) -> bool:
    return hasattr(thing if isinstance(thing, type) else type(thing), _FIELDS)


def replace(instance: Any, **changes: Any) -> Any:
    for item in fields(instance):
        if item.init:
            changes.setdefault(item.name, getattr(instance, item.name))
    return instance.__class__(**changes)


def __getattr__(name: str) -> Any:
    """The original's, for a library that wants more."""
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    return getattr(_original(), name)


def _original() -> Any:
    module = sys.modules.get("_dataclasses_original")
    if module is None:
        import importlib.machinery
        import importlib.util

        path = [entry for entry in sys.path if entry != sys.path[0]]
        spec = importlib.machinery.PathFinder.find_spec("dataclasses", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["_dataclasses_original"] = module
        spec.loader.exec_module(module)
    return module
