"""The processes that set the executor up, as plain functions from values to values; those that it runs in are in `shapes`."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import sys
import zipfile
from copy import copy
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple

from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest
from pants.backend.python.util_rules.pex_environment import PythonExecutable
from pants.engine.fs import Digest, FileContent
from pants.engine.process import Process, ProcessCacheScope
from pants.option.global_options import ca_certs_path_to_file_content
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from pants_kaniko import wheels
from pants_kaniko.shapes import EXECUTOR_DIR, MAIN, PYTHON_FLAGS, PYTHONS
from pants_kaniko.subsystem import KanikoExecutor

SOURCES, INSTALLER, CORE = "sources", "install.py", "core.bin"
FETCHER, CERTIFICATES, LIBRARIES = "fetch.py", "certificates.pem", "libraries"
ARCHIVE, MODULES = f"{SOURCES}/core.zip", f"{SOURCES}/core.txt"
EXECUTOR_FILES = (
    (INSTALLER, "install.py"),
    (f"{SOURCES}/dataclasses.py", "lean_dataclasses.py"),
    (f"{SOURCES}/certifi/core.py", "lean_certifi.py"),
    (f"{SOURCES}/{MAIN}", "executor_main.py"),
    *(
        (f"{SOURCES}/lean_{name}.py", f"lean_{name}.py")
        for name in "contextlib functools hashlib json later logging re typing".split()
    ),
)
"""What the executor is made of besides the core and its libraries: path in the sandbox, file of this package."""

SEEDED = FrozenDict({"PYTHONHASHSEED": "0"})
"""Sets in bytecode have an order, which this fixes."""

LINK = """\
import os, sys

python, link = sys.argv[1:]
new = f"{link}.{os.getpid()}"
os.symlink(python, new)
os.replace(new, link)
"""


def own_python(constraints: InterpreterConstraints) -> Optional[PythonExecutable]:
    """The Python that Pants runs on, where that will do. To look for another takes Pex some seconds; and there may be none: the
    launcher of Pants brings its own, and Pex 2.1.137 knows no Python that is newer than 3.11.
    """
    implementation, version = platform.python_implementation(), platform.python_version()
    if not any(each.project_name == implementation and version in each for each in constraints):
        return None
    path = Path(os.path.realpath(sys.executable))
    return PythonExecutable(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def made_for(python: PythonExecutable, request: PexRequest) -> PexRequest:
    """The request for an interpreter that its constraints allow. Pants lets nobody give both, though it takes the one to run Pex
    and compares the others with those of the lockfile; so it is not asked.
    """
    made = copy(request)
    object.__setattr__(made, "python", python)
    return made


def archived(package: Path) -> bytes:
    """The modules of a package as one file: Pants takes a third of a millisecond to lay out each, and does so three times."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package.parent).as_posix()
            members.writestr(zipfile.ZipInfo(name), path.read_bytes())  # of 1980, as all of them
    return archive.getvalue()


def module_paths(package: Path) -> bytes:
    """The modules that `archived` puts together, each in a line with its file."""
    lines = []
    for path in sorted(path.relative_to(package.parent) for path in package.rglob("*.py")):
        parts = path.parent.parts if path.stem == "__init__" else path.with_suffix("").parts
        lines.append(f"{'.'.join(parts)} {path.as_posix()}\n")
    return "".join(lines).encode()


def compile_process(python: str, sources: Digest) -> Process:
    """Compile what of the executor needs none of its libraries."""
    return Process(
        (*_installer(python), SOURCES, CORE),
        description="Compile the image executor",
        level=LogLevel.DEBUG,
        input_digest=sources,
        env=SEEDED,
        output_files=(CORE,),
    )


def links(tool: KanikoExecutor) -> Tuple[str, ...]:
    """The wheels that are its libraries for the Python that Pants runs on, where Pex would download them too: it asks no
    index for what a lockfile has. None where users have libraries of their own, or one has to be built.
    """
    lockfile = tool.own_lockfile
    return wheels.links(lockfile) if lockfile else ()


def fetch_files(ca_certs_path: Optional[str]) -> Tuple[FileContent, ...]:
    script = FileContent(FETCHER, resources.read_binary("pants_kaniko", FETCHER))
    if not ca_certs_path:
        return (script,)
    return script, replace(ca_certs_path_to_file_content(ca_certs_path), path=CERTIFICATES)


def fetch_process(
    python: str,
    links: Tuple[str, ...],
    files: Sequence[FileContent],
    digest: Digest,
    given: Mapping[str, str],
) -> Process:
    """Download wheels into `LIBRARIES`.

    :param files: of `fetch_files`, as they are in `digest`.
    :param given: the environment that users have subprocesses get: proxies, other certificates.
    """
    has_certificates = any(file.path == CERTIFICATES for file in files)
    own = {"SSL_CERT_FILE": CERTIFICATES} if has_certificates else {}
    return Process(
        (python, "-s", "-S", "-B", FETCHER, LIBRARIES, *links),
        description="Fetch the image executor's libraries",
        level=LogLevel.INFO,
        input_digest=digest,
        env={**own, **given},
        output_directories=(LIBRARIES,),
    )


def install_process(python: str, libraries: str, digest: Digest) -> Process:
    """Lay the executor out, once for each version of it.

    :param libraries: the directory with them, in `digest`.
    """
    return Process(
        (*_installer(python), libraries, SOURCES, EXECUTOR_DIR, CORE),
        description="Install the image executor",
        level=LogLevel.DEBUG,
        input_digest=digest,
        env=SEEDED,
        output_directories=(EXECUTOR_DIR,),
    )


def _installer(python: str) -> Tuple[str, ...]:
    return (python, "-s", "-S", "-B", INSTALLER)


def link_process(python: str, link: str) -> Process:
    """Make a link to `python` in the named cache. Once for each daemon, for caches are deleted now and then."""
    return Process(
        (python, *PYTHON_FLAGS, "-c", LINK, python, link),
        description="Link the interpreter of the image executor",
        level=LogLevel.DEBUG,
        append_only_caches={PYTHONS: PYTHONS},
        cache_scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL,
    )
