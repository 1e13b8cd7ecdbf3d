"""The steps that are cached with all that they build on. They are known from a look-up alone: no rule is asked for each of
them, which would cost more than all the rest of a build in which nothing changed. Plain functions, as in `stack`."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Optional, Sequence, Tuple

from imagebuild.execute.requests import Hit
from imagebuild.llb.plan import State
from imagebuild.oci.hash import Hash, chain_id
from pants_kaniko import linked, stack
from pants_kaniko.plans import PlanHandle
from pants_kaniko.requests import BuildImage, BuildStep, BuiltStep


def standing(build: BuildImage, hits: Sequence[Optional[Hit]]) -> Tuple[BuiltStep, ...]:
    """These steps of `build`, by their numbers, each as it is when it is asked for by itself."""
    made: Dict[int, BuiltStep] = {}
    trees = _Trees(build.handle)
    for number, promised in enumerate(hits):
        hit = stack.promised(promised, build.lost)
        if hit and trees.is_over(number, hit):
            trees.add(number, hit)
            made[number] = _step(build, number, hit, made)
    return tuple(made.values())


def is_whole(build: BuildImage, steps: Sequence[BuiltStep]) -> bool:
    """Whether `steps` are all that the build has to come to."""
    numbers = {built.number for built in steps}
    return all(plan.target.step is None or plan.target.step in numbers for plan in build.plans)


def in_run(build: BuildImage, steps: Sequence[BuiltStep], run: int) -> BuildImage:
    """The build as `run` wants it: as any does, if `steps` are all that it has to come to."""
    return replace(build, run=0 if is_whole(build, steps) else run)


def _step(build: BuildImage, number: int, hit: Hit, made: Dict[int, BuiltStep]) -> BuiltStep:
    request = BuildStep(build.handle, number, build.lost, build.attempt)
    parent = build.handle.graph.steps[number].parent.step
    under = () if parent is None else (made[parent],)
    alone = bool(linked.parts(request))
    below = () if alone else under
    step = hit.step or stack.known_step(request, below)
    own = stack.completed(request, below, hit.layer, hit.source, step)
    return linked.laid(request, (own, *under)) if alone else own


class _Trees:
    """The ChainIDs of what stands, each from that of the tree below it."""

    def __init__(self, handle: PlanHandle) -> None:
        self._graph = handle.graph
        self._chains: Dict[State, Optional[Hash]] = {State(): None}
        for number, base in enumerate(handle.graph.bases):
            chain = chain_id([layer.diff_id for layer in base.layers]) if base.layers else None
            self._chains[State(base=number)] = chain

    def is_over(self, number: int, hit: Hit) -> bool:
        """Whether what step `number` builds on stands, and `hit` was made over it."""
        planned = self._graph.steps[number]
        known = {planned.parent, planned.over} <= self._chains.keys()
        return known and hit.parents == self._chains[planned.over]

    def add(self, number: int, hit: Hit) -> None:
        below = self._chains[self._graph.steps[number].parent]
        own = hit.layer.diff_id if hit.layer else None
        found = [item for item in (below, own) if item]
        self._chains[State(step=number)] = chain_id(found) if found else None
