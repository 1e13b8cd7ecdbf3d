"""Cache keys: what names a step's layer (docs/cache-keys.md).

The *input key* is known before anything runs: its parent is the parent's input key. The *content key* has the filesystem
itself as its parent, as ordered diffIDs, and the selected files as its inputs; a step that makes the same files again
leads back to known content keys (early cut-off). Both are the sha256 of the canonical bytes of a value below, and that
value travels with every record, so that a hit can be checked and a miss explained.

Never part of either: secrets, times, host paths, user names, registry addresses, lines of the Dockerfile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Optional, Sequence, Tuple

from imagebuild import canonical
from imagebuild.llb.plan import ContextInput, Plan, PlannedStep, RemoteSource, State
from imagebuild.llb.step import FORMAT_VERSION, InputStep, Step
from imagebuild.oci.descriptor import Layer, Platform
from imagebuild.oci.hash import Hash


@dataclass(frozen=True)
class GraphBase:
    """A base image as steps see it. `repository` tells where its blobs are and is part of no key.

    :param remote: for what ADD fetches: the pinned source whose identity `manifest` is; the store knows its layer.
    """

    repository: str
    manifest: Hash
    layers: Tuple[Layer, ...]
    remote: Optional[RemoteSource] = None


@dataclass(frozen=True)
class StepGraph:
    """The half of a plan that keys and layers depend on: no config, no history, no lines."""

    bases: Tuple[GraphBase, ...]
    steps: Tuple[PlannedStep, ...]
    platform: Platform
    epoch: Optional[int]

    @staticmethod
    def of(plan: Plan, epoch: Optional[int]) -> StepGraph:
        bases = tuple(
            GraphBase(base.repository, base.manifest.digest, base.layers, base.remote)
            for base in plan.bases
        )
        return StepGraph(bases, tuple(map(_without_paths, plan.steps)), plan.platform, epoch)

    def platform_of(self, number: int) -> Platform:
        """What a step runs on: its stage's platform, whatever is built for."""
        return self.steps[number].platform or self.platform


def _without_paths(step: PlannedStep) -> PlannedStep:
    """`paths` only serve to lay out a sandbox; the digest says the same for keys, in fewer bytes."""
    if not any(isinstance(item, ContextInput) for item in step.inputs):
        return step  # as most are: a tenth of planning was to copy them
    inputs = tuple(
        replace(item, paths=()) if isinstance(item, ContextInput) else item for item in step.inputs
    )
    return replace(step, inputs=inputs)


def input_steps(graph: StepGraph) -> Tuple[InputStep, ...]:
    """The input key's preimage of every step, in the plan's order."""
    return tuple(preimage for preimage, _ in keyed_steps(graph))


def keyed_steps(graph: StepGraph) -> Tuple[Tuple[InputStep, Hash], ...]:
    """`input_steps`, each with the key of the tree that it completes: of itself, and of what it is laid on."""
    keys: Dict[int, Hash] = {}  # of the tree that a step completes, by its number
    made = []
    for number, step in enumerate(graph.steps):
        inputs = tuple(
            item.digest if isinstance(item, ContextInput) else _state_key(graph, keys, item.state)
            for item in step.inputs
        )
        parent = _state_key(graph, keys, step.over)
        platform = graph.platform_of(number)
        preimage = InputStep(FORMAT_VERSION, step.op, platform, graph.epoch, parent, inputs)
        own = canonical.fingerprint(preimage)
        keys[number] = own if step.over == step.parent else _laid(own, graph, keys, step.parent)
        made.append((preimage, keys[number]))
    return tuple(made)


def content_step(
    graph: StepGraph, number: int, parents: Sequence[Hash], inputs: Sequence[Hash]
) -> Step:
    """The content key's preimage of step `number`, once its parents and inputs exist."""
    return Step(
        FORMAT_VERSION,
        graph.steps[number].op,
        graph.platform_of(number),
        graph.epoch,
        tuple(parents),
        tuple(inputs),
    )


def _laid(own: Hash, graph: StepGraph, keys: Dict[int, Hash], below: State) -> Hash:
    """The key of a linked step's tree. The step's own knows nothing of what it is laid on; what follows it has to."""
    return canonical.fingerprint({"laid": own, "on": _state_key(graph, keys, below)})


def _state_key(graph: StepGraph, keys: Dict[int, Hash], state: State) -> Optional[Hash]:
    if state.step is not None:
        return keys[state.step]
    return None if state.base is None else graph.bases[state.base].manifest
