"""A case's context on disk, the same bytes for both builders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Set

from conformance.harness.bases import BASES
from conformance.harness.cases import Case, ContextFile
from conformance.harness.fixtures import FIXTURES
from conformance.harness.remotes import Remotes

_BASE = re.compile(r"(?<![\w/.-])base/(" + "|".join([*BASES, "multi"]) + r")(?![\w/-])")


def bases_of(case: Case) -> Set[str]:
    """The names of the bases that the case's Dockerfile has in it."""
    [file] = [file for file in case.files if file.path == case.dockerfile]
    return set(_BASE.findall(_data(file).decode("latin-1")))


def write(case: Case, directory: Path, registry: str, remotes: Remotes) -> None:
    """Write the files of `case` into `directory`; in the Dockerfile ``base/NAME`` becomes an image of `registry`."""
    directory.mkdir(parents=True)
    for file in case.files:
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.link:
            path.symlink_to(file.link)
        elif file.path.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            data = _data(file)
            if file.path == case.dockerfile:
                text = _BASE.sub(rf"{registry}/base/\1:1", data.decode("latin-1"))
                data = remotes.named(text).encode("latin-1")
            path.write_bytes(data)
            path.chmod(0o755 if "executable" in file.forms else 0o644)
    remotes.take(directory)


def _data(file: ContextFile) -> bytes:
    return FIXTURES[file.fixture]() if file.fixture else file.data
