"""Layers of any size in constant memory: a process of its own, and its peak."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from support.tars import END, base256, padded, pax, raw_header, record

LIMIT = 150 << 10  # KiB; VmHWM, because ru_maxrss still counts the process that forked

WRITE_AND_EXTRACT = """
import os, resource, sys
from imagebuild.layer.capture import capture_upper
from imagebuild.layer.extract import extract_layer
from imagebuild.layer.writer import LayerWriter
tree, blob, target, compression = sys.argv[1:]
with open(blob, "wb") as out:
    writer = LayerWriter(out, compression=compression)
    capture_upper(tree, writer, epoch=1)
    written = writer.finish()
with open(blob, "rb", buffering=0) as stream:
    result = extract_layer(stream, os.open(target, os.O_RDONLY), helper=True)
assert result.diff_id == written.layer.diff_id
helped = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
assert helped or len(os.sched_getaffinity(0)) == 1, "no process has helped"
print(helped, *[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""

EXTRACT = """
import os, sys
from imagebuild.errors import ImageBuildError
from imagebuild.layer.extract import extract_layer
try:
    with open(sys.argv[1], "rb", buffering=0) as stream:
        extract_layer(stream, os.open(sys.argv[2], os.O_RDONLY))
except ImageBuildError as error:
    assert "larger" in str(error) or "follow" in str(error), error
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


def peak(script: str, *arguments: Any) -> int:
    """KiB of resident memory that a process with this script, or one that it forks, takes at most."""
    argv = [sys.executable, "-c", script, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE).stdout
    return max(map(int, printed.split()))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_of_500_mb(tmp_path: Path, compression: str) -> None:
    tree, target = tmp_path / "tree", tmp_path / "target"
    tree.mkdir()
    target.mkdir()
    with open(tree / "half", "wb") as file:
        for _ in range(250):
            file.write(os.urandom(1 << 20))
        file.truncate(500 << 20)

    assert peak(WRITE_AND_EXTRACT, tree, tmp_path / "blob", target, compression) < LIMIT
    assert 500 << 20 == (target / "half").stat().st_size


def test_a_layer_of_30_000_files(tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "target"
    target.mkdir()
    for number in range(30_000):
        path = tree / f"directory-{number // 500}"
        path.mkdir(parents=True, exist_ok=True)
        (path / f"a-file-with-some-name-{number}").write_bytes(b"%d" % number)

    assert peak(WRITE_AND_EXTRACT, tree, tmp_path / "blob", target, "gzip") < LIMIT


def zeros(size: int) -> Any:
    yield raw_header(b"zeros", size=base256(size))
    for _ in range(size >> 20):
        yield bytes(1 << 20)
    yield END


def bomb(path: Path, compress: Any, size: int) -> None:
    with open(path, "wb") as out:
        for piece in zeros(size):
            out.write(compress.compress(piece))
        out.write(compress.flush())


def test_a_large_file_of_zeros_in_a_small_layer(tmp_path: Path) -> None:
    """Row 13: 3 GiB out of a few hundred KiB take neither memory nor disk."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=3)
    bomb(
        tmp_path / "blob",
        zstandard.ZstdCompressor(compression_params=parameters).compressobj(),
        3 << 30,
    )
    (tmp_path / "target").mkdir()

    assert peak(EXTRACT, tmp_path / "blob", tmp_path / "target") < 512 << 10
    assert 3 << 30 == (tmp_path / "target" / "zeros").stat().st_size
    assert (tmp_path / "target" / "zeros").stat().st_blocks < 2048


BOMBS = {
    "PAX header of 1 GiB": raw_header(b"pax", kind=b"x", size=base256(1 << 30)) + bytes(64 << 20),
    "GNU name of 1 GiB": raw_header(b"name", kind=b"L", size=base256(1 << 30)) + bytes(64 << 20),
    "zeros behind the end": bytes(300 << 20),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_bombs(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "blob").write_bytes(gzip.compress(data, 1))
    (tmp_path / "target").mkdir()

    assert peak(EXTRACT, tmp_path / "blob", tmp_path / "target") < LIMIT
    assert [] == os.listdir(tmp_path / "target")


def test_a_sparse_file_of_10_gib(tmp_path: Path) -> None:
    """F26, the legitimate twin: the layer says where the data is, and the file has its holes."""
    size = 10 << 30
    records = record(b"GNU.sparse.map", b"0,4,5368709120,4") + record(
        b"GNU.sparse.size", b"%d" % size
    )
    data = pax(records, raw_header(b"sparse", size=b"%011o\0" % 8) + padded(b"headtail")) + END
    (tmp_path / "blob").write_bytes(data)
    (tmp_path / "target").mkdir()

    assert peak(EXTRACT, tmp_path / "blob", tmp_path / "target") < LIMIT
    with open(tmp_path / "target" / "sparse", "rb") as file:
        assert b"head\0" == file.read(5)
        file.seek(5 << 30)
        assert b"tail\0" == file.read(5)
    status = (tmp_path / "target" / "sparse").stat()
    assert (size, True) == (status.st_size, status.st_blocks < 2048)
