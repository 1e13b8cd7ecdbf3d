"""The executor as processes find it, laid out with the libraries that the tests run with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import imagebuild
from pants_kaniko import (
    executor_main,
    install,
    lean_certifi,
    lean_contextlib,
    lean_dataclasses,
    lean_functools,
    lean_hashlib,
    lean_json,
    lean_later,
    lean_logging,
    lean_re,
    lean_typing,
)
from pants_kaniko.executor_setup import archived, module_paths

# Module -> its name in the executor, where that is another.
FILES = {
    executor_main: "main.py",
    lean_certifi: "certifi/core.py",
    lean_dataclasses: "dataclasses.py",
    **dict.fromkeys((lean_contextlib, lean_functools, lean_hashlib, lean_json), ""),
    **dict.fromkeys((lean_later, lean_logging, lean_re, lean_typing), ""),
}
PYTHON = [sys.executable, "-s", "-S", "-B"]


def archive(package: Path, sources: Path) -> None:
    """Put a package where the installer finds the core."""
    (sources / install.ARCHIVE).write_bytes(archived(package))
    (sources / install.MODULES).write_bytes(module_paths(package))


def laid_out(directory: Path) -> Path:
    """The executor, with the libraries that the tests run with."""
    sources, libraries = directory / "sources", directory / "libraries"
    sources.mkdir()
    libraries.mkdir()
    archive(Path(imagebuild.__path__[0]), sources)
    for module, name in FILES.items():
        source = Path(module.__file__ or "")
        place = sources / (name or source.name)
        place.parent.mkdir(exist_ok=True)
        place.write_text(source.read_text())
    for name in ("requests", "urllib3", "certifi", "idna", "isal", "zstandard"):
        found = Path(__import__(name).__path__[0])
        shutil.make_archive(str(libraries / name), "zip", found.parent, name)
    core, target = directory / "core.bin", directory / "executor"
    for arguments in ((sources, core), (libraries, sources, target, core)):
        command = [*PYTHON, install.__file__, *map(str, arguments)]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": "0"})
    return target
