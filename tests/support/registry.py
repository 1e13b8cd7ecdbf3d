"""A real registry (CNCF distribution, Debian's ``docker-registry``) on loopback, as a context manager.

    with running_registry(tmp_path) as registry:
        ... registry.address ...
    registry.accesses()   # what was asked of it: ("GET", "/v2/app/manifests/1", 200), ...
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Tuple

USER, PASSWORD = "canary-user", "canary-pa55word"
# bcrypt of PASSWORD at the lowest cost, as `htpasswd -nbB -C 4` prints it.
HTPASSWD = f"{USER}:$2y$04$abcdefghijklmnopqrstuuq4Jg/wXLM9Fgfo0JaAga0jPzgj3R1n2\n"

_ACCESS = re.compile(
    r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[0-9.]+" (?P<status>\d+) (?P<size>\d+)'
)
_START_SECONDS = 20


class Access(NamedTuple):
    """One line of the registry's access log; `size` is of the answer's body."""

    method: str
    path: str
    status: int
    size: int


@dataclass(frozen=True)
class TestCA:
    """A certificate authority of the test's own, and a server certificate for loopback names signed by it."""

    __test__ = False
    ca_file: Path
    cert_file: Path
    key_file: Path

    @staticmethod
    def make(directory: Path, *names: str) -> TestCA:
        import trustme

        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        leaf = authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
        made = TestCA(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
        authority.cert_pem.write_to_path(made.ca_file)
        made.cert_file.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(made.key_file)
        return made

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


@dataclass(frozen=True)
class RealRegistry:
    """A registry that runs now: its address as image names have it, its storage and its log."""

    address: str
    storage: Path
    access_log: Path
    error_log: Path

    def accesses(self, since: int = 0) -> Tuple[Access, ...]:
        """What was asked of it, in order, from the `since`-th on."""
        found = (_ACCESS.search(line) for line in self.access_log.read_text().splitlines())
        rows = [
            Access(m["method"], m["path"], int(m["status"]), int(m["size"])) for m in found if m
        ]
        return tuple(rows[since:])

    def blob_path(self, digest: str) -> Path:
        """The file that holds a blob, to damage it or to see whether it is there."""
        digits = digest.partition(":")[2]
        return self.storage / "docker/registry/v2/blobs/sha256" / digits[:2] / digits / "data"


@contextlib.contextmanager
def running_registry(
    directory: Path,
    *,
    password: bool = False,
    tls: Optional[TestCA] = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[RealRegistry]:
    """Run a registry with its storage and logs below `directory` until the block ends.

    :param password: ask for `USER` and `PASSWORD` (Basic).
    :param port: the same port again, to come back after a stop; 0 takes a free one.
    """
    program = shutil.which("docker-registry")
    assert program, "these tests need the program docker-registry (Debian package docker-registry)"
    directory.mkdir(parents=True, exist_ok=True)
    address = f"{host}:{port or free_port(host)}"
    registry = RealRegistry(
        address, directory / "storage", directory / "access.log", directory / "error.log"
    )
    config = directory / "config.json"  # JSON is YAML
    config.write_text(json.dumps(_config(registry, directory, password, tls)))
    with registry.access_log.open("ab") as out, registry.error_log.open("ab") as err:
        process = subprocess.Popen(
            [program, "serve", str(config)], stdout=out, stderr=err, cwd=directory
        )
    try:
        _wait(process, registry)
        yield registry
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        number: int = listener.getsockname()[1]
        return number


def _config(
    registry: RealRegistry, directory: Path, password: bool, tls: Optional[TestCA]
) -> object:
    http = {"addr": registry.address, "secret": "only for tests"}
    config = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(registry.storage)},
            "delete": {"enabled": True},
        },
        "http": http,
    }
    if tls is not None:
        config["http"] = {
            **http,
            "tls": {"certificate": str(tls.cert_file), "key": str(tls.key_file)},
        }
    if password:
        users = directory / "htpasswd"
        users.write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(users)}}
    return config


def _wait(process: subprocess.Popen[bytes], registry: RealRegistry) -> None:
    host, _, port = registry.address.rpartition(":")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(
        f"docker-registry does not start: {registry.error_log.read_text()[-2000:]}"
    )


def methods(accesses: Tuple[Access, ...]) -> List[str]:
    return [access.method for access in accesses]
