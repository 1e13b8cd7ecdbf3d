"""From a plan to an image: what rules ask for and answer with on the way. Values only: how anything is made is in `shapes`
and the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple

from pants.engine.engine_aware import EngineAwareParameter

from imagebuild.execute.requests import CacheOptions, LayerSource, LookupResult, PrepareResult
from imagebuild.llb.plan import Plan, State
from imagebuild.llb.step import Step
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash
from pants_kaniko.plans import PlanHandle, step_title

BUILT, LOCAL, REGISTRY = "built", "local", "registry"
"""Where a step's layer came from."""


@dataclass(frozen=True)
class LookupCall:
    handle: PlanHandle


@dataclass(frozen=True)
class CacheLookup:
    """What the caches know; of no steps when they are not asked."""

    result: LookupResult


@dataclass(frozen=True)
class BuildStep:
    """Make one step's layer, and those below it.

    :param alone: a linked step's layer and nothing else: what is below it is not waited for.
    :param lost: diffIDs of layers that a cache promised and nobody has: their steps run again.
    :param attempt: how often layers were found lost.
    :param run: Pants' id of the run in which they were, 0 in the first attempt. The engine, before it makes anew what an earlier
        run wanted, asks for all that this needed then, at once: for what needs the lost layers before these are made.
    """

    handle: PlanHandle
    number: int
    lost: Tuple[Hash, ...] = ()
    attempt: int = 0
    alone: bool = False
    run: int = 0

    @property
    def title(self) -> str:
        """``[build 3/9] RUN pip install ... (src/app/Dockerfile:7)``."""
        origin = self.handle.plan.origins[self.number]
        return f"{step_title(self.handle.plan, self.number)} ({origin.source})"


@dataclass(frozen=True)
class BuiltStep:
    """A step's layer and the tree that it completes.

    :param chain: every layer of the tree, lowest first.
    :param layer: None for a step that changed nothing.
    :param origin: BUILT, LOCAL or REGISTRY; "" where it could not be made.
    :param step: the content key's preimage, None where a look-up did not need it.
    :param unpacked: the store has the bytes of the whole chain.
    :param missing: diffIDs of layers below that nobody has any more; nothing was made.
    :param below: the steps that it needed.
    """

    number: int
    chain: Tuple[LayerSource, ...] = ()
    layer: Optional[Layer] = None
    origin: str = ""
    step: Optional[Step] = None
    unpacked: bool = False
    missing: Tuple[Hash, ...] = ()
    below: Tuple[int, ...] = ()
    milliseconds: int = field(compare=False, default=0)

    def message(self) -> str:
        if self.missing:
            return "a layer below it is gone"
        return (
            f"{self.milliseconds / 1000:.1f}s"
            if self.origin == BUILT
            else f"cached ({self.origin})"
        )


@dataclass(frozen=True)
class RunStep(EngineAwareParameter):
    """Make a step's layer that no look-up found; what is below it is there.

    :param prepared: it lacked something when it ran at once, without being prepared.
    """

    request: BuildStep
    below: Tuple[BuiltStep, ...]
    prepared: bool = False

    def debug_hint(self) -> str:
        return self.request.title


@dataclass(frozen=True)
class PrepareStep:
    run: RunStep
    cache: CacheOptions


@dataclass(frozen=True)
class PreparedStep:
    result: PrepareResult


@dataclass(frozen=True)
class RecordStep:
    """Build a step, and tell the log and the cache repository about it as soon as it is there.

    :param run: as in `BuildImage`.
    :param told: the log has it from an earlier attempt.
    """

    request: BuildStep
    run: int
    told: bool


@dataclass(frozen=True)
class RecordedStep:
    built: BuiltStep


@dataclass(frozen=True)
class RecordSteps:
    """Tell the cache repository about these steps."""

    handle: PlanHandle
    steps: Tuple[BuiltStep, ...]


@dataclass(frozen=True)
class Recorded:
    pushed_bytes: int = 0


@dataclass(frozen=True)
class StandingSteps:
    """The steps that are cached with all that they build on, and what the log says of each."""

    steps: Tuple[BuiltStep, ...]
    lines: Tuple[str, ...]


@dataclass(frozen=True)
class BuildImage:
    """Make every layer of a plan.

    :param run: Pants' id of the run that wants it; 0 where all of it stands already: then every run wants the same. The engine
        asks again for what an earlier run wanted before it sees that this one wants something else; of that, the log is told
        nothing. And the engine works out anew what depends on the id of a run, with all that it had not yet seen to be
        unchanged: so nothing does where all stands, and what asks for the rest does so itself.
    :param lost: as in `BuildStep`.
    :param told: steps that the log has from earlier attempts.
    :param only: number of the one platform that is wanted, of those of the plan; None for all.
    """

    handle: PlanHandle
    run: int
    lost: Tuple[Hash, ...] = ()
    attempt: int = 0
    told: Tuple[int, ...] = ()
    only: Optional[int] = None

    @property
    def plans(self) -> Tuple[Plan, ...]:
        """Those that are wanted, one for each platform."""
        return self.handle.plans if self.only is None else (self.handle.plans[self.only],)


@dataclass(frozen=True)
class BuiltLayers:
    """The steps of an image, by their numbers; some may be left out, for nothing needed them.

    :param build: the request that succeeded in the end.
    """

    build: BuildImage
    steps: Tuple[BuiltStep, ...]

    @property
    def sources(self) -> Tuple[LayerSource, ...]:
        """The image's layers, lowest first; those of the images for several platforms, each once."""
        chains = [self._chain(plan.target) for plan in self.build.plans]
        if len(chains) == 1:
            return chains[0]
        every = (source for chain in chains for source in chain)
        return tuple({source.layer.descriptor.digest: source for source in every}.values())

    def _chain(self, target: State) -> Tuple[LayerSource, ...]:
        if target.step is not None:
            return next(built.chain for built in self.steps if built.number == target.step)
        if target.base is None:
            return ()
        base = self.build.handle.graph.bases[target.base]
        return tuple(LayerSource(layer, (base.repository,)) for layer in base.layers)

    @property
    def layers(self) -> Tuple[Optional[Layer], ...]:
        """The steps' layers, aligned with the plan's steps."""
        made = {built.number: built.layer for built in self.steps}
        return tuple(made.get(number) for number in range(self.planned))

    @property
    def planned(self) -> int:
        """How many steps the plan has."""
        return len(self.build.handle.plan.steps)
