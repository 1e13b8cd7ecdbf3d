"""Runs under the executor's interpreter: ``install.py PEX SOURCES TARGET`` makes one directory of modules to start from.

A PEX finds its modules anew in every process, and even its virtual environment costs a shell and Python's `site`. One flat
directory starts in the time of Python itself; and most of that time is spent on finding, opening and reading modules, so
their bytecode is all in one file, with that of the standard library's modules which they use (see executor_main.py).
"""

from __future__ import annotations
import __future__

import ast
import marshal
import os
import shutil
import subprocess  # noqa: TID251 - to load modules elsewhere than here
import sys
from typing import AbstractSet, Dict, Iterator, List, Optional, Tuple

# Requests guesses the encoding of text with it, if it is there. The executor reads bytes.
UNUSED = ("charset_normalizer-",)
# What loads all of requests and complains that there is no charset_normalizer; what complains that there is no SOCKS; what
# reads the metadata of installed packages to see whether it could speak HTTP/2.
EMPTIED = ("requests/__init__.py", "urllib3/contrib/socks.py", "urllib3/http2/__init__.py")
BUNDLE = "modules.bin"
# Package -> what its modules get in the bundle instead of modules that load slowly. `_signal` is the C part of `signal`.
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

# Prints the modules that all of ours load, but for those that parse Dockerfiles: their library is with the client; and
# behind "-" those that they try to load and that are nowhere.
LOADED = """\
import contextlib, pkgutil, sys
sys.path[0] = sys.argv[1]

class Nowhere:
    def find_spec(name, path=None, target=None):
        print(f"{name}=-")

sys.meta_path.append(Nowhere)
import encodings.idna, imagebuild, lean_hashlib, requests.adapters, zstandard
for module in pkgutil.walk_packages(imagebuild.__path__, "imagebuild."):
    if not module.name.endswith(".__main__"):
        with contextlib.suppress(ModuleNotFoundError):
            __import__(module.name)
print(*(f"{name}={getattr(module, '__file__', '')}" for name, module in sys.modules.items()), sep="\\n")
"""


def install(pex: str, sources: str, target: str) -> None:
    """Lay out the distributions of a loose PEX and the modules below `sources` in `target`."""
    distributions = os.path.join(pex, ".deps")
    for name in sorted(os.listdir(distributions)):
        if not name.startswith(UNUSED):
            _copy(os.path.join(distributions, name), target)
    for path in (os.path.join(target, name) for name in EMPTIED):
        if os.path.exists(path):
            os.truncate(path, 0)
    _copy(sources, target)
    bundle(target)


def _copy(source: str, target: str) -> None:
    unwanted = shutil.ignore_patterns("*.dist-info", "*.pyc", "__pycache__", "bin", ".prefix")
    shutil.copytree(source, target, ignore=unwanted, dirs_exist_ok=True)


def bundle(target: str) -> None:
    """Write the bytecode of all modules in `target`, and of the standard library's that they load."""
    stdlib = os.path.dirname(os.__file__)
    loaded = _loaded(target)
    found = {name: (stdlib, path) for name, path in _modules(stdlib) if name in loaded}
    found.update((name, (target, path)) for name, path in _modules(target))
    table: Dict[str, Optional[Tuple[bool, bool, str, int, int]]] = {}
    codes, start = [], 0
    for name, origin in loaded.items():
        if origin == "-":
            table[name] = None
        root = next((root for root in (target, stdlib) if origin.startswith(f"{root}/")), "")
        if root and origin.endswith(".so"):
            table[name] = (False, root == stdlib, os.path.relpath(origin, root), 0, 0)
    for name, (root, path) in sorted(found.items()):
        with open(os.path.join(root, path), "rb") as file:
            # Under a relative name, so that no path of this machine is in it.
            tree = ast.parse(file.read(), path)
        leaner = Leaner(name)
        tree = leaner.visit(tree)
        code = marshal.dumps(compile(tree, path, "exec", leaner.flags, dont_inherit=True))
        is_package = os.path.basename(path) == "__init__.py"
        table[name] = (is_package, root == stdlib, path, start, len(code))
        codes.append(code)
        start += len(code)
    head = marshal.dumps((sys.version, table))
    with open(os.path.join(target, BUNDLE), "wb") as bundled:
        bundled.writelines((len(head).to_bytes(4, "little"), head, *codes))


class Leaner(ast.NodeTransformer):
    """Imports of a module get those of `LEAN`, and what is from ``__future__`` becomes a flag for `compile`."""

    def __init__(self, name: str) -> None:
        package = name.partition(".")[0]
        self._lean, self._later = LEAN.get(package, {}), LATER.get(package, frozenset())
        self.flags = 0

    def visit_Import(self, node: ast.Import) -> List[ast.stmt]:  # noqa: N802
        later = [item for item in node.names if item.name in self._later]
        node.names = [item for item in node.names if item not in later]
        for item in node.names:
            if item.name in self._lean:
                item.name, item.asname = self._lean[item.name], item.asname or item.name
        found = [_later(item.asname or item.name, item.name) for item in later]
        return [*([node] if node.names else []), *(statement for one in found for statement in one)]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> List[ast.stmt]:  # noqa: N802
        name = "" if node.level else node.module or ""
        if name == "__future__":
            for item in node.names:
                self.flags |= getattr(__future__, item.name).compiler_flag
            return []
        if name in self._later:
            found = [_later(item.asname or item.name, name, item.name) for item in node.names]
            return [statement for one in found for statement in one]
        node.module = self._lean.get(name, node.module)
        return [node]


def _later(target: str, *named: str) -> List[ast.stmt]:
    return ast.parse(f"from lean_later import Later as later\n{target} = later{named!r}").body


def _loaded(target: str) -> Dict[str, str]:
    """The modules that all of ours load, and where they come from."""
    flags = ("-s", "-S", "-E", "-B", "-W", "ignore")
    said = subprocess.check_output([sys.executable, *flags, "-c", LOADED, target]).decode()
    return dict(line.split("=", 1) for line in sorted(said.splitlines()))


def _modules(root: str) -> Iterator[Tuple[str, str]]:
    """Name and relative path of every module below `root`."""
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name.isidentifier() and name != "__pycache__"]
        for file in files:
            if file.endswith(".py"):
                path = os.path.relpath(os.path.join(directory, file), root)
                module = path[: -len(".py")].replace(os.sep, ".")
                yield module[: -len(".__init__")] if file == "__init__.py" else module, path


if __name__ == "__main__":
    install(*sys.argv[1:])
