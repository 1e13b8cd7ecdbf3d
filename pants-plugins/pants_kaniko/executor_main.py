"""Starts the executor: lies as ``main.py`` in its directory, beside the modules and ``modules.bin`` (see install.py).

A module that is in ``modules.bin`` is taken from there: with no directories to look through and no files to open, a small
step starts in four fifths of the time. Only under the very Python that it was made by; any other reads the sources.
`_frozen_importlib`, because `importlib.machinery`, which has the same class, is a millisecond more.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Optional

HERE = os.path.abspath(sys.path[0])
STDLIB = os.path.dirname(os.__file__)
BUNDLE = "modules.bin"


class Bundle:
    """An importer over one file: ``(version, {name: (is a package, of the standard library, path, start, length)})``, and
    the modules behind it."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - for the life of the process
        version, table = marshal.load(self._file)  # noqa: S302 - the installer wrote it
        self._table = table if version == sys.version else {}
        self._start = self._file.tell()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        found = self._table.get(name)
        if found is None:
            return None
        is_package, of_stdlib, place, _, _ = found
        origin = f"{STDLIB if of_stdlib else HERE}/{place}"
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(origin)]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        *_, start, length = self._table[module.__name__]
        code = os.pread(self._file.fileno(), length, self._start + start)
        exec(marshal.loads(code), module.__dict__)  # noqa: S102, S302 - as above


def start() -> None:
    sys.path[0] = HERE
    sys.meta_path.insert(-1, Bundle(f"{HERE}/{BUNDLE}"))
    from imagebuild.cli import main

    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(
        code
    )  # all files are closed; taking the interpreter down in good order would be 5 % of a small step


if __name__ == "__main__":
    start()
