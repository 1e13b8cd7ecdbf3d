"""The executor as it is laid out for processes: one directory, whose modules are in one file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pants_kaniko import install
from support.laid_out import PYTHON, laid_out


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laid_out(tmp_path_factory.mktemp("one"))


def origins(executor: Path, expression: str) -> str:
    code = (
        "import sys; sys.path[0] = sys.argv.pop(1); import main; "
        f"sys.meta_path.insert(0, main.Bundle(sys.path[0] + '/modules.bin')); {expression}"
    )
    return subprocess.check_output([*PYTHON, "-c", code, str(executor)]).decode()


def test_it_runs(executor: Path) -> None:
    said = subprocess.check_output([*PYTHON, str(executor / "main.py"), "--help"]).decode()

    assert "kaniko-executor" in said


def test_modules_come_from_the_one_file(executor: Path) -> None:
    said = origins(
        executor,
        "import json, urllib3, imagebuild.cli as cli; "
        "print(*(type(m.__loader__).__name__ for m in (json, urllib3, cli)))",
    )

    assert "Bundle Bundle Bundle" == said.strip()


def test_modules_of_the_core_get_lean_ones(executor: Path) -> None:
    said = origins(
        executor,
        "import imagebuild.canonical as c, imagebuild.runtime.supervise as s; "
        "print(c.json.__name__, s.signal.__name__, *(n in sys.modules for n in ('re', 'typing')))",
    )

    assert "lean_json _signal False False" == said.strip()


def test_libraries_are_found_without_looking(executor: Path) -> None:
    said = origins(executor, "sys.path[:] = []; import _json, zstandard.backend_c, isal.isal_zlib")

    assert "" == said


def test_what_is_nowhere_is_not_looked_for(executor: Path, tmp_path: Path) -> None:
    (tmp_path / "brotli.py").touch()
    said = origins(
        executor,
        f"sys.path.append({str(tmp_path)!r}); import urllib3.util; print('brotli' in sys.modules)",
    )

    assert "False" == said.strip()


def test_libraries_load_what_they_hardly_use_when_they_use_it(executor: Path) -> None:
    said = origins(
        executor,
        "import imagebuild.registry.wire, requests.utils as u, urllib; "
        "print(*(n in sys.modules for n in ('tempfile', 'urllib.request', 'zipfile'))); "
        "print(u._parse_list_header('a, b'), callable(urllib.request.build_opener))",
    )

    assert "False False False\n['a', 'b'] True" == said.strip()


def test_packages_find_what_lies_beside_them(executor: Path) -> None:
    where = origins(executor, "import certifi; print(certifi.where())").strip()

    assert os.path.realpath(where).endswith("cacert.pem")
    assert Path(where).stat().st_size > 100_000


def test_another_python_reads_the_sources(executor: Path) -> None:
    said = origins(
        executor,
        "sys.meta_path.pop(0); sys.version = 'another'; "
        "sys.meta_path.insert(0, main.Bundle(sys.path[0] + '/modules.bin')); "
        "import imagebuild.cli as cli; print(type(cli.__loader__).__name__)",
    )

    assert "SourceFileLoader" == said.strip()


def test_it_is_the_same_wherever_it_is_made(executor: Path, tmp_path: Path) -> None:
    other = laid_out(tmp_path)

    assert (executor / install.BUNDLE).read_bytes() == (other / install.BUNDLE).read_bytes()
    assert str(tmp_path).encode() not in (other / install.BUNDLE).read_bytes()
