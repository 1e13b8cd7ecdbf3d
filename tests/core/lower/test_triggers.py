"""ONBUILD: what a base image or stage has left is as if it were written behind FROM, once."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuild.dockerfile.instructions.onbuild import NO_TRIGGERS
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ImageBuildError
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.plan import Plan, WantedImage
from imagebuild.lower import base_refs
from support.dockerfile_texts import INSTRUCTION
from support.dockerfiles import PLATFORM, file_entry, plan, resolved

BASE = "example.org/base:1"
CONTEXT = [file_entry("b/d/e"), file_entry("w")]
TRIGGERS = st.lists(
    INSTRUCTION.filter(lambda text: text.split()[0] not in NO_TRIGGERS), min_size=1, max_size=4
)


def outcome(text: str, **options: object) -> Tuple[object, ...]:
    """Without what tells where it comes from."""
    try:
        found: Plan = plan(text, CONTEXT, **options)  # type: ignore[arg-type]
    except ImageBuildError as error:
        return ("refused", type(error))
    return found.steps, found.config, found.history, found.remotes, found.target


@settings(max_examples=60)
@given(TRIGGERS)
def test_triggers_of_an_image_are_as_if_they_were_written(triggers: List[str]) -> None:
    built_on = outcome(f"FROM {BASE}\nRUN own", bases={BASE: {"OnBuild": triggers}})
    written = outcome("\n".join([f"FROM {BASE}", *triggers, "RUN own"]))

    if "refused" in (built_on[0], written[0]):
        assert built_on[0] == written[0]
    else:
        assert built_on == written


@settings(max_examples=60)
@given(TRIGGERS)
def test_triggers_of_a_stage_are_as_if_they_were_written(triggers: List[str]) -> None:
    left = [f"ONBUILD {text}" for text in triggers]
    built_on = outcome("\n".join([f"FROM {BASE} AS base", *left, "FROM base", "RUN own"]))
    written = outcome("\n".join([f"FROM {BASE} AS base", "FROM base", *triggers, "RUN own"]))

    if "refused" in (built_on[0], written[0]):
        assert built_on[0] == written[0]
    else:
        assert built_on == written


def test_they_are_run_once_and_stay_in_no_image() -> None:
    bases = {BASE: {"OnBuild": ["RUN left"]}}
    text = f"FROM {BASE} AS child\nONBUILD RUN mine\nFROM child AS grandchild\nFROM grandchild\n"

    assert ("RUN mine",) == plan(text, bases=bases, target="child").config.on_build
    found = plan(text, bases=bases)
    assert () == found.config.on_build
    assert ["/bin/sh -c left", "/bin/sh -c mine"] == [
        " ".join(step.op.args) for step in found.steps if isinstance(step.op, ExecOp)
    ]


def test_images_of_triggers_are_known_once_their_image_is() -> None:
    """A trigger may need a stage that nothing needed before, on an image with a trigger of its own."""
    dockerfile = parse(f"FROM example.org/lib:1 AS lib\nRUN make\nFROM {BASE}\n")
    known = [WantedImage(BASE, PLATFORM)]

    def refs(**configs: object) -> Tuple[WantedImage, ...]:
        bases = [
            resolved(image, {"OnBuild": configs.get(image.ref.partition("/")[2][:-2], [])})
            for image in known
        ]
        return base_refs(dockerfile, build_args={}, target="", platform=PLATFORM, bases=bases)

    assert known == list(refs())
    triggers = {"base": ["COPY --from=lib /a /b"], "lib": ["RUN --mount=from=tool,target=/t true"]}
    names = []
    while len(known) < len(refs(**triggers)):
        known = list(refs(**triggers))
        names.append(known[-1].ref)
    assert ["example.org/lib:1", "docker.io/library/tool:latest"] == names


def test_a_trigger_tells_who_left_it() -> None:
    with pytest.raises(ImageBuildError) as caught:
        plan(f"FROM {BASE}\n", bases={BASE: {"OnBuild": ["RUN true", "USER a:b:c"]}})

    assert f'FROM: the trigger "USER a:b:c" of the image "{BASE}"' in caught.value.message
    assert "Dockerfile:1" == str(caught.value.origin)
