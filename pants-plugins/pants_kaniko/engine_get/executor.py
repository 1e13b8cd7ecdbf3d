"""Make the executor."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Iterable

from pants.backend.python.util_rules import pex
from pants.backend.python.util_rules.pex import Pex, PexRequest
from pants.engine.fs import (
    CreateDigest,
    Digest,
    FileContent,
    MergeDigests,
    RemovePrefix,
)
from pants.engine.process import Process, ProcessResult
from pants.engine.rules import Get, collect_rules, rule
from pants.util.logging import LogLevel

import imagebuild
from pants_kaniko import shapes
from pants_kaniko.calls import Executor
from pants_kaniko.subsystem import KanikoExecutor


@dataclass(frozen=True)
class ExecutorSources:
    """The core, as it is installed beside this backend, and the script that lays it out."""

    digest: Digest


@rule(level=LogLevel.DEBUG)
async def executor_sources() -> ExecutorSources:
    root = Path(imagebuild.__path__[0])
    modules = [
        FileContent(f"{shapes.SOURCES}/imagebuild/{path.relative_to(root)}", path.read_bytes())
        for path in sorted(root.rglob("*.py"))
    ]
    ours = [
        FileContent(path, resources.read_binary("pants_kaniko", name))
        for path, name in shapes.EXECUTOR_FILES
    ]
    return ExecutorSources(await Get(Digest, CreateDigest([*modules, *ours])))


@rule(desc="Prepare the image executor", level=LogLevel.INFO)
async def executor(tool: KanikoExecutor, sources: ExecutorSources) -> Executor:
    libraries = await Get(Pex, PexRequest, tool.loose_pex_request())
    assert libraries.python is not None, "an internal PEX has one interpreter"
    digest = await Get(Digest, MergeDigests([libraries.digest, sources.digest]))
    made = await Get(
        ProcessResult,
        Process,
        shapes.install_process(libraries.python.path, libraries.name, digest),
    )
    installed = await Get(Digest, RemovePrefix(made.output_digest, shapes.EXECUTOR_DIR))
    link = f"{shapes.PYTHONS}/{libraries.python.fingerprint}"
    await Get(ProcessResult, Process, shapes.link_process(libraries.python.path, link))
    return Executor(installed, libraries.python.path, link)


def rules() -> Iterable[Any]:
    return (
        *collect_rules(),
        *pex.rules(),  # type: ignore[no-untyped-call]
        *KanikoExecutor.rules(),
    )
