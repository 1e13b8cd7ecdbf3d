"""A blob of 200 MB goes up and comes down in constant memory; and importing the client costs no HTTP library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.registry import RealRegistry

_PROGRAM = """
import hashlib, resource, sys
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import CredentialStore, RegistryClient

address, source, target = sys.argv[1:]
hasher = hashlib.sha256()
with open(source, "rb") as stream:
    for piece in iter(lambda: stream.read(1 << 20), b""):
        hasher.update(piece)
    size = stream.tell()
blob = Descriptor("application/octet-stream", Hash(hasher.hexdigest()), size)
repo = Repository(address, "team/large")
client = RegistryClient(credentials=CredentialStore.anonymous())
assert client.push_blob(repo, blob, lambda: open(source, "rb")) == "uploaded"
with open(target, "wb") as sink:
    client.get_blob(repo, blob, sink)
client.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

_IMPORT = """
import sys
import imagebuild.registry.client
print(sorted({"requests", "urllib3", "ssl", "http.client", "subprocess", "email"} & set(sys.modules)))
"""


def run(program: str, *arguments: str) -> str:
    # The path is handed over, so that the child imports what this process would.
    code = f"import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n{program}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def test_memory_of_a_large_blob(registry: RealRegistry, tmp_path: Path) -> None:
    source, target, piece = tmp_path / "source", tmp_path / "target", bytes(range(256)) * 4096
    with source.open("wb") as stream:
        for number in range(200):
            stream.write(number.to_bytes(4, "big") + piece[4:])

    kibibytes = int(run(_PROGRAM, registry.address, str(source), str(target)))

    assert source.stat().st_size == target.stat().st_size == 200 << 20
    assert kibibytes < 150 << 10


def test_import_is_lean() -> None:
    assert "[]" == run(_IMPORT)
