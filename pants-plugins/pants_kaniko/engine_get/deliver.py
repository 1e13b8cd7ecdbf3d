"""Layers for those who take them away: `publish` and `run`. Pants may remember steps whose layers are gone since."""

from __future__ import annotations

import logging
from typing import Any, Iterable

from pants.engine.rules import Get, collect_rules, rule
from pants.util.logging import LogLevel

from imagebuild import canonical
from imagebuild.execute.requests import FetchResult
from pants_kaniko import delivery, report, stack
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from pants_kaniko.output_requests import DeliveredLayers, DeliverLayers
from pants_kaniko.requests import BuildImage, BuiltLayers

logger = logging.getLogger(__name__)


@rule(desc="Find layers", level=LogLevel.DEBUG)
async def deliver_layers(request: DeliverLayers) -> DeliveredLayers:
    built = await Get(BuiltLayers, BuildImage, request.build)
    if not built.sources:
        return DeliveredLayers(built)
    call = delivery.presence_call(built, request.repositories)
    answer = await Get(ExecutorAnswer, ExecutorCall, call)
    missing = canonical.loads(FetchResult, report.result_of(answer)).missing
    if not missing:
        return DeliveredLayers(built)
    retry = stack.again(built.build, missing, built.steps, request.run)
    logger.info(report.making_anew(built.build.handle.address, missing))
    return await Get(DeliveredLayers, DeliverLayers(retry, request.repositories, request.run))


def rules() -> Iterable[Any]:
    return collect_rules()
