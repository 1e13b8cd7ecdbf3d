"""Plan a build."""

from __future__ import annotations

import logging
from typing import Any, Iterable, Tuple

from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild.llb.plan import ResolvedBase
from pants_kaniko import planning
from pants_kaniko.plans import (
    BasesRequest,
    BuildContext,
    ContextFiles,
    ContextRequest,
    PlannedImage,
    PlanRequest,
    ResolvedBases,
    TargetPlatform,
)
from pants_kaniko.subsystem import KanikoSubsystem

logger = logging.getLogger(__name__)


@rule(desc="Plan an image", level=LogLevel.DEBUG)
async def plan_image(
    request: PlanRequest, options: KanikoSubsystem, platform: TargetPlatform
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
    while len(draft.refs) > len(bases):
        wanted = BasesRequest(draft.refs[len(bases) :], draft.places[len(bases) :])
        resolved = await Get(ResolvedBases, BasesRequest, wanted)
        bases += resolved.bases
        draft = planning.further(draft, bases)
    planned = planning.planned_image(draft, bases)
    for warning in planned.handle.plan.warnings:
        logger.warning(warning)
    return planned


def rules() -> Iterable[Any]:
    return collect_rules()
