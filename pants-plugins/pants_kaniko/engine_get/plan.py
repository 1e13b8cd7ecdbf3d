"""Plan a build."""

from __future__ import annotations

import logging
from typing import Any, Iterable

from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.util.logging import LogLevel

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
    bases = await Get(ResolvedBases, BasesRequest(draft.refs, draft.places))
    planned = planning.planned_image(draft, bases.bases)
    for warning in planned.handle.plan.warnings:
        logger.warning(warning)
    return planned


def rules() -> Iterable[Any]:
    return collect_rules()
