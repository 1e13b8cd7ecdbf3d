"""Which layers lie below a step, and what is known of it before it runs. Plain functions over steps that were built."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, List, Optional, Sequence, Set, Tuple

from imagebuild.errors import LayerMissingError
from imagebuild.execute.requests import CacheOptions, Hit, LayerSource
from imagebuild.llb.keys import content_step
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.plan import ContextInput, State, TreeInput
from imagebuild.llb.step import Step
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash, chain_id
from pants_kaniko.plans import PlanHandle, Settings
from pants_kaniko.requests import (
    BUILT,
    LOCAL,
    BuildImage,
    BuildStep,
    BuiltStep,
    CacheLookup,
    RecordStep,
)

MAX_ATTEMPTS = 8
"""How often a build starts anew for layers that are gone. Each time it learns of more: those that the new ones need."""


PUSHED_AT_ONCE_MS, PUSHED_AT_ONCE_BYTES = 1000, 1 << 20
"""A layer that took this long, or is this large, is pushed while the build goes on; the others in one process at its end.
A build that fails half-way loses from them what is soon made again."""


def needs(
    handle: PlanHandle, number: int, *, cached: bool = False, alone: bool = False
) -> Tuple[int, ...]:
    """The steps that have to exist before `number` can: the one it builds on and, unless it is cached, those it copies
    from.

    :param alone: as in `BuildStep`.
    """
    planned = handle.graph.steps[number]
    states = [planned.over if alone else planned.parent]
    if not cached:
        states.extend(item.state for item in planned.inputs if isinstance(item, TreeInput))
    return tuple(sorted({state.step for state in states if state.step is not None}))


def requested(
    build: BuildImage, hits: Sequence[Optional[Hit]], standing: Iterable[BuiltStep]
) -> Tuple[int, ...]:
    """The steps to ask for: those that the target needs as far as the look-up tells.

    :param standing: steps that need not be asked for.
    """
    found: Set[int] = set()
    known = {built.number for built in standing}
    todo = [plan.target.step for plan in build.plans if plan.target.step is not None]
    while todo:
        number = todo.pop()
        if number not in known:
            known.add(number)
            found.add(number)
            cached = promised(hits[number], build.lost) is not None
            todo.extend(needs(build.handle, number, cached=cached))
    return tuple(sorted(found))


def unasked(steps: Sequence[BuiltStep]) -> Tuple[int, ...]:
    """Steps that others needed after all, whose hit did not hold."""
    needed = {number for built in steps for number in built.below}
    return tuple(sorted(needed - {built.number for built in steps}))


def chain_of(
    handle: PlanHandle, state: State, below: Sequence[BuiltStep]
) -> Tuple[LayerSource, ...]:
    """Every layer of `state`, lowest first.

    :param below: the steps that `state` may name.
    """
    if state.step is not None:
        return next(built.chain for built in below if built.number == state.step)
    if state.base is None:
        return ()
    base = handle.graph.bases[state.base]
    return tuple(LayerSource(layer, (base.repository,)) for layer in base.layers)


def parents_of(request: BuildStep, below: Sequence[BuiltStep]) -> Tuple[LayerSource, ...]:
    """What the step is applied to; a linked one, to nothing."""
    planned = request.handle.graph.steps[request.number]
    return chain_of(request.handle, planned.over, below)


def promised(hit: Optional[Hit], lost: Sequence[Hash]) -> Optional[Hit]:
    """`hit`, unless its layer is lost."""
    return None if hit and hit.layer and hit.layer.diff_id in lost else hit


def usable(hit: Optional[Hit], request: BuildStep, below: Sequence[BuiltStep]) -> Optional[Hit]:
    """`hit`, unless its layer is lost, or was made over other layers than those that are below now."""
    hit = promised(hit, request.lost)
    diff_ids = [source.layer.diff_id for source in parents_of(request, below)]
    return hit if hit and _is_over(hit, diff_ids) else None


def known_step(request: BuildStep, below: Sequence[BuiltStep]) -> Optional[Step]:
    """The content key's preimage, where no tree has to be looked into for it."""
    planned = request.handle.graph.steps[request.number]
    digests: List[Hash] = []
    for item in planned.inputs:
        if not isinstance(item, ContextInput):
            return None
        digests.append(item.digest)
    parents = [source.layer.diff_id for source in parents_of(request, below)]
    return content_step(request.handle.graph, request.number, parents, digests)


def cache_now(settings: Settings, lookup: CacheLookup) -> CacheOptions:
    """The cache repository, unless it did not answer the look-up: then no step waits for it again in this run."""
    return CacheOptions() if lookup.result.warnings else settings.cache


def completed(
    request: BuildStep,
    below: Sequence[BuiltStep],
    layer: Optional[Layer],
    origin: str,
    step: Optional[Step],
    milliseconds: int = 0,
    stored: Sequence[Hash] = (),
) -> BuiltStep:
    """The step, with its layer on top of what is below it.

    :param stored: layers that the store had before anything was built.
    """
    settings, parent = request.handle.settings, _parent(request, below)
    cached = settings.use_cache and settings.cache.repository
    top = (LayerSource(layer, (settings.cache.repository,) if cached else ()),) if layer else ()
    ran = isinstance(request.handle.graph.steps[request.number].op, ExecOp)
    over = parents_of(request, below)
    whole = request.alone or ran or (parent is not None and parent.unpacked)
    whole = whole or {source.layer.diff_id for source in over} <= set(stored)
    return BuiltStep(
        request.number,
        over + top,
        layer,
        origin,
        step,
        origin == BUILT and whole,
        below=tuple(built.number for built in below),
        milliseconds=milliseconds,
    )


def blocked(request: BuildStep, missing: Iterable[Hash]) -> BuiltStep:
    """The step could not be made.

    :param missing: at least one layer; without, it would pass for a step over nothing.
    """
    found = tuple(sorted(missing))
    assert found, "a step is blocked by something"
    return BuiltStep(request.number, missing=found)


def pushed_at_once(built: BuiltStep) -> bool:
    """Whether the layer of a step is worth a process of its own."""
    size = built.layer.descriptor.size if built.layer else 0
    slow = built.milliseconds >= PUSHED_AT_ONCE_MS
    return built.origin == BUILT and (slow or size >= PUSHED_AT_ONCE_BYTES)


def pushed_at_last(steps: Iterable[BuiltStep]) -> Tuple[BuiltStep, ...]:
    """The steps to record when all is built: those of short work, and those that the cache repository may not have."""
    return tuple(
        built
        for built in steps
        if built.origin == LOCAL or (built.origin == BUILT and not pushed_at_once(built))
    )


def missing_of(steps: Iterable[BuiltStep]) -> Tuple[Hash, ...]:
    return tuple(sorted({diff_id for built in steps for diff_id in built.missing}))


def again(
    build: BuildImage, missing: Sequence[Hash], steps: Iterable[BuiltStep], run: int
) -> BuildImage:
    """The build with the steps of `missing` layers made anew.

    :param steps: what this attempt has made.
    :param run: Pants' id of this run.
    :raises LayerMissingError: when that cannot help: they are of a base image, or were made anew before.
    """
    lost = set(build.lost)
    new = set(missing) - lost - _of_bases(build.handle)
    if not new or build.attempt >= MAX_ATTEMPTS:
        raise LayerMissingError(
            f"{build.handle.address}: the layers {', '.join(map(str, missing))} are neither in the store nor in a "
            "registry, and no step can make them",
            diff_ids=tuple(map(str, missing)),
            hint="see whether the registry of the base image still has it, or start from another image",
        )
    told = {*build.told, *(built.number for built in steps if build.run and not built.missing)}
    return replace(
        build,
        run=run,
        lost=tuple(sorted(lost | new)),
        attempt=build.attempt + 1,
        told=tuple(sorted(told)),
    )


def recording(build: BuildImage, number: int) -> RecordStep:
    """The request for one step of `build`."""
    run = build.run if build.attempt else 0
    step = BuildStep(build.handle, number, build.lost, build.attempt, run=run)
    return RecordStep(step, build.run, number in build.told)


def below(request: BuildStep, number: int) -> BuildStep:
    """The request for a step that `request` needs."""
    return replace(request, number=number, alone=False)


def suspects(
    request: BuildStep, below: Sequence[BuiltStep], remotes: Sequence[Hash] = ()
) -> Tuple[Hash, ...]:
    """Layers of steps that this one stands on or reads, and what was fetched for it: one of them is not where a cache said."""
    made = {source.layer.diff_id for built in below for source in built.chain}
    return tuple(sorted((made - _of_bases(request.handle)).union(remotes)))


def _is_over(hit: Hit, diff_ids: Sequence[Hash]) -> bool:
    return hit.parents == (chain_id(diff_ids) if diff_ids else None)


def _of_bases(handle: PlanHandle) -> Set[Hash]:
    return {layer.diff_id for base in handle.graph.bases for layer in base.layers}


def _parent(request: BuildStep, below: Sequence[BuiltStep]) -> Optional[BuiltStep]:
    number = request.handle.graph.steps[request.number].parent.step
    return next((built for built in below if built.number == number), None)
