"""Make the executor."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Iterable

from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.util_rules import pex
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import Pex, PexRequest
from pants.backend.python.util_rules.pex_environment import PythonExecutable
from pants.core.util_rules.subprocess_environment import SubprocessEnvironmentVars
from pants.engine.fs import (
    CreateDigest,
    Digest,
    FileContent,
    MergeDigests,
    RemovePrefix,
)
from pants.engine.platform import Platform
from pants.engine.process import FallibleProcessResult, Process, ProcessResult
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.option.global_options import GlobalOptions
from pants.util.logging import LogLevel

import imagebuild
from pants_kaniko import executor_setup, shapes
from pants_kaniko.calls import Executor
from pants_kaniko.subsystem import KanikoExecutor

logger = logging.getLogger(__name__)

LINUX = (Platform.linux_arm64, Platform.linux_x86_64)


@dataclass(frozen=True)
class ExecutorSources:
    """The core, as it is installed beside this backend, and the script that lays it out."""

    digest: Digest


@rule(level=LogLevel.DEBUG)
async def executor_sources() -> ExecutorSources:
    package = Path(imagebuild.__path__[0])
    core = [
        FileContent(executor_setup.ARCHIVE, executor_setup.archived(package)),
        FileContent(executor_setup.MODULES, executor_setup.module_paths(package)),
    ]
    ours = [
        FileContent(path, resources.read_binary("pants_kaniko", name))
        for path, name in executor_setup.EXECUTOR_FILES
    ]
    return ExecutorSources(await Get(Digest, CreateDigest([*core, *ours])))


@dataclass(frozen=True)
class ExecutorPython:
    """Its interpreter, and whether that is the one that Pants runs on."""

    python: PythonExecutable
    is_own: bool


@rule(level=LogLevel.DEBUG)
async def executor_python(constraints: InterpreterConstraints) -> ExecutorPython:
    own = executor_setup.own_python(constraints)
    if own is not None:
        return ExecutorPython(own, True)
    return ExecutorPython(await Get(PythonExecutable, InterpreterConstraints, constraints), False)


@dataclass(frozen=True)
class ExecutorLibraries:
    """Archives of what the core needs; `directory` is where they are in `digest`."""

    directory: str
    digest: Digest


@rule(level=LogLevel.DEBUG)
async def executor_libraries(
    its: ExecutorPython,
    tool: KanikoExecutor,
    setup: PythonSetup,
    options: GlobalOptions,
    environment: SubprocessEnvironmentVars,
) -> ExecutorLibraries:
    links = executor_setup.links(tool) if its.is_own else ()
    if links:
        files = executor_setup.fetch_files(options.ca_certs_path)
        digest = await Get(Digest, CreateDigest(files))
        process = executor_setup.fetch_process(
            its.python.path, links, files, digest, environment.vars
        )
        fetched = await Get(FallibleProcessResult, Process, process)
        if fetched.exit_code == 0:
            return ExecutorLibraries(executor_setup.LIBRARIES, fetched.output_digest)
        said = fetched.stderr.decode(errors="replace").strip()
        logger.info(f"Pex gets the image executor's libraries instead: {said}")
    request = executor_setup.made_for(its.python, tool.libraries_request(setup))
    pex = await Get(Pex, PexRequest, request)
    return ExecutorLibraries(f"{pex.name}/.deps", pex.digest)


@dataclass(frozen=True)
class CompiledCore:
    """The core in the bytecode of its interpreter, and the name of a link to that."""

    link: str
    digest: Digest


@rule(level=LogLevel.DEBUG)
async def compiled_core(its: ExecutorPython, sources: ExecutorSources) -> CompiledCore:
    python = its.python
    link = f"{shapes.PYTHONS}/{python.fingerprint}"
    compiled, _ = await MultiGet(
        Get(ProcessResult, Process, executor_setup.compile_process(python.path, sources.digest)),
        Get(ProcessResult, Process, executor_setup.link_process(python.path, link)),
    )
    return CompiledCore(link, compiled.output_digest)


@rule(desc="Prepare the image executor", level=LogLevel.INFO)
async def executor(
    tool: KanikoExecutor, setup: PythonSetup, sources: ExecutorSources, platform: Platform
) -> Executor:
    constraints = tool.constraints(setup)
    its = await Get(ExecutorPython, InterpreterConstraints, constraints)
    libraries, core = await MultiGet(  # the libraries mostly wait for the package index
        Get(ExecutorLibraries, ExecutorPython, its),
        Get(CompiledCore, ExecutorPython, its),
    )
    digest = await Get(Digest, MergeDigests([libraries.digest, sources.digest, core.digest]))
    made = await Get(
        ProcessResult,
        Process,
        executor_setup.install_process(its.python.path, libraries.directory, digest),
    )
    installed = await Get(Digest, RemovePrefix(made.output_digest, shapes.EXECUTOR_DIR))
    return Executor(installed, its.python.path, core.link, platform in LINUX)


def rules() -> Iterable[Any]:
    return (
        *collect_rules(),
        *pex.rules(),  # type: ignore[no-untyped-call]
        *KanikoExecutor.rules(),
    )
