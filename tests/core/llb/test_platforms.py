"""Plans for several platforms, put together: what is shared, and what each platform still has of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Tuple

import pytest

from imagebuild import canonical
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import DockerfileError
from imagebuild.llb.keys import StepGraph, content_step, input_steps
from imagebuild.llb.plan import Plan
from imagebuild.llb.platforms import merged
from imagebuild.llb.remote import remote_base
from imagebuild.lower import base_refs, lower
from imagebuild.oci.config import ConfigFile
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.hash import Hash
from support.dockerfiles import PLATFORM, plan, resolved

ARM64 = Platform("linux", "arm64")
CROSS = """\
FROM --platform=$BUILDPLATFORM go AS build
RUN generate
FROM build AS compiled
ARG TARGETARCH
RUN compile
FROM alpine
RUN install
COPY --from=build /share /share
COPY --from=compiled /bin/app /bin/app
"""


def plans(text: str) -> Tuple[Plan, ...]:
    return merged([plan(text, platform=platform) for platform in (PLATFORM, ARM64)])


def keys_by_text(found: Plan) -> Dict[str, List[Hash]]:
    keys: Dict[str, List[Hash]] = {}
    for origin, step in zip(found.origins, input_steps(StepGraph.of(found, 0))):
        keys.setdefault(origin.text, []).append(canonical.fingerprint(step))
    return keys


def test_a_stage_of_the_machine_s_platform_is_there_once() -> None:
    both = plans(CROSS)

    count = {text: len(keys) for text, keys in keys_by_text(both[0]).items()}
    assert {
        "RUN generate": 1,
        "RUN compile": 2,
        "RUN install": 2,
        "COPY --from=build /share /share": 2,
        "COPY --from=compiled /bin/app /bin/app": 2,
    } == count
    assert both[0].steps == both[1].steps
    assert both[0].target != both[1].target


def test_a_stage_that_knows_nothing_of_the_target_has_one_key_whatever_is_built_for() -> None:
    """So that a build for one platform finds what a build for another has made."""
    one, other = (keys_by_text(plan(CROSS, platform=platform)) for platform in (PLATFORM, ARM64))

    assert one["RUN generate"] == other["RUN generate"]
    assert not set(one["RUN install"]) & set(other["RUN install"])
    together = keys_by_text(plans(CROSS)[0])
    assert together == {text: list(dict.fromkeys(one[text] + other[text])) for text in one}


@pytest.mark.parametrize("number", range(3))
def test_the_content_key_has_the_stage_s_platform_and_not_the_target_s(number: int) -> None:
    graph = StepGraph.of(plan(CROSS, platform=ARM64), 0)

    expected = ARM64 if number == 2 else PLATFORM
    assert expected == content_step(graph, number, (), ()).platform


def test_each_plan_keeps_its_own_chain_history_and_base() -> None:
    for single, together in zip((plan(CROSS), plan(CROSS, platform=ARM64)), plans(CROSS)):
        texts = [single.origins[number].text for number in single.steps_of(single.target)]
        same = [together.origins[number].text for number in together.steps_of(together.target)]
        assert texts == same
        assert [item.created_by for item in single.history] == [
            item.created_by for item in together.history
        ]
        made = [together.origins[item.step].text for item in together.history if item.step]
        assert texts == made
        assert single.target_base is not None and together.target_base is not None
        assert single.bases[single.target_base] == together.bases[together.target_base]
        for number in together.steps_of(together.target):
            assert together.platform == together.steps[number].platform


def test_what_is_fetched_is_fetched_once_and_lies_behind_all_images() -> None:
    text = "FROM a\nADD https://files.example/a /\nFROM b\nADD https://files.example/b /\nCOPY --from=0 / /0/\n"
    both = plans(text)

    assert ["a", "b"] == [getattr(remote, "name", "") for remote in both[0].remotes]
    ready = [
        item.with_remotes([remote_base(remote, item.platform) for remote in item.remotes])
        for item in both
    ]
    for item in ready:
        wanted = [
            remote.name
            for step in item.steps
            for remote in item.remotes_of(step)
            if hasattr(remote, "name")
        ]
        assert ["a", "b", "a", "b"] == wanted


def test_one_platform_is_left_as_it_is() -> None:
    single = plan(CROSS)

    assert (single,) == merged([single])


def test_a_stage_on_another_stage_runs_on_that_one_s_platform() -> None:
    """As in BuildKit, whatever its own --platform says."""
    text = "FROM --platform=linux/s390x a AS x\nFROM --platform=linux/riscv64 x\nRUN y\n"

    assert Platform("linux", "s390x") == plan(text).steps[0].platform


def test_an_image_that_is_copied_from_is_the_target_s() -> None:
    text = "FROM --platform=$BUILDPLATFORM a AS x\nCOPY --from=tools /t /t\nRUN y\nFROM b\nCOPY --from=x / /\n"

    wanted = {base.ref: base.platform for base in plan(text, platform=ARM64).bases}
    assert {"a": PLATFORM, "tools": ARM64, "b": ARM64} == {
        name.split("/")[-1].split(":")[0]: platform for name, platform in wanted.items()
    }


AUTOMATIC = [
    ("linux/arm64", "linux/arm64 linux arm64 - linux/amd64 amd64"),
    ("linux/arm/v7", "linux/arm/v7 linux arm v7 linux/amd64 amd64"),
    ("linux/amd64", "linux/amd64 linux amd64 - linux/amd64 amd64"),
]


@pytest.mark.parametrize(("platform", "expected"), AUTOMATIC)
def test_the_automatic_arguments_are_those_of_the_target_and_of_the_machine(
    platform: str, expected: str
) -> None:
    names = "TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDARCH"
    args = "\n".join(f"ARG {name}" for name in names.split())
    label = " ".join(f"${{{name}:--}}" for name in names.split())
    for base in ("scratch", "--platform=$BUILDPLATFORM scratch"):
        made = plan(f'FROM {base}\n{args}\nLABEL l="{label}"\n', platform=Platform.parse(platform))
        assert (("l", expected),) == made.config.labels


def test_scratch_of_another_platform_makes_an_image_of_it() -> None:
    made = plan("FROM --platform=linux/s390x scratch\nLABEL a=b\n")

    assert Platform("linux", "s390x") == made.image_platform
    assert PLATFORM == made.platform


@pytest.mark.parametrize("text", ["linux/$UNSET", "$UNSET", "linux/amd64/v1/x", "x"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        plan(f"FROM --platform={text} a\n")


def test_an_image_that_is_there_for_another_platform_only_is_taken_with_a_warning() -> None:
    """As Docker does: the name stands for a plain manifest, which is what there is."""
    dockerfile = parse("FROM a\nRUN x\n")
    asked: Dict[str, Any] = {"build_args": {}, "target": "", "platform": ARM64}
    (image,) = base_refs(dockerfile, **asked)
    base = replace(resolved(image), config=ConfigFile(PLATFORM))

    made = lower(dockerfile, bases=[base], context=(), **asked)
    expected = (
        'the image "docker.io/library/a:latest" is for linux/amd64, and is taken for linux/arm64'
    )
    assert [f"Dockerfile:1: FROM: {expected}: it is there for no other"] == list(made.warnings)
    assert ARM64 == content_step(StepGraph.of(made, 0), 0, (), ()).platform
