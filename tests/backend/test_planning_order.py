"""What planning does at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pants.core.goals.package import BuiltPackage, OutputPathField, PackageFieldSet
from pants.engine.fs import EMPTY_DIGEST
from pants.engine.process import Process, ProcessResult
from pants.engine.rules import Get, collect_rules, rule
from pants.engine.target import COMMON_TARGET_FIELDS, StringField, Target
from pants.engine.unions import UnionRule

from support.backend import Backend
from support.base_image import busybox, busybox_layer, image_of, push
from support.fault_proxy import Exchange, fault_proxy
from support.registry import RealRegistry

PATIENCE = 20
"""Seconds."""


class WitnessField(StringField):
    """A file that is there when the registry has been asked."""

    alias = "witness"
    required = True


class PatientTarget(Target):
    """A package that waits for its witness, and fails without."""

    alias = "patient"
    core_fields = (*COMMON_TARGET_FIELDS, WitnessField, OutputPathField)
    help = "For tests."


@dataclass(frozen=True)
class PatientFieldSet(PackageFieldSet):
    required_fields = (WitnessField,)

    witness: WitnessField


@rule
async def package_patient(field_set: PatientFieldSet) -> BuiltPackage:
    look = f"[ -e {field_set.witness.value} ] && exit; sleep 0.1"
    script = f"for _ in $(seq {PATIENCE}0); do {look}; done; exit 1"
    waiting = Process(
        ("/bin/sh", "-c", script),
        description="Wait until the registry is asked",
        env={"PATH": "/usr/bin:/bin"},
    )
    await Get(ProcessResult, Process, waiting)
    return BuiltPackage(EMPTY_DIGEST, ())


def test_the_registry_is_asked_while_the_context_is_put_together(
    tmp_path: Path, registry: RealRegistry
) -> None:
    rules = [
        *collect_rules({"rule": package_patient}),
        UnionRule(PackageFieldSet, PatientFieldSet),
    ]
    slots = "--process-execution-local-parallelism=2"
    backend = Backend(tmp_path, slots, rules=rules, target_types=[PatientTarget])
    push(image_of([busybox_layer(busybox())]), f"{registry.address}/order:1")
    witness = tmp_path / "asked"

    def asked(_: Exchange) -> bool:
        witness.touch()
        return False

    with fault_proxy(upstream=registry.address) as proxy:
        proxy.on("GET", "/manifests/", asked)
        backend.write(
            {
                "app/BUILD": f'patient(name="package", witness="{witness}")\n'
                'kaniko_image(name="image", dependencies=[":package"])\n',
                "app/Dockerfile": f"FROM {proxy.address}/order:1\nWORKDIR /srv\n",
            }
        )

        planned = backend.plan("app:image")

    assert 1 == len(planned.handle.plan.steps)
