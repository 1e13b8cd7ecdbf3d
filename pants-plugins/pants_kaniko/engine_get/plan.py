"""Plan a build."""

from __future__ import annotations

import logging
from typing import Any, Iterable, Tuple

from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild.llb.plan import ResolvedBase
from pants_kaniko import planning, remotes
from pants_kaniko.plans import (
    BasesRequest,
    BuildContext,
    ContextFiles,
    ContextRequest,
    OwnPlatform,
    PinnedRemotes,
    PlannedImage,
    PlanRequest,
    RemotesRequest,
    ResolvedBases,
)
from pants_kaniko.subsystem import KanikoSubsystem

logger = logging.getLogger(__name__)


@rule(desc="Plan an image", level=LogLevel.DEBUG)
async def plan_image(
    request: PlanRequest, options: KanikoSubsystem, platform: OwnPlatform
) -> PlannedImage:
    context, files = await MultiGet(
        Get(BuildContext, ContextRequest(request.address)),
        Get(ContextFiles, ContextRequest(request.address)),
    )
    target = files.target
    environ = await Get(
        EnvironmentVars, EnvironmentVarsRequest(planning.environment_names(target, options))
    )
    draft = planning.draft(target, options, files.dockerfile, context, environ, platform.value)
    bases: Tuple[ResolvedBase, ...] = ()
    while len(draft.images) > len(bases):
        wanted = BasesRequest(draft.images[len(bases) :], draft.places[len(bases) :])
        resolved = await Get(ResolvedBases, BasesRequest, wanted)
        bases += resolved.bases
        draft = planning.further(draft, bases)
    plans = planning.lowered(draft, bases)
    if plans[0].remotes:
        asked = planning.wanted_remotes(draft, plans[0])
        answered = await Get(PinnedRemotes, RemotesRequest, asked)
        plans = tuple(remotes.with_remotes(plan, asked, answered) for plan in plans)
    planned = planning.planned_image(draft, plans)
    for warning in planned.handle.plan.warnings:
        logger.warning(warning)
    return planned


def rules() -> Iterable[Any]:
    return collect_rules()
