"""Starts the executor: lies as ``main.py`` in its directory, beside the modules and ``modules.bin`` (see install.py).

A module that is in ``modules.bin`` is taken from there: with no directories to look through and no files to open, a small
step starts in four fifths of the time. Only under the very Python that it was made by; any other reads the sources, those of
the core from ``core.zip``.
What is imported here is in the interpreter already: `os` and `__future__` come out of the file, too.
"""

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, List, Optional

HERE = sys.path[0] if sys.path[0].startswith("/") else f"{posix.getcwd()}/{sys.path[0]}"
STDLIB = str(sys.modules["encodings"].__file__).rpartition("/encodings/")[0]
BUNDLE, ARCHIVE = "modules.bin", "core.zip"
# Collecting garbage while modules load, which make none, would be a tenth of a small step.
GARBAGE = 100_000


class Bundle:
    """An importer over one file: ``(version, {name: (is a package, of the standard library, path, start, length)})``, and
    the modules behind it, where those of no length are libraries of their own, and None stands for one that is nowhere. The length
    of the first part comes before it: from a file, `marshal` reads a few bytes at a time."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - for the life of the process
        head = self._file.read(int.from_bytes(self._file.read(4), "little"))
        version, table = marshal.loads(head)  # noqa: S302 - the installer wrote it
        self._table = table if version == sys.version else {}
        self._start = 4 + len(head)

    def find_spec(
        self, name: str, path: "Any" = None, target: "Any" = None
    ) -> "Optional[ModuleSpec]":
        if name not in self._table:
            return None
        found = self._table[name]
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        is_package, of_stdlib, place, _, length = found
        origin = f"{STDLIB if of_stdlib else HERE}/{place}"
        loader: Any = self if length else ExtensionFileLoader(name, origin)
        spec = ModuleSpec(name, loader, origin=origin, is_package=is_package)
        spec.has_location = True
        spec.cached = origin  # else it is worked out for each, and is nowhere
        if is_package:
            spec.submodule_search_locations = [origin.rpartition("/")[0]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module."""

    def exec_module(self, module: "ModuleType") -> None:
        *_, start, length = self._table[module.__name__]
        code = posix.pread(self._file.fileno(), length, self._start + start)
        exec(marshal.loads(code), module.__dict__)  # noqa: S102, S302 - as above

    def get_source(self, name: str) -> "Optional[str]":
        """For tracebacks; of the core alone, for others lie where they are found."""
        from zipimport import zipimporter

        package = name.rpartition(".")[0].replace(".", "/")
        return zipimporter(f"{HERE}/{ARCHIVE}/{package}").get_source(name)


def run(main: "Callable[[List[str]], int]") -> None:
    """Do what the command line asks for: one call of `main`, or to be a server that makes such calls."""
    arguments = sys.argv[1:]
    # -cp DIRECTORY NAME ARGUMENT ...: the form that Pants wants where a server may be used.
    if arguments[:1] == ["-cp"]:
        from imagebuild.serve import nailgun

        if arguments[2] == nailgun.SERVER:
            from imagebuild.serve.server import Server

            Server(main).serve()
        arguments = arguments[3:]
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    posix._exit(
        code
    )  # all files are closed; taking the interpreter down in good order would be 5 % of a small step


def start() -> None:
    gc.set_threshold(GARBAGE)
    sys.path[0] = HERE
    sys.path.append(f"{HERE}/{ARCHIVE}")
    sys.meta_path.insert(0, Bundle(f"{HERE}/{BUNDLE}"))
    from imagebuild.cli import main

    run(main)


if __name__ == "__main__":
    start()
