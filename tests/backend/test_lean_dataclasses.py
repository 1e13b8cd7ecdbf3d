"""The executor's own `dataclasses` does what the standard library's does: for every dataclass of the core, and more."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import imagebuild
from pants_kaniko import lean_dataclasses as lean

# Describes how each dataclass of the core behaves. It runs twice, once for each `dataclasses`.
DESCRIBE = """
import dataclasses, importlib, json, pkgutil, sys
import imagebuild

def values(cls, text):
    return {item.name: f"{text} {item.name}" for item in dataclasses.fields(cls)}

def attempt(action):
    try:
        return repr(action())
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:30]}"

def describe(cls):
    a, b = values(cls, "a"), values(cls, "b")
    cls.__post_init__ = lambda self: None
    return [
        [item.name for item in dataclasses.fields(cls)],
        attempt(lambda: cls(**a)),
        attempt(lambda: cls()),
        attempt(lambda: (cls(**a) == cls(**a), cls(**a) == cls(**b), cls(**a) == 1)),
        attempt(lambda: hash(cls(**a)) == hash(cls(**a))),
        attempt(lambda: cls(**a) < cls(**b)),
        attempt(lambda: cls(**a) >= cls(**b)),
        attempt(lambda: setattr(cls(**a), "x", 1)),
        attempt(lambda: dataclasses.replace(cls(**a), **b)),
    ]

found = {}
for module in pkgutil.walk_packages(imagebuild.__path__, "imagebuild."):
    if not module.name.endswith("__main__"):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and "__dataclass_fields__" in vars(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
print(json.dumps({name: describe(found[name]) for name in sorted(found)}))
"""


def described(*first: Path) -> Dict[str, List[Any]]:
    core = Path(imagebuild.__file__).parents[1]
    path = [*map(str, first), str(core), *sys.path]
    code = f"import sys; sys.path[:0] = {path!r}\n{DESCRIBE}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_every_dataclass_of_the_core_behaves_the_same(tmp_path: Path) -> None:
    source = Path(lean.__file__).read_text()
    (tmp_path / "dataclasses.py").write_text(source)
    expected, actual = described(), described(tmp_path)

    assert len(expected) > 60
    for name in expected:
        assert expected[name] == actual[name], name
    assert expected.keys() == actual.keys()


def pairs(source: str) -> Tuple[Any, Any]:
    """A class of both kinds."""
    made: List[Any] = []
    for module in (dataclasses, lean):
        scope: Dict[str, Any] = {"dataclass": module.dataclass, "field": module.field}
        exec("from __future__ import annotations\nfrom typing import ClassVar\n" + source, scope)
        made.append(scope["Made"])
    return made[0], made[1]


DEFAULTS = """
@dataclass(frozen=True)
class Made:
    a: int
    b: int = 2
    c: list = field(default_factory=list)
    d: int = field(default=3, compare=False, repr=False)
    def __post_init__(self):
        object.__setattr__(self, "c", [*self.c, self.a])
"""
INHERITED = """
@dataclass(frozen=True)
class Base:
    a: int
    b: int = 2
@dataclass(frozen=True)
class Made(Base):
    b: int = 3
    d: int = 4
"""
MUTABLE = """
@dataclass
class Made:
    a: int
    b: int = 5
"""
CASES = pytest.mark.parametrize(
    "source", [DEFAULTS, INHERITED, MUTABLE], ids=["defaults", "inherited", "mutable"]
)


@CASES
def test_constructors_are_the_same(source: str) -> None:
    theirs, ours = pairs(source)
    calls: List[Tuple[Tuple[int, ...], Dict[str, int]]] = [
        ((1,), {}),
        ((1, 9), {}),
        ((), {"a": 1, "b": 8}),
    ]

    for args, kwargs in calls:
        assert vars(theirs(*args, **kwargs)) == vars(ours(*args, **kwargs))
        assert repr(theirs(*args, **kwargs)) == repr(ours(*args, **kwargs))
    wrongs: List[Tuple[Any, ...]] = [(), (1, 2, [], 4, 5)]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            ours(*wrong)


@CASES
def test_replacing_and_comparing_is_the_same(source: str) -> None:
    theirs, ours = pairs(source)

    assert vars(dataclasses.replace(theirs(1), b=7)) == vars(lean.replace(ours(1), b=7))
    assert [theirs(1) == theirs(1), theirs(1) == theirs(2)] == [
        ours(1) == ours(1),
        ours(1) == ours(2),
    ]
    assert (theirs.__hash__ is None) == (ours.__hash__ is None)
    assert [True, True, False] == [lean.is_dataclass(item) for item in (ours, ours(1), int)]


def test_what_is_not_compared_makes_no_difference() -> None:
    _, ours = pairs(DEFAULTS.replace("[*self.c, self.a]", "(*self.c, self.a)"))

    assert ours(1, d=3) == ours(1, d=4)
    assert hash(ours(1, d=3)) == hash(ours(1, d=4))
    assert "d=" not in repr(ours(1))


def test_what_is_not_here_is_the_original() -> None:
    assert dataclasses.make_dataclass.__doc__ == lean.make_dataclass.__doc__


def test_the_original_is_not_loaded_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "dataclasses.py").write_text(Path(lean.__file__).read_text())
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom dataclasses import dataclass, field\n"
    flags = ("-s", "-S", "-E")  # as the executor is started
    subprocess.run(
        [sys.executable, *flags, "-c", code + "assert 'inspect' not in sys.modules"], check=True
    )
