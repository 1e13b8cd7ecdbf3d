"""From a plan to layers: look up, build what is missing, record it."""

from __future__ import annotations

import logging
from typing import Any, Iterable, Optional, Tuple

from pants.engine.fs import EMPTY_DIGEST, CreateDigest, Digest
from pants.engine.internals.session import RunId
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild import canonical
from imagebuild.execute.pure_requests import StepResult
from imagebuild.execute.requests import LookupResult, PrepareResult, RecordResult
from imagebuild.oci.hash import Hash
from pants_kaniko import linked, report, shapes, stack
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from pants_kaniko.ready import Ready, ready_step
from pants_kaniko.requests import (
    BUILT,
    BuildImage,
    BuildStep,
    BuiltLayers,
    BuiltStep,
    CacheLookup,
    LookupCall,
    PreparedStep,
    PrepareStep,
    Recorded,
    RecordedStep,
    RecordStep,
    RecordSteps,
    RunStep,
    StandingSteps,
)
from pants_kaniko.standing import standing

logger = logging.getLogger(__name__)


@rule(desc="Look up cached steps", level=LogLevel.DEBUG)
async def look_up(request: LookupCall) -> CacheLookup:
    handle = request.handle
    if not handle.settings.use_cache or not handle.graph.steps:
        return CacheLookup(LookupResult((None,) * len(handle.graph.steps)))
    answer = await Get(ExecutorAnswer, ExecutorCall, shapes.lookup_call(handle))
    result = canonical.loads(LookupResult, report.result_of(answer))
    for warning in result.warnings:
        logger.warning(warning)
    return CacheLookup(result)


@rule(level=LogLevel.DEBUG)
async def build_step(request: BuildStep) -> BuiltStep:
    """A step that is cached does not wait for what it copies from; unless its hit turns out to be made over other layers. One
    that is linked does not wait for what it is laid on. For what an earlier run had lost, nothing is run any more.
    """
    if request.attempt and request.run != await Get(RunId):
        return stack.blocked(request, request.lost)
    parts = linked.parts(request)
    if parts:
        made = await MultiGet(Get(BuiltStep, BuildStep, part) for part in parts)
        return linked.laid(request, made)
    lookup = await Get(CacheLookup, LookupCall(request.handle))
    promised = stack.promised(lookup.result.hits[request.number], request.lost)
    below: Tuple[BuiltStep, ...] = ()
    for cached in (True, False) if promised else (False,):
        below = await MultiGet(
            Get(BuiltStep, BuildStep, stack.below(request, number))
            for number in stack.needs(
                request.handle, request.number, cached=cached, alone=request.alone
            )
        )
        missing = stack.missing_of(below)
        if missing:
            return stack.blocked(request, missing)
        hit = stack.usable(promised, request, below) if cached else None
        if hit:
            step = hit.step or stack.known_step(request, below)
            return stack.completed(request, below, hit.layer, hit.source, step)
    return await Get(BuiltStep, RunStep(request, below))


@rule(desc="Step", level=LogLevel.DEBUG)
async def run_step(run: RunStep) -> BuiltStep:
    """What a look-up said was there may be gone since: then the step is prepared after all."""
    request, below = run.request, run.below
    lookup = await Get(CacheLookup, LookupCall(request.handle))
    ready = None if run.prepared else ready_step(request, below, lookup)
    prepared: Optional[PrepareResult] = None
    remotes: Tuple[Hash, ...] = ()
    if ready is None:
        cache = stack.cache_now(request.handle.settings, lookup)
        prepared = (await Get(PreparedStep, PrepareStep(run, cache))).result
        hit = stack.usable(prepared.hit, request, below)
        if hit:
            return stack.completed(request, below, hit.layer, hit.source, prepared.step)
        if prepared.missing or prepared.step is None:
            return stack.blocked(request, prepared.missing)
        ready, remotes = Ready(prepared.step), prepared.remotes
    context = shapes.context_entries(request.handle, request.number)
    files = await Get(Digest, CreateDigest(context)) if context else EMPTY_DIGEST
    call = shapes.step_call(request, ready, below, files, remotes, again=run.prepared)
    answer = await Get(ExecutorAnswer, ExecutorCall, call)
    if answer.exit_code == shapes.EXIT_LAYER_MISSING and not prepared:
        return await Get(BuiltStep, RunStep(request, below, prepared=True))
    suspects = stack.suspects(request, below, remotes)
    if answer.exit_code == shapes.EXIT_LAYER_MISSING and suspects:
        return stack.blocked(request, suspects)
    raw = report.step_result_of(answer, request.handle, request.number)
    made, stored = canonical.loads(StepResult, raw), lookup.result.stored
    step = made.step or ready.step
    return stack.completed(request, below, made.layer, BUILT, step, answer.milliseconds, stored)


@rule(level=LogLevel.DEBUG)
async def prepare_step(prepare: PrepareStep) -> PreparedStep:
    request, below = prepare.run.request, prepare.run.below
    call = shapes.prepare_call(request, below, prepare.cache)
    answer = await Get(ExecutorAnswer, ExecutorCall, call)
    raw = report.step_result_of(answer, request.handle, request.number)
    result = canonical.loads(PrepareResult, raw)
    for warning in result.warnings:
        logger.warning(warning)
    return PreparedStep(result)


@rule(level=LogLevel.DEBUG)
async def record_steps(request: RecordSteps) -> Recorded:
    lookup = await Get(CacheLookup, LookupCall(request.handle))
    cache = stack.cache_now(request.handle.settings, lookup)
    call = shapes.record_call(request.handle, request.steps, cache)
    if call is None:
        return Recorded()
    answer = await Get(ExecutorAnswer, ExecutorCall, call)
    if answer.exit_code != shapes.EXIT_OK:
        logger.warning(report.not_recorded(request.handle, answer))
        return Recorded()
    result = canonical.loads(RecordResult, answer.result)
    for warning in result.warnings:
        logger.warning(warning)
    return Recorded(result.pushed_bytes)


@rule(level=LogLevel.DEBUG)
async def build_and_record(request: RecordStep, run: RunId) -> RecordedStep:
    """Steps above do not wait for the push of this one."""
    built = await Get(BuiltStep, BuildStep, request.request)
    if request.run == run and not built.missing and (built.origin == BUILT or not request.told):
        logger.info(report.step_line(request.request, built))
    if stack.pushed_at_once(built):
        await Get(Recorded, RecordSteps(request.request.handle, (built,)))
    return RecordedStep(built)


@rule(level=LogLevel.DEBUG)
async def standing_steps(request: LookupCall) -> StandingSteps:
    lookup = await Get(CacheLookup, LookupCall, request)
    steps = standing(BuildImage(request.handle, 0), lookup.result.hits)
    return StandingSteps(steps, report.step_lines(request.handle, steps))


@rule(level=LogLevel.DEBUG)
async def build_layers(request: BuildImage) -> BuiltLayers:
    """The log is told of what stands at once, and of other steps as they are made."""
    handle = request.handle
    lookup, found = await MultiGet(
        Get(CacheLookup, LookupCall(handle)), Get(StandingSteps, LookupCall(handle))
    )
    hits = lookup.result.hits
    steps = standing(request, hits) if request.lost else found.steps
    if request.run and request.run == await Get(RunId):
        for line in report.step_lines(handle, steps, request.told):
            logger.info(line)
    numbers = stack.requested(request, hits, steps)
    while numbers:
        recorded = await MultiGet(
            Get(RecordedStep, RecordStep, stack.recording(request, number)) for number in numbers
        )
        steps += tuple(item.built for item in recorded)
        numbers = stack.unasked(steps)
    steps = tuple(sorted(steps, key=lambda built: built.number))
    missing = stack.missing_of(steps)
    if not missing:
        await Get(Recorded, RecordSteps(handle, stack.pushed_at_last(steps)))
        return BuiltLayers(request, steps)
    retry = stack.again(request, missing, steps, await Get(RunId))
    logger.info(report.making_anew(handle.address, missing))
    return await Get(BuiltLayers, BuildImage, retry)


def rules() -> Iterable[Any]:
    return collect_rules()
