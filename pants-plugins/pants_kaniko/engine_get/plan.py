"""Plan a build.

The engine does not run a rule again before it has seen that something which the rule asked for the last time has changed,
and asks for all of that at once; at the first change it calls the rest off, and forgets what was known of it. A registry's
answer would be called off, and with it the server that asks, whenever a Dockerfile has changed. So the rule that asks is
not one that the engine remembers: it runs in every run, in its own order, and what takes time is in those beside it.
While the registry is asked, the build context is put together.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Iterable, Tuple

from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.rules import Get, MultiGet, _uncacheable_rule, collect_rules, rule
from pants.engine.target import WrappedTarget, WrappedTargetRequest
from pants.util.logging import LogLevel

from imagebuild.llb.plan import ResolvedBase
from pants_kaniko import planning
from pants_kaniko.planning import Draft, LoweredImage, LowerRequest
from pants_kaniko.plans import (
    BasesRequest,
    BuildContext,
    ContextRequest,
    DockerfileRequest,
    DockerfileSource,
    DraftRequest,
    OwnPlatform,
    PinnedRemotes,
    PlannedImage,
    PlanRequest,
    RemotesRequest,
    ResolvedBases,
)
from pants_kaniko.subsystem import KanikoSubsystem

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AllBases:
    """What the images of a draft are, with those that their triggers name."""

    bases: Tuple[ResolvedBase, ...]


@rule(level=LogLevel.DEBUG)
async def draft_image(
    request: DraftRequest, options: KanikoSubsystem, platform: OwnPlatform
) -> Draft:
    address = request.address
    wrapped, dockerfile = await MultiGet(
        Get(WrappedTarget, WrappedTargetRequest(address, description_of_origin="<infallible>")),
        Get(DockerfileSource, DockerfileRequest(address)),
    )
    target = wrapped.target
    environ = await Get(
        EnvironmentVars, EnvironmentVarsRequest(planning.environment_names(target, options))
    )
    return planning.draft(target, options, dockerfile, environ, platform.value)


@rule(level=LogLevel.DEBUG)
async def lower_image(request: LowerRequest) -> LoweredImage:
    draft, context = await MultiGet(
        Get(Draft, DraftRequest(request.address)),
        Get(BuildContext, ContextRequest(request.address)),
    )
    lowered = planning.lowered_image(draft, context, request)
    if lowered.planned:
        for warning in lowered.planned.handle.plan.warnings:
            logger.warning(warning)
    return lowered


@_uncacheable_rule(level=LogLevel.DEBUG)
async def bases_of_image(request: DraftRequest) -> AllBases:
    draft = await Get(Draft, DraftRequest, request)
    bases: Tuple[ResolvedBase, ...] = ()
    while len(draft.images) > len(bases):
        wanted = BasesRequest(draft.images[len(bases) :], draft.places[len(bases) :])
        resolved = await Get(ResolvedBases, BasesRequest, wanted)
        bases += resolved.bases
        draft = planning.further(draft, bases)
    return AllBases(bases)


@_uncacheable_rule(desc="Plan an image", level=LogLevel.DEBUG)
async def plan_image(request: PlanRequest) -> PlannedImage:
    address = request.address
    found, _ = await MultiGet(  # the context is for `lower_image`, and ready by then
        Get(AllBases, DraftRequest(address)), Get(BuildContext, ContextRequest(address))
    )
    bases = found.bases
    lowered = await Get(LoweredImage, LowerRequest(address, bases))
    if lowered.asked:
        answered = await Get(PinnedRemotes, RemotesRequest, lowered.asked)
        lowered = await Get(LoweredImage, LowerRequest(address, bases, answered))
    assert lowered.planned, "all that it asked for is there"
    return lowered.planned


def rules() -> Iterable[Any]:
    return collect_rules()
