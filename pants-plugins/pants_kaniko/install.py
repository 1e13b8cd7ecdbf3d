"""Runs under the executor's interpreter: ``install.py LIBRARIES SOURCES TARGET CORE`` makes one directory of modules to start from.

A PEX finds its modules anew in every process, and even its virtual environment costs a shell and Python's `site`. One flat
directory starts in the time of Python itself; and most of that time is spent on finding, opening and reading modules, so
their bytecode is all in one file, with that of the standard library's modules which they use (see executor_main.py).

The first build on a machine waits for this, so each module is compiled once, and only if the executor loads it. What needs
no library is compiled while those are on their way: ``install.py SOURCES CORE`` writes the file that is then the last argument.
"""

from __future__ import annotations
import __future__

import _ast  # all that is used of `ast`
import gc
import marshal
import os
import re
import shutil
import sys
import zipfile
from _frozen_importlib import BuiltinImporter, ModuleSpec
from _frozen_importlib_external import PathFinder, SourceFileLoader, spec_from_file_location
from zipimport import zipimporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import AbstractSet, Any, Dict, Iterable, Iterator, List, Optional, Tuple

# Requests guesses the encoding of text with charset_normalizer, if it is there. The executor reads bytes. The others are no
# modules, or of a zstandard for a Python without C.
UNUSED = ("charset_normalizer-",)
UNUSED_FILES = (
    "*.dist-info *.pyc __pycache__ bin .layout.json .prefix _cffi.* backend_cffi.py".split()
)
# What loads all of requests and complains that there is no charset_normalizer; what complains that there is no SOCKS; what
# reads the metadata of installed packages to see whether it could speak HTTP/2.
EMPTIED = ("requests/__init__.py", "urllib3/contrib/socks.py", "urllib3/http2/__init__.py")
BUNDLE, ARCHIVE, MODULES = "modules.bin", "core.zip", "core.txt"
# Package -> what its modules get in the bundle instead of modules that load slowly. `_signal` and `_socket` are the C parts.
LEAN = {
    "imagebuild": {
        **{name: f"lean_{name}" for name in ("contextlib", "functools", "hashlib", "json")},
        "re": "lean_re",
        "signal": "_signal",
        "typing": "lean_typing",
    },
    "dataclasses": {"typing": "lean_typing"},
    "urllib3": {"json": "lean_json", "logging": "lean_logging", "re": "lean_re"},
    **{name: {"re": "lean_re"} for name in ("email", "http", "requests", "urllib")},
}
# Package -> modules that its own load when they first use them, or a function of them.
LATER: Dict[str, AbstractSet[str]] = {
    "http": {"urllib.request"},
    "requests": {"tempfile", "urllib.request", "zipfile"},
}
# What is loaded only when it is used, and is used now and then; LEAN's originals among it. What else there is of that kind,
# `argparse` say, comes from the standard library as it would anywhere.
USED = ("encodings.idna", "hashlib", "json", "re", "shutil", "signal", "subprocess")
# The library that parses Dockerfiles is with the client, and what the client alone starts with.
PARSER = "dockerfile_parse"
CLIENT = ("imagebuild.__main__", "imagebuild.check.", "imagebuild.dockerfile.", "imagebuild.lower")
# What of the standard library the libraries load besides: only to compile it in time, for the bundle has what does load.
AHEAD = "calendar hmac http.client http.cookiejar http.cookies mimetypes platform queue ssl".split()


def compile_core(sources: str, core: str) -> None:
    """Write the bytecode of the modules below `sources`, and of what they load of the standard library."""
    recorder = record(sources, sources, (*USED, *AHEAD), missing=None)
    with open(core, "wb") as file:
        marshal.dump((sys.version, recorder.codes), file)


def install(libraries: str, sources: str, target: str, core: str = "") -> None:
    """Lay out the libraries and the modules below `sources` in `target`.

    :param libraries: a directory of them, each an archive: a wheel, or what a packed PEX has of one.
    :param core: what `compile_core` wrote, if it was the same Python.
    """
    for name in sorted(os.listdir(libraries)):
        if not name.startswith(UNUSED):
            _unpack(os.path.join(libraries, name), target)
    for path in (os.path.join(target, name) for name in EMPTIED):
        if os.path.exists(path):
            os.truncate(path, 0)
    shutil.copytree(sources, target, dirs_exist_ok=True)
    codes: Dict[str, bytes] = {}
    if core:
        with open(core, "rb") as file:
            version, read = marshal.loads(file.read())  # noqa: S302 - this script wrote it
        codes = read if version == sys.version else {}
    recorder = record(target, sources, (*USED, "zstandard"), PARSER, codes)
    recorder.write(os.path.join(target, BUNDLE))


def _unpack(distribution: str, target: str) -> None:
    unused = shutil.ignore_patterns(*UNUSED_FILES)
    with zipfile.ZipFile(distribution) as members:
        for member in members.infolist():
            parts = member.filename.split("/")
            if not (member.is_dir() or ".." in parts or unused("", parts)):
                path = os.path.join(target, *parts)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.write(members.read(member))


def record(
    directory: str,
    sources: str,
    names: Iterable[str],
    missing: Optional[str],
    codes: Optional[Dict[str, bytes]] = None,
) -> Recorder:
    """Load the core, whose archive is in `sources`, after modules of other `names`; what it needs is below `directory`.

    :param missing: the library that may be missing; None for any.
    :param codes: modules that are compiled already.
    """
    gc.disable()  # of a tree of syntax it collects nothing, and looks at it again and again
    archive = os.path.abspath(os.path.join(sources, ARCHIVE))
    with open(os.path.join(sources, MODULES)) as file:
        modules = {name: f"{archive}/{path}" for name, path in map(str.split, file)}
    recorder = Recorder([os.path.abspath(directory), archive], modules, codes or {})
    recorder.record_loaded()
    sys.path[0] = os.path.abspath(directory)
    sys.meta_path[:] = [BuiltinImporter, recorder]
    for name in (*names, *modules):
        try:
            if not name.startswith(CLIENT):
                __import__(name)
        except ModuleNotFoundError as error:
            if missing not in (None, error.name):
                raise
    return recorder


class Recorder:
    """An importer that compiles modules as they are in the bundle, and keeps their bytecode.

    They also run here as they do in the executor, with what is lean for them, so that it gets nothing that only an
    original would load.
    """

    def __init__(self, roots: List[str], core: Dict[str, str], compiled: Dict[str, bytes]) -> None:
        self._roots, self._stdlib = roots, os.path.dirname(os.__file__)
        self._compiled = compiled
        self.codes: Dict[str, bytes] = {}
        self._nowhere: List[str] = []
        self._core, self._archive = core, zipimporter(roots[1])

    def record_loaded(self) -> None:
        """What this script itself loaded, and with it much of the standard library, but not what Python starts with."""
        names = list(sys.modules)
        for name in names[names.index("__main__") + 1 :]:
            spec = getattr(sys.modules[name], "__spec__", None)
            if spec and spec.name == name and isinstance(spec.loader, SourceFileLoader):
                self._code(spec)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        if name in self._core:  # zipimport itself would compile each to find it
            origin = self._core[name]
            inside = [os.path.dirname(origin)] if origin.endswith("/__init__.py") else None
            options: Any = {"loader": self, "submodule_search_locations": inside}
            return spec_from_file_location(name, origin, **options)
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            self._nowhere.append(name)
        elif isinstance(spec.loader, SourceFileLoader):
            spec.loader = self  # type: ignore[assignment] # it has what is asked of one
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        code = self._code(module.__spec__)
        exec(code, module.__dict__)  # noqa: S102 - it is what is installed

    def _code(self, spec: ModuleSpec) -> Any:
        assert spec.origin is not None
        if spec.name in self._compiled:
            self.codes[spec.name] = self._compiled[spec.name]
            return marshal.loads(self.codes[spec.name])  # noqa: S302 - as above
        ordinary = SourceFileLoader(spec.name, spec.origin)
        source = (self._archive if spec.name in self._core else ordinary).get_data(spec.origin)
        # Under a relative name, so that no path of this machine is in it.
        code = compiled(spec.name, source, self._place(spec.origin)[1])
        self.codes[spec.name] = marshal.dumps(code)
        return code

    def _place(self, origin: str) -> Tuple[bool, str]:
        """Whether it is of the standard library, and where below that or another directory."""
        for directory in self._roots:
            if origin.startswith(f"{directory}/"):
                return False, os.path.relpath(origin, directory)
        return True, os.path.relpath(origin, self._stdlib)

    def write(self, path: str) -> None:
        table: Dict[str, Optional[Tuple[bool, bool, str, int, int]]] = dict.fromkeys(self._nowhere)
        codes, start = [], 0
        for name, module in sorted(sys.modules.items()):
            origin = getattr(module, "__file__", None) or ""
            if name in self.codes:
                code = self.codes[name]
                is_package = os.path.basename(origin) == "__init__.py"
                table[name] = (is_package, *self._place(origin), start, len(code))
                codes.append(code)
                start += len(code)
            elif origin.endswith(".so"):
                table[name] = (False, *self._place(origin), 0, 0)
        head = marshal.dumps((sys.version, dict(sorted(table.items()))))
        with open(path, "wb") as bundled:
            bundled.writelines((len(head).to_bytes(4, "little"), head, *codes))


def compiled(name: str, source: bytes, path: str) -> Any:
    """The code of a module with what is lean for it, which few modules outside the core mention."""
    leaner = Leaner(name)
    if not leaner.concerns(source):
        return compile(source, path, "exec", dont_inherit=True)
    tree = _parsed(source, path)
    tree.body = leaner.leaned(tree.body)
    return compile(tree, path, "exec", leaner.flags, dont_inherit=True)


def _parsed(source: bytes, path: str) -> _ast.Module:
    tree = compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, _ast.Module)
    return tree


class Leaner:
    """Imports of a module get those of `LEAN`, and what is from ``__future__`` becomes a flag for `compile`.

    Only statements are looked at: a visitor of every node would take as long as all the rest.
    """

    def __init__(self, name: str) -> None:
        package = name.partition(".")[0]
        self._lean, self._later = LEAN.get(package, {}), LATER.get(package, frozenset())
        self.flags = 0

    def concerns(self, source: bytes) -> bool:
        names = "|".join(map(re.escape, ("__future__", *self._lean, *self._later)))
        return re.search(rf"\b({names})\b".encode(), source) is not None

    def leaned(self, body: List[_ast.stmt]) -> List[_ast.stmt]:
        found: List[_ast.stmt] = []
        for node in body:
            if isinstance(node, _ast.Import):
                found.extend(self._import(node))
            elif isinstance(node, _ast.ImportFrom):
                found.extend(self._import_from(node))
            else:
                self._within(node)
                found.append(node)
        return found

    def _within(self, node: _ast.AST) -> None:
        for field in ("body", "orelse", "finalbody"):
            if getattr(node, field, None):
                setattr(node, field, self.leaned(getattr(node, field)))
        for field in ("handlers", "cases"):
            for part in getattr(node, field, ()):
                self._within(part)

    def _import(self, node: _ast.Import) -> Iterator[_ast.stmt]:
        later = [item for item in node.names if item.name in self._later]
        node.names = [item for item in node.names if item not in later]
        for item in node.names:
            if item.name in self._lean:
                item.name, item.asname = self._lean[item.name], item.asname or item.name
        if node.names:
            yield node
        for item in later:
            yield from _later(item.asname or item.name, item.name)

    def _import_from(self, node: _ast.ImportFrom) -> Iterator[_ast.stmt]:
        name = "" if node.level else node.module or ""
        if name == "__future__":
            for item in node.names:
                self.flags |= getattr(__future__, item.name).compiler_flag
        elif name in self._later:
            for item in node.names:
                yield from _later(item.asname or item.name, name, item.name)
        else:
            node.module = self._lean.get(name, node.module)
            yield node


def _later(target: str, *named: str) -> List[_ast.stmt]:
    text = f"from lean_later import Later as later\n{target} = later{named!r}"
    return _parsed(text.encode(), "").body


if __name__ == "__main__":
    (install if len(sys.argv) > 3 else compile_core)(*sys.argv[1:])
