"""Which steps can run without a process that prepares them. Plain functions, as in `stack`."""

from __future__ import annotations

from typing import AbstractSet, List, NamedTuple, Optional, Sequence, Tuple

from imagebuild.llb.keys import content_step
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.plan import ContextInput, State, TreeInput
from imagebuild.llb.step import Step
from imagebuild.oci.hash import Hash, chain_id
from pants_kaniko.plans import PlanHandle
from pants_kaniko.requests import BUILT, BuildStep, BuiltStep, CacheLookup
from pants_kaniko.stack import cache_now, chain_of, parents_of


class Ready(NamedTuple):
    """A step that can run at once.

    :param step: the content key's preimage, but for `unread`: see `StepRequest`.
    """

    step: Step
    unread: Tuple[int, ...] = ()


def ready_step(
    request: BuildStep, below: Sequence[BuiltStep], lookup: CacheLookup
) -> Optional[Ready]:
    """The step, where all that it needs is in the store, so that it can run without being prepared.

    A cache repository is asked once more before a step runs: after a step that made the same files again, the content key
    is known there (early cut-off). Unless it does not know what the step does, or the look-up has asked already.
    """
    settings, planned = request.handle.settings, request.handle.graph.steps[request.number]
    parents = tuple(source.layer.diff_id for source in parents_of(request, below))
    if not request.attempt:
        for ready in lookup.result.ready:
            if ready.number == request.number and ready.step.parents == parents:
                return Ready(ready.step)
    asked = settings.use_cache and cache_now(settings, lookup).repository
    if asked and request.number not in lookup.result.novel:
        return None
    stored = frozenset(() if request.attempt else lookup.result.stored)
    whole = isinstance(planned.op, ExecOp)
    if not _at_hand(request.handle, planned.over, below, stored, whole=whole):
        return None
    inputs: List[Hash] = []
    for item in planned.inputs:
        if isinstance(item, ContextInput):
            inputs.append(item.digest)
            continue
        if request.handle.plan.remote_of(item.state) or not _at_hand(
            request.handle, item.state, below, stored, whole=True
        ):
            return None
        chain = chain_of(request.handle, item.state, below)
        inputs.append(chain_id([source.layer.diff_id for source in chain]))
    step = content_step(request.handle.graph, request.number, parents, inputs)
    unread = (at for at, item in enumerate(planned.inputs) if isinstance(item, TreeInput))
    return Ready(step, tuple(unread))


def _at_hand(
    handle: PlanHandle,
    state: State,
    below: Sequence[BuiltStep],
    stored: AbstractSet[Hash],
    *,
    whole: bool,
) -> bool:
    """Whether the store has the layers of `state`.

    :param whole: their indexes alone do not do.
    """
    chain = {source.layer.diff_id for source in chain_of(handle, state, below)}
    if chain <= stored:
        return True
    built = next((each for each in below if each.number == state.step), None)
    return built is not None and built.origin == BUILT and (built.unpacked or not whole)
