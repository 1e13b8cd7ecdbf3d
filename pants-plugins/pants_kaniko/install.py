"""Runs under the executor's interpreter: ``install.py PEX SOURCES TARGET`` makes one directory of modules to start from.

A PEX finds its modules anew in every process, and even its virtual environment costs a shell and Python's `site`. One flat
directory starts in the time of Python itself; and most of that time is spent on finding, opening and reading modules, so
their bytecode is all in one file, with that of the standard library's modules which they use (see executor_main.py).
"""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess  # noqa: TID251 - to load modules elsewhere than here
import sys
from typing import Iterator, Tuple

# Requests guesses the encoding of text with it. The executor reads bytes, and would spend a fifth of its start on loading it.
UNUSED = ("charset_normalizer-",)
# Urllib3 reads the metadata of installed packages for this, to see whether it could speak HTTP/2: 15 modules more.
EMPTIED = ("urllib3/http2/__init__.py",)
BUNDLE = "modules.bin"

# Prints the modules that all of ours load, but for those that parse Dockerfiles: their library is with the client.
LOADED = """\
import contextlib, pkgutil, sys
sys.path[0] = sys.argv[1]
import imagebuild, requests.adapters
for module in pkgutil.walk_packages(imagebuild.__path__, "imagebuild."):
    if not module.name.endswith(".__main__"):
        with contextlib.suppress(ModuleNotFoundError):
            __import__(module.name)
print(*sys.modules)
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
    flags = ("-s", "-S", "-E", "-B", "-W", "ignore")
    loaded = subprocess.check_output([sys.executable, *flags, "-c", LOADED, target]).decode()
    wanted = set(loaded.split())
    found = {name: (stdlib, path) for name, path in _modules(stdlib) if name in wanted}
    found.update((name, (target, path)) for name, path in _modules(target))
    table, codes, start = {}, [], 0
    for name, (root, path) in sorted(found.items()):
        with open(os.path.join(root, path), "rb") as file:
            # Under a relative name, so that no path of this machine is in it.
            code = marshal.dumps(compile(file.read(), path, "exec", dont_inherit=True))
        is_package = os.path.basename(path) == "__init__.py"
        table[name] = (is_package, root == stdlib, path, start, len(code))
        codes.append(code)
        start += len(code)
    with open(os.path.join(target, BUNDLE), "wb") as bundled:
        marshal.dump((sys.version, table), bundled)
        bundled.writelines(codes)


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
