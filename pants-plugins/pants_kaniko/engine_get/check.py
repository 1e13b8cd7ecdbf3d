"""`pants check`: what is wrong or doubtful in Dockerfiles, before anything is built."""

from __future__ import annotations

from typing import Any, Iterable

from pants.core.goals.check import CheckRequest, CheckResults
from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from imagebuild.check.bases import wanted_images
from imagebuild.check.run import check
from imagebuild.errors import ImageBuildError
from pants_kaniko import checks, planning
from pants_kaniko.checks import ImageCheck, ImageCheckRequest, KanikoCheckRequest
from pants_kaniko.plans import (
    BasesRequest,
    BuildContext,
    ContextFiles,
    ContextRequest,
    OwnPlatform,
    ResolvedBases,
)
from pants_kaniko.subsystem import KanikoSubsystem


@rule(level=LogLevel.DEBUG)
async def check_image(
    request: ImageCheckRequest, options: KanikoSubsystem, platform: OwnPlatform
) -> ImageCheck:
    address = request.address
    try:
        context, files = await MultiGet(
            Get(BuildContext, ContextRequest(address)), Get(ContextFiles, ContextRequest(address))
        )
    except ImageBuildError as error:
        return ImageCheck(checks.refused(address, error))
    names = planning.environment_names(files.target, options)
    environ = await Get(EnvironmentVars, EnvironmentVarsRequest(names))
    given = checks.given(files.target, options, files.dockerfile, context, environ, platform.value)
    wanted = wanted_images(given) if options.check_base_images else ()
    while wanted:
        try:
            looked_up = await Get(ResolvedBases, BasesRequest(wanted, (), tolerant=True))
        except Exception as error:  # the executor itself could not be made or started
            looked_up = checks.none_read(wanted, error)
        given = checks.with_bases(given, looked_up)
        wanted = wanted_images(given)
    return ImageCheck(checks.result(address, check(given)))


@rule(desc="Check Dockerfiles", level=LogLevel.DEBUG)
async def check_images(request: KanikoCheckRequest, options: KanikoSubsystem) -> CheckResults:
    found = await MultiGet(
        Get(ImageCheck, ImageCheckRequest(field_set.address))
        for field_set in (() if options.skip else request.field_sets)
    )
    results = (item.result for item in found)
    return CheckResults(results, checker_name=KanikoCheckRequest.tool_name)


def rules() -> Iterable[Any]:
    return (*collect_rules(), UnionRule(CheckRequest, KanikoCheckRequest))
