"""The executor's own `json`, `typing` and others do what the standard library's do, as far as the core uses them."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ast
import contextlib
import functools
import hashlib
import json
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

import imagebuild
import pants_kaniko.install  # noqa: F401 - for a process
from pants_kaniko import (
    lean_contextlib,
    lean_functools,
    lean_hashlib,
    lean_json,
    lean_later,
    lean_logging,
    lean_re,
    lean_typing,
)

LEAN = (lean_contextlib, lean_functools, lean_hashlib, lean_json, lean_re, lean_typing)
CORE = Path(imagebuild.__file__).parent

TEXTS: List[Any] = [
    '{"a": [1, -2.5e3, true, null, "\\u00e9\\n"]}',
    b' \n{"a":{}}\t',
    "NaN",
    '"\\ud800"',
    b'"\xc3\xa9"',
    bytearray(b"[1]"),
    "[1]".encode("utf-16"),
    b"\xef\xbb\xbf[]",
    "\ufeff[]",
    "[" * 100_000,
    "",
    "[1,]",
    "[1] 2",
    '{"a": "\x01"}',
    b'"\xff"',
    b"1\0",
    None,
]
VALUES: List[Any] = ["é\n", 1, True, None, {"b": [1.5, {}], "a": "\ud800"}, float("nan"), {1: 2}]
OPTIONS = [{}, {"sort_keys": True, "separators": (",", ":")}, {"ensure_ascii": False}]


def attempt(action: Callable[[], Any]) -> str:
    try:
        return repr(action())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text)[:20])
def test_json_is_read_alike(text: Any) -> None:
    assert attempt(lambda: json.loads(text)) == attempt(lambda: lean_json.loads(text))


@pytest.mark.parametrize("value", [*VALUES, float("inf"), {"a": object}, {1, 2}], ids=repr)
@pytest.mark.parametrize("options", [*OPTIONS, {"allow_nan": False}], ids=repr)
def test_json_is_written_alike(value: Any, options: Any) -> None:
    theirs = attempt(lambda: json.dumps(value, **options))
    ours = attempt(lambda: lean_json.dumps(value, **options))

    assert theirs.partition(":")[0] == ours.partition(":")[0]
    assert theirs == ours or "Error" in ours


@pytest.fixture
def nothing_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_hashlib._So, "far", 0)
    monkeypatch.setattr(lean_hashlib._So, "openssl", None)


def test_many_small_hashes_are_as_fast_as_large_ones(nothing_hashed: None) -> None:
    hashes = [lean_hashlib.sha256(bytes(1000)) for _ in range(lean_hashlib.SMALL // 1000 + 2)]

    assert isinstance(lean_hashlib.sha256(), type(hashlib.sha256()))
    assert {hashlib.sha256(bytes(1000)).hexdigest()} == {each.hexdigest() for each in hashes}


@pytest.mark.parametrize("size", [0, 1, lean_hashlib.SMALL, lean_hashlib.SMALL + 1])
def test_hashes_are_the_same(size: int, nothing_hashed: None) -> None:
    data = bytes(size)
    lean = lean_hashlib.sha256(data[:1])
    update: Any = lean.update
    update(memoryview(data)[1:])
    update(b"")
    update(b"more")

    assert hashlib.sha256(data).hexdigest() == lean_hashlib.sha256(data).hexdigest()
    assert hashlib.sha256(data + b"more").hexdigest() == lean.hexdigest()


def test_results_are_cached() -> None:
    calls: List[int] = []

    @lean_functools.lru_cache(maxsize=None)  # type: ignore[untyped-decorator]
    def cached(number: int) -> int:
        calls.append(number)
        return number

    assert [1, 2, 1] == [cached(1), cached(2), cached(1)]
    assert [1, 2] == calls
    assert vars(lean_functools)["partial"] is functools.partial


def test_expressions_are_compiled_when_they_are_used() -> None:
    broken = lean_re.compile("(")
    lazy = lean_re.compile(rb"(a)(?P<b>B)", lean_re.IGNORECASE)

    assert {"b": b"b"} == lazy.match(b"xab", 1).groupdict()
    assert [b"", b"a", b"b", b""] == lazy.split(b"ab")
    assert 2 == lazy.groups
    assert "a" == lean_re.sub("b", "", "ab")
    with pytest.raises(lean_re.error):
        broken.match("")


def test_nothing_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logger = lean_logging.getLogger("urllib3")
    logger.addHandler(lean_logging.NullHandler())
    logger.warning("%s", "heard", exc_info=True)

    assert ("", "") == capsys.readouterr()
    assert "StreamHandler" == lean_logging.StreamHandler.__name__


def raise_in(manager: Any, error: BaseException) -> str:
    def use() -> str:
        with manager() as value:
            if error.args:
                raise error
        return f"after {value}"

    return attempt(use)


def passes() -> Iterator[int]:
    yield 1


def swallows() -> Iterator[int]:
    try:
        yield 1
    except Exception:
        return


def translates() -> Iterator[int]:
    try:
        yield 1
    except Exception as error:
        raise KeyError("translated") from error


def goes_on() -> Iterator[int]:
    with contextlib.suppress(Exception):
        yield 1
    yield 2


def has_nothing() -> Iterator[int]:
    yield from ()


@pytest.mark.parametrize("error", [KeyError(), KeyError(1), StopIteration(1), RuntimeError(1)])
@pytest.mark.parametrize("function", [passes, swallows, translates, goes_on, has_nothing])
def test_generators_are_context_managers(function: Any, error: BaseException) -> None:
    theirs = raise_in(contextlib.contextmanager(function), error)
    ours = raise_in(lean_contextlib.contextmanager(function), error)

    assert theirs == ours


@pytest.mark.parametrize("kinds", [(), (KeyError,), (ValueError, LookupError)])
def test_errors_are_suppressed_alike(kinds: Any) -> None:
    def attempted(module: Any) -> str:
        return raise_in(lambda: module.suppress(*kinds), KeyError(1))

    assert attempted(contextlib) == attempted(lean_contextlib)


def test_a_module_is_loaded_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    module, function = (lean_later.Later("colorsys", *name) for name in ((), ("rgb_to_hsv",)))

    assert "colorsys" not in sys.modules
    assert (0.0, 0.0, 1.0) == module.rgb_to_hsv(1.0, 1.0, 1.0) == function(1.0, 1.0, 1.0)
    assert "colorsys" in sys.modules
    with pytest.raises(AttributeError, match="nothing"):
        _ = module.nothing


def test_what_is_not_lean_is_the_original() -> None:
    assert contextlib.ExitStack is lean_contextlib.ExitStack
    assert typing.NamedTuple is lean_typing.NamedTuple
    assert json.JSONDecodeError is lean_json.JSONDecodeError
    assert hashlib.md5 is lean_hashlib.md5


def test_the_c_part_of_signal_has_what_the_core_uses() -> None:
    used = {
        node.attr
        for path in CORE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "signal"
        and "import signal" in path.read_text()
    }

    assert len(used) > 10
    assert set() == {name for name in used if not hasattr(_signal, name)}


# Says of each dataclass of the core what `canonical` knows of its fields. It runs with either `typing`.
DESCRIBE = """
import contextlib, importlib, json, pkgutil, sys
import imagebuild
from imagebuild import canonical

def shape(kind):
    if kind is canonical.Any or kind is canonical.Union:
        return "special"
    origin = canonical.get_origin(kind)
    if origin is None:
        return getattr(kind, "__qualname__", repr(kind))
    return [shape(origin), *map(shape, canonical.get_args(kind))]

def described(cls):
    with contextlib.suppress(NameError):  # a name for type checkers only
        return {name: shape(kind) for name, kind in canonical._fields(cls).items()}

found = {}
for module in pkgutil.walk_packages(imagebuild.__path__, "imagebuild."):
    if not module.name.endswith("__main__"):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and "__dataclass_fields__" in vars(value):
                found[f"{value.__module__}.{value.__qualname__}"] = described(value)
print(json.dumps(found, sort_keys=True))
"""


# Has the core's modules import what those of the executor's bundle do.
LEANER = """
import importlib.machinery as machinery
from pants_kaniko import install

def source_to_code(self, data, path, **_):
    if "/imagebuild/" in path:
        return install.compiled("imagebuild", data, path)
    return compile(data, path, "exec", dont_inherit=True)

machinery.SourceFileLoader.source_to_code = source_to_code
"""


def test_annotations_mean_the_same(tmp_path: Path) -> None:
    for module in LEAN:
        source = Path(module.__file__ or "")
        (tmp_path / source.name).write_text(source.read_text())
    start = f"import sys; sys.path[:0] = {[str(tmp_path), str(CORE.parent), *sys.path]!r}"

    python = [sys.executable, "-X", f"pycache_prefix={tmp_path}"]  # nothing compiled by others

    expected, actual = (
        json.loads(subprocess.check_output([*python, "-c", code]))
        for code in (f"{start}\n{DESCRIBE}", f"{start}\n{LEANER}\n{DESCRIBE}")
    )

    assert len(expected) > 60
    for name in expected:
        assert expected[name] == actual[name], name
