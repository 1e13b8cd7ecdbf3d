"""Memory does not grow with a layer: 500 MB are written, pushed and pulled in under 150 MB, whatever the subcommand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

from imagebuild import canonical
from imagebuild.execute.pure_requests import ExportRequest, StepRequest, StepResult
from imagebuild.execute.requests import (
    CacheOptions,
    FetchRequest,
    LayerSource,
    PrepareRequest,
    PrepareResult,
    RecordEntry,
    RecordRequest,
    ResolveRequest,
    ResolveResult,
)
from imagebuild.llb.keys import StepGraph, input_steps
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.plan import PlannedStep, State, WantedImage
from support.builds import HERE, Machine

LIMIT = 150 << 10  # KiB
BIG = 500_000_000

# Runs a subcommand in this process and reports the most memory that it ever had.
# (VmHWM, because ru_maxrss still counts the process that forked.)
DRIVER = """
import sys
from imagebuild.cli import main
code = main(sys.argv[1:])
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
sys.exit(code)
"""


class Executor:
    """The executor as a client calls it, each time in a process of its own."""

    def __init__(self, machine: Machine) -> None:
        self._directory, self._calls = machine.directory, 0
        self.peaks: List[int] = []

    def call(self, subcommand: str, request: Any) -> Path:
        self._calls += 1
        given, answer = (
            self._directory / f"{self._calls}.{kind}" for kind in ("request", "result")
        )
        given.write_bytes(canonical.dumps(request))
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                DRIVER,
                subcommand,
                "--request",
                given,
                "--result",
                answer,
                "--store",
                "store",
            ],
            cwd=self._directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr.decode()
        self.peaks.append(int(done.stdout.split()[-1]))
        return answer


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_of_500_mb_passes_through_in_constant_memory(
    here: Machine, compression: str
) -> None:
    """Half of it random, half of it zeros, so that both the disk and the compressor have work."""
    executor = Executor(here)
    command = f"head -c {BIG // 2} /dev/urandom > /big; head -c {BIG // 2} /dev/zero >> /big"
    op = ExecOp(("/bin/sh", "-c", command), (("PATH", "/bin"),), "/", "", "host")
    cache = CacheOptions(here.cache)

    answer = executor.call("resolve", ResolveRequest((WantedImage(here.base, HERE),)))
    base = canonical.loads(ResolveResult, answer.read_bytes()).bases[0]
    sources = tuple(LayerSource(layer, (base.repository,)) for layer in base.layers)
    answer = executor.call("prepare", PrepareRequest(op, HERE, 0, sources, (), cache))
    step = canonical.loads(PrepareResult, answer.read_bytes()).step
    assert step is not None
    answer = executor.call("step", StepRequest(step, compression=compression))
    layer = canonical.loads(StepResult, answer.read_bytes()).layer
    assert layer is not None
    graph = StepGraph((), (PlannedStep(op, State()),), HERE, 0)
    executor.call(
        "record", RecordRequest((RecordEntry(input_steps(graph)[0], step, layer),), (), cache)
    )
    elsewhere = Executor(here.fresh("elsewhere"))
    elsewhere.call("fetch", FetchRequest((LayerSource(layer, (here.cache,)),)))
    elsewhere.call("export", ExportRequest(((layer.descriptor, "exported"),)))

    assert layer.descriptor.size > BIG // 2
    assert (
        layer.descriptor.size == (here.directory.parent / "elsewhere" / "exported").stat().st_size
    )
    assert [] == [peak for peak in executor.peaks + elsewhere.peaks if peak > LIMIT]
