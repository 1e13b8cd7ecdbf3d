"""The executor's libraries are fetched by a script of its own."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

from pants_kaniko import fetch
from support.fault_proxy import Exchange, Fault, FaultProxy, fault_proxy
from support.faults import reset, status
from support.laid_out import PYTHON
from support.registry import TestCA

FILES = {"one.whl": b"one" * 100_000, "two.whl": b"two"}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCA:
    return TestCA.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def index(ca: TestCA) -> Iterator[FaultProxy]:
    with fault_proxy(tls=ca) as server:
        yield server


def link(index: FaultProxy, name: str) -> str:
    return f"{index.url}/files/{name}#sha256={hashlib.sha256(FILES[name]).hexdigest()}"


def serve(index: FaultProxy) -> None:
    for name, content in FILES.items():
        index.on("GET", f"/{name}$", status(200, body=content))


def silent(_: Exchange) -> bool:
    time.sleep(1)
    return True


def fetched(directory: Path, ca_file: Path, *links: str) -> subprocess.CompletedProcess[bytes]:
    command = [*PYTHON, fetch.__file__, str(directory / "libraries"), *links]
    environment = {"SSL_CERT_FILE": str(ca_file)}
    return subprocess.run(command, capture_output=True, check=False, env=environment)


def test_all_files_are_there(tmp_path: Path, ca: TestCA, index: FaultProxy) -> None:
    serve(index)

    done = fetched(tmp_path, ca.ca_file, *(link(index, name) for name in FILES))

    assert (0, b"") == (done.returncode, done.stderr)
    found = {path.name: path.read_bytes() for path in (tmp_path / "libraries").iterdir()}
    assert FILES == found


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(200, body=b"other"), b" is not what the lockfile says"),
        (status(404), b": HTTP Error 404: Not Found"),
        (reset(), b": "),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(
    tmp_path: Path, ca: TestCA, index: FaultProxy, fault: Fault, said: bytes
) -> None:
    index.on("GET", "/two.whl$", fault)
    serve(index)

    done = fetched(tmp_path, ca.ca_file, *(link(index, name) for name in FILES))

    assert 1 == done.returncode
    assert done.stderr.startswith(f"{index.url}/files/two.whl".encode() + said), done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_a_server_that_nobody_vouches_for_is_not_asked(
    tmp_path: Path, ca: TestCA, index: FaultProxy
) -> None:
    serve(index)

    done = fetched(tmp_path, Path("/dev/null"), link(index, "one.whl"))

    assert 1 == done.returncode
    assert b"CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert [] == index.seen


def test_nor_is_one_without_tls(tmp_path: Path, ca: TestCA) -> None:
    with fault_proxy() as plain:
        serve(plain)

        done = fetched(tmp_path, ca.ca_file, link(plain, "one.whl"))

    assert 1 == done.returncode
    assert b"is not https" in done.stderr
    assert [] == plain.seen


def test_a_silent_server_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, ca: TestCA, index: FaultProxy
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.ca_file))
    monkeypatch.setattr(fetch, "SILENT", 0.2)
    index.on("GET", "/one.whl$", silent)

    with pytest.raises(OSError, match="/files/one.whl: .*timed out"):
        fetch.fetch(link(index, "one.whl"))
