"""Call the executor."""

from __future__ import annotations

import logging
import secrets  # noqa: TID251 - for a name that is never hashed into a result
from typing import Any, Iterable

from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.fs import EMPTY_DIGEST, CreateDigest, Digest, FileContent, MergeDigests
from pants.engine.process import FallibleProcessResult, Process
from pants.engine.rules import Get, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild.errors import EXIT_NOT_FOR_LONG
from pants_kaniko import shapes
from pants_kaniko.calls import (
    Daemon,
    EffectEnvironment,
    Executor,
    ExecutorAnswer,
    ExecutorCall,
)
from pants_kaniko.subsystem import KanikoSubsystem

logger = logging.getLogger(__name__)


@rule(level=LogLevel.DEBUG)
async def effect_environment(options: KanikoSubsystem.EnvironmentAware) -> EffectEnvironment:
    variables = await Get(EnvironmentVars, EnvironmentVarsRequest(options.env_vars))
    return EffectEnvironment(variables)


@rule(level=LogLevel.DEBUG)
async def this_daemon() -> Daemon:
    return Daemon(f"daemon {secrets.token_hex(8)}")


@rule(level=LogLevel.DEBUG)
async def call_executor(
    call: ExecutorCall, executor: Executor, environment: EffectEnvironment, daemon: Daemon
) -> ExecutorAnswer:
    digest = await Get(Digest, CreateDigest([FileContent(shapes.REQUEST, call.request)]))
    if call.files != EMPTY_DIGEST:
        digest = await Get(Digest, MergeDigests([digest, call.files]))
    try:
        process = shapes.process(executor, call, digest, environment.variables, daemon)
        result = await Get(FallibleProcessResult, Process, process)
    except Exception as error:
        # It could not be started: the named caches were emptied, and with them the link to the interpreter. Or its server
        # was killed.
        logger.debug("starting the executor by the interpreter's own path: %s", error)
        process = shapes.process(
            shapes.alone(executor), call, digest, environment.variables, daemon
        )
        result = await Get(FallibleProcessResult, Process, process)
    answered = result.exit_code in (shapes.EXIT_OK, EXIT_NOT_FOR_LONG)
    return ExecutorAnswer(
        shapes.EXIT_OK if answered else result.exit_code,
        result.stdout if answered else b"",
        result.stderr.decode("utf-8", "replace"),
        result.output_digest,
        result.metadata.total_elapsed_ms or 0,
    )


def rules() -> Iterable[Any]:
    return collect_rules()
