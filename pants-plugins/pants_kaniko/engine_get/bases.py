"""Resolve the images that a build starts from."""

from __future__ import annotations

import time
from typing import Any, Iterable

from pants.engine.platform import Platform
from pants.engine.rules import Get, _uncacheable_rule, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild import canonical
from imagebuild.execute.requests import ResolveResult
from pants_kaniko import report, shapes, targets
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from pants_kaniko.plans import BasesRequest, OwnPlatform, RefreshBucket, ResolvedBases
from pants_kaniko.subsystem import KanikoSubsystem


@_uncacheable_rule
async def refresh_bucket(options: KanikoSubsystem) -> RefreshBucket:
    """Read the clock once a session, for nothing but when to ask for tags again."""
    seconds = options.base_image_refresh
    return RefreshBucket(str(int(time.time()) // seconds) if seconds > 0 else "")  # noqa: TID251


@rule(level=LogLevel.DEBUG)
async def own_platform(platform: Platform) -> OwnPlatform:
    return OwnPlatform(targets.platform_of(platform))


@rule(desc="Resolve base images", level=LogLevel.DEBUG)
async def resolve_bases(
    request: BasesRequest, bucket: RefreshBucket, options: KanikoSubsystem
) -> ResolvedBases:
    if not request.images:
        return ResolvedBases(())
    registries = options.registries.options
    call = shapes.resolve_call(request.images, registries, bucket.value, tolerant=request.tolerant)
    answer = await Get(ExecutorAnswer, ExecutorCall, call)
    result = canonical.loads(ResolveResult, report.bases_of(answer, request))
    return ResolvedBases(result.bases, result.unread)


def rules() -> Iterable[Any]:
    return collect_rules()
