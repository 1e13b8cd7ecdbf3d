"""Call the executor."""

from __future__ import annotations

import logging
import os
import secrets  # noqa: TID251 - for a name that is never hashed into a result
import time
from dataclasses import replace
from typing import Any, Iterable

from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.fs import (
    EMPTY_DIGEST,
    CreateDigest,
    Digest,
    FileContent,
    MergeDigests,
    NativeDownloadFile,
)
from pants.engine.process import FallibleProcessResult, Process
from pants.engine.rules import Get, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild import canonical
from imagebuild.errors import EXIT_LOST, EXIT_NOT_FOR_LONG, EXIT_SET_ASIDE
from imagebuild.serve.aside import GoesOn
from pants_kaniko import aside, shapes
from pants_kaniko.calls import (
    Daemon,
    EffectEnvironment,
    Executor,
    ExecutorAnswer,
    ExecutorCall,
    SetAside,
)
from pants_kaniko.subsystem import KanikoSubsystem

logger = logging.getLogger(__name__)


@rule(level=LogLevel.DEBUG)
async def effect_environment(options: KanikoSubsystem.EnvironmentAware) -> EffectEnvironment:
    variables = await Get(EnvironmentVars, EnvironmentVarsRequest(options.env_vars))
    return EffectEnvironment(variables)


@rule(level=LogLevel.DEBUG)
async def this_daemon() -> Daemon:
    # Pants' downloads go through its own proxies, with no exception for this machine.
    own = os.environ  # noqa: TID251 - not the user's
    proxies = any(name.lower() in ("http_proxy", "all_proxy") for name in own)
    return Daemon(f"daemon {secrets.token_hex(8)}", hears=not proxies)


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
    spent = result.metadata.total_elapsed_ms or 0
    if result.exit_code == EXIT_SET_ASIDE:
        return await Get(ExecutorAnswer, SetAside(call, result.stdout, spent))
    answered = result.exit_code in (shapes.EXIT_OK, EXIT_NOT_FOR_LONG)
    return ExecutorAnswer(
        shapes.EXIT_OK if answered else result.exit_code,
        result.stdout if answered else b"",
        result.stderr.decode("utf-8", "replace"),
        result.output_digest,
        spent,
    )


@rule(level=LogLevel.DEBUG)
async def answer_of_what_goes_on(call: SetAside) -> ExecutorAnswer:
    """Wait for it as for a download, for which the engine needs no slot."""
    goes_on, start = canonical.loads(GoesOn, call.said), time.monotonic()
    try:
        await Get(Digest, NativeDownloadFile, aside.end_of(goes_on))
    except Exception as error:
        logger.debug("a step that goes on was lost: %s", error)
    waited = int((time.monotonic() - start) * 1000)
    answer = await Get(ExecutorAnswer, ExecutorCall, aside.outcome_call(call, goes_on))
    if answer.exit_code == EXIT_LOST:
        return await Get(ExecutorAnswer, ExecutorCall, replace(call.call, patient=False))
    return replace(answer, milliseconds=call.milliseconds + waited)


def rules() -> Iterable[Any]:
    return collect_rules()
