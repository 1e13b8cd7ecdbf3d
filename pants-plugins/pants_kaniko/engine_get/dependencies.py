"""Infer dependencies from what a Dockerfile copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from pants.core.goals.package import AllPackageableTargets
from pants.engine.addresses import Addresses
from pants.engine.rules import Get, collect_rules, rule
from pants.engine.target import (
    AllTargets,
    FieldSet,
    InferDependenciesRequest,
    InferredDependencies,
)
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_kaniko import inference, targets
from pants_kaniko.plans import DockerfileRequest, DockerfileSource
from pants_kaniko.subsystem import KanikoSubsystem
from pants_kaniko.target_types import (
    KanikoContextRootField,
    KanikoDependenciesField,
    KanikoSourceField,
)


@dataclass(frozen=True)
class KanikoInferenceFieldSet(FieldSet):
    required_fields = (KanikoDependenciesField, KanikoSourceField)

    dependencies: KanikoDependenciesField
    context_root: KanikoContextRootField


class InferKanikoDependencies(InferDependenciesRequest[KanikoInferenceFieldSet]):
    infer_from = KanikoInferenceFieldSet


@rule(desc="Infer what a Dockerfile copies", level=LogLevel.DEBUG)
async def infer_dependencies(
    request: InferKanikoDependencies,
    packageable: AllPackageableTargets,
    everything: AllTargets,
    options: KanikoSubsystem,
) -> InferredDependencies:
    field_set = request.field_set
    source = await Get(DockerfileSource, DockerfileRequest(field_set.address))
    root = targets.context_root(
        field_set.context_root.value, options.default_context_root, field_set.address
    )
    copied = inference.copied_paths(source)
    packages = inference.packages(packageable, copied, root, field_set.address)
    return InferredDependencies(Addresses([*packages, *inference.files(everything, copied, root)]))


def rules() -> Iterable[Any]:
    return (
        *collect_rules(),
        UnionRule(InferDependenciesRequest, InferKanikoDependencies),
    )
