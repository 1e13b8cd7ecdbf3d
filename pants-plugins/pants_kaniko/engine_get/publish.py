"""`pants publish`: push an image to its registries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Tuple

from pants.core.goals.publish import (
    PublishFieldSet,
    PublishOutputData,
    PublishPackages,
    PublishProcesses,
    PublishRequest,
)
from pants.engine.fs import CreateDigest, Digest, FileContent
from pants.engine.internals.session import RunId
from pants.engine.process import InteractiveProcess
from pants.engine.rules import Get, MultiGet, _uncacheable_rule, collect_rules, rule
from pants.util.logging import LogLevel

from pants_kaniko import delivery, shapes
from pants_kaniko.calls import EffectEnvironment, Executor
from pants_kaniko.output_requests import DeliveredLayers, DeliverLayers, Push, PushJob
from pants_kaniko.plans import PlannedImage, PlanRequest
from pants_kaniko.requests import BuildImage, LookupCall, StandingSteps
from pants_kaniko.standing import in_run
from pants_kaniko.target_types import KanikoRegistriesField, KanikoSkipPushField


class PublishKanikoImageRequest(PublishRequest["PublishKanikoImageFieldSet"]):
    pass


@dataclass(frozen=True)
class PublishKanikoImageFieldSet(PublishFieldSet[PublishKanikoImageRequest]):
    publish_request_type = PublishKanikoImageRequest
    required_fields = (KanikoRegistriesField,)

    registries: KanikoRegistriesField
    skip_push: KanikoSkipPushField

    def get_output_data(self) -> PublishOutputData:
        return PublishOutputData(
            {
                "publisher": "kaniko",
                "registries": self.registries.value or (),
                **super().get_output_data(),
            }
        )


@rule(level=LogLevel.DEBUG)
async def push_job(push: Push, executor: Executor, environment: EffectEnvironment) -> PushJob:
    request = FileContent(shapes.REQUEST, delivery.push_request(push))
    digest = await Get(Digest, CreateDigest([request]))
    process = delivery.push_process(executor, push, digest, environment.variables)
    return PushJob(push, InteractiveProcess.from_process(process))


@_uncacheable_rule(level=LogLevel.DEBUG)
async def publish_image(request: PublishKanikoImageRequest, run: RunId) -> PublishProcesses:
    address, skip = request.field_set.address, request.field_set.skip_push.value
    planned = await Get(PlannedImage, PlanRequest(address))
    targets = delivery.targets(planned.names, skip)
    pushes: Tuple[Push, ...] = ()
    if targets:
        repositories = tuple(name.repository for name in targets)
        found = await Get(StandingSteps, LookupCall(planned.handle))
        build = in_run(BuildImage(planned.handle, 0), found.steps, run)
        wanted = DeliverLayers(build, repositories, run)
        delivered = await Get(DeliveredLayers, DeliverLayers, wanted)
        pushes = delivery.pushes(delivered.built, targets)
    jobs = await MultiGet(Get(PushJob, Push, push) for push in pushes)
    published = [PublishPackages(names=job.push.digest_names, process=job.process) for job in jobs]
    skipped = [
        PublishPackages(names=names, description=reason)
        for names, reason in delivery.skipped(planned.names, address, skip)
    ]
    return PublishProcesses([*published, *skipped])


def rules() -> Iterable[Any]:
    return (*collect_rules(), *PublishKanikoImageFieldSet.rules())
