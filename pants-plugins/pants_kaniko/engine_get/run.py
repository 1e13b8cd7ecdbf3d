"""`pants run`: start an image with the embedded runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from pants.core.goals.run import RestartableField, RunFieldSet, RunInSandboxBehavior, RunRequest
from pants.engine.fs import CreateDigest, Digest, FileContent
from pants.engine.internals.session import RunId
from pants.engine.rules import Get, _uncacheable_rule, collect_rules
from pants.util.logging import LogLevel

from pants_kaniko import delivery, output, shapes
from pants_kaniko.build_fields import KanikoNetworkField
from pants_kaniko.calls import EffectEnvironment, Executor
from pants_kaniko.output_requests import DeliveredLayers, DeliverLayers
from pants_kaniko.plans import OwnPlatform, PlannedImage, PlanRequest
from pants_kaniko.requests import BuildImage, LookupCall, StandingSteps
from pants_kaniko.standing import in_run
from pants_kaniko.subsystem import KanikoSubsystem
from pants_kaniko.target_types import KanikoSourceField


@dataclass(frozen=True)
class KanikoRunFieldSet(RunFieldSet):
    required_fields = (KanikoSourceField, KanikoNetworkField)
    run_in_sandbox_behavior = RunInSandboxBehavior.NOT_SUPPORTED

    source: KanikoSourceField
    network: KanikoNetworkField
    restartable: RestartableField


@_uncacheable_rule(level=LogLevel.DEBUG)
async def run_image(
    field_set: KanikoRunFieldSet,
    executor: Executor,
    environment: EffectEnvironment,
    options: KanikoSubsystem,
    run: RunId,
    platform: OwnPlatform,
) -> RunRequest:
    planned = await Get(PlannedImage, PlanRequest(field_set.address))
    handle = planned.handle
    only = delivery.runnable(handle, platform.value)
    found = await Get(StandingSteps, LookupCall(handle))
    build = in_run(BuildImage(handle, 0, only=only), found.steps, run)
    built = (await Get(DeliveredLayers, DeliverLayers(build, run=run))).built
    image = output.assembled(built).images[0]
    network = field_set.network.value or options.network
    body = delivery.run_request(image, built.sources, handle.settings, network)
    request = FileContent(shapes.REQUEST, body)
    return RunRequest(
        digest=await Get(Digest, CreateDigest([request])),
        args=delivery.run_args(executor),
        extra_env=environment.variables,
        immutable_input_digests={shapes.EXECUTOR_DIR: executor.digest},
        append_only_caches=shapes.CACHES,
    )


def rules() -> Iterable[Any]:
    return (*collect_rules(), *KanikoRunFieldSet.rules())
