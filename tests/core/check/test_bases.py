"""What is found once the base images are known, on every platform of the target; and what is not said of the others."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

import pytest

from imagebuild.check.run import Report
from imagebuild.oci.descriptor import Platform
from support.checks_of_dockerfiles import report
from support.dockerfiles import PLATFORM

ARM64 = Platform("linux", "arm64")
BOTH = (PLATFORM, ARM64)
DEBIAN, BASE = "docker.io/library/debian:12", "docker.io/library/base:1"
FROM = "FROM base:1\n"


def lines(found: Report) -> List[str]:
    """Line, rule and message of every finding; "!" for errors."""
    return [
        f"{item.source.start_line}: {'!' if item.severity == 'error' else ''}{item.rule}: {item.message}"
        for item in found.findings
    ]


def rules(text: str, config: Mapping[str, Any], **more: Any) -> List[str]:
    found = report(text, images={BASE: dict(config)}, **more)
    return [":".join(line.split(":")[:2]) for line in lines(found)]


# --- variables --------------------------------------------------------------------------------------------------------

ENV = {"Env": ["APP_HOME=/srv", "VERSIONS=1"]}
VARIABLES = [
    ("LABEL a=$APP_HOME", []),
    ("LABEL a=$PATH", []),
    ("LABEL a=$OTHER", ["2: UndefinedVar"]),
    ("LABEL a=${OTHER:-1} b=${OTHER:+1}", []),
    ("ENV VERSION=1\nLABEL a=$VERSIONS", []),
    ("ARG OTHER\nLABEL a=$OTHER", []),
    ("LABEL a=$TARGETARCH", ["2: UndefinedVar"]),
    ("RUN echo $OTHER", []),
    ('LABEL a="${OTHER:?is needed}"', ["2: !InvalidSubstitution"]),
    ("COPY $APP_HOME/missing /", ["2: !CopySourceNotFound"]),
    ("COPY app.py $APP_HOME/", []),
    ("WORKDIR $APP_HOME", []),
    ("WORKDIR a$APP_HOME", ["2: WorkdirRelativePath"]),
]


@pytest.mark.parametrize(("text", "expected"), VARIABLES)
def test_what_the_image_defines_is_defined_and_nothing_else(
    text: str, expected: Sequence[str]
) -> None:
    assert list(expected) == rules(FROM + text, ENV)


def test_a_stage_on_a_stage_has_the_variables_of_its_image() -> None:
    text = "FROM base:1 AS a\nENV B=1\nFROM a\nLABEL a=$APP_HOME b=$B c=$C"

    assert ["4: UndefinedVar: Usage of undefined variable '$C'"] == lines(
        report(text, images={BASE: ENV})
    )


def test_an_image_that_a_build_arg_chooses() -> None:
    text = "ARG TAG=1\nFROM base:$TAG\nLABEL a=$APP_HOME"
    images = {BASE: ENV, "docker.io/library/base:2": {}}

    assert [] == lines(report(text, images=images))
    (found,) = report(text, images=images, build_args={"TAG": "2"}).findings
    assert "UndefinedVar" == found.rule


UNKNOWN = [
    ("LABEL a=$OTHER", []),
    ("ENV VERSION=1\nLABEL a=$VERSIONS", ["3: UndefinedVar"]),
    ("COPY $APP_HOME/missing /", []),
]


@pytest.mark.parametrize(("text", "expected"), UNKNOWN)
def test_of_an_image_that_is_not_known_only_slips_are_reported(
    text: str, expected: Sequence[str]
) -> None:
    found = report(FROM + text, images={BASE: "connection refused"})

    assert list(expected) == [":".join(line.split(":")[:2]) for line in lines(found)]
    assert not found.failed


def test_stages_that_the_target_does_not_need_are_not_looked_up() -> None:
    text = "FROM debian:12 AS debug\nLABEL a=$OTHER\nFROM base:1\nLABEL a=$OTHER"

    assert ["4: UndefinedVar"] == rules(text, {}, target="1")
    assert [] == rules(text, {}, target="debug")


# --- shells, directories, triggers ------------------------------------------------------------------------------------


def test_a_shell_of_the_image_says_that_one_is_meant() -> None:
    assert ["2: JSONArgsRecommended"] == rules(f"{FROM}CMD x", {})
    assert [] == rules(f"{FROM}CMD x", {"Shell": ["/bin/bash", "-c"]})
    text = "FROM base:1 AS a\nFROM a\nENTRYPOINT x"
    assert [] == rules(text, {"Shell": ["/bin/bash", "-c"]})


def test_a_directory_of_the_image_may_change() -> None:
    assert ["2: WorkdirRelativePath"] == rules(f"{FROM}WORKDIR a", {"WorkingDir": "/srv"})


TRIGGERS: List[Any] = [
    # what they define counts, and what they are like is not the Dockerfile's to mend
    (["ENV A=1", "ARG B=2"], "LABEL a=$A b=$B", []),
    (["ENV A 1", "LABEL a=$C", "CMD x", "ENV TOKEN=1"], "CMD y", ["2: JSONArgsRecommended"]),
    (["WORKDIR /srv"], "WORKDIR a", []),
    (['SHELL ["/bin/bash", "-c"]'], "CMD x", []),
    # what the build would refuse
    (["COPY missing /"], "RUN x", ["1: !CopySourceNotFound"]),
    (["COPY app.py /"], "RUN x", []),
    (["COPPY app.py /"], "RUN x", ["1: !UnknownInstruction"]),
]


@pytest.mark.parametrize(("triggers", "text", "expected"), TRIGGERS)
def test_triggers_of_the_image(triggers: Sequence[str], text: str, expected: Sequence[str]) -> None:
    assert list(expected) == rules(FROM + text, {"OnBuild": triggers})


def test_arguments_that_triggers_declare_are_used() -> None:
    text = "ARG A=1\nFROM base:1\nRUN x"
    given = {"build_args": {"B": "1"}}

    assert ["1: UndeclaredBuildArg", "1: UnusedArg"] == rules(text, {}, **given)
    assert [] == rules(text, {"OnBuild": ["ARG A", "ARG B"]}, **given)


def test_images_that_triggers_name_are_looked_up_too() -> None:
    images: Dict[str, Any] = {
        BASE: {"OnBuild": ["COPY --from=debian:12 /a /"]},
        DEBIAN: {"Platform": "linux/arm64"},
    }
    (found,) = report(f"{FROM}RUN x", images=images).findings

    assert ("InvalidBaseImagePlatform", 1) == (found.rule, found.source.start_line)


# --- platforms --------------------------------------------------------------------------------------------------------

FOR_ARM64 = {"Platform": "linux/arm64"}
WRONG = (
    '1: InvalidBaseImagePlatform: Base image base:1 was pulled with platform "linux/arm64", '
    'expected "linux/amd64" for current build'
)


def test_an_image_for_another_platform_word_for_word() -> None:
    found = report(f"{FROM}RUN x", images={BASE: FOR_ARM64})

    assert [WRONG] == lines(found)
    assert "use an image that is for linux/amd64" == found.findings[0].hint
    assert not found.failed


PLATFORMS: List[Any] = [
    ("FROM base:1", "linux/arm64", ["1: InvalidBaseImagePlatform"]),
    ("FROM base:1", "linux/amd64", []),
    ("FROM base:1", "linux/x86_64", []),
    ("FROM base:1", "linux/amd64/v2", []),
    ("FROM base:1", "windows/amd64", ["1: InvalidBaseImagePlatform"]),
    ("FROM --platform=linux/arm64 base:1 AS for-arm64", "linux/arm64", []),
    ("FROM --platform=linux/arm64 base:1 AS arm64", "linux/amd64", ["1: InvalidBaseImagePlatform"]),
    ("FROM scratch\nCOPY --from=base:1 /a /", "linux/arm64", ["2: InvalidBaseImagePlatform"]),
    (
        "FROM scratch\nRUN --mount=type=bind,from=base:1,target=/a x",
        "linux/arm64",
        ["2: InvalidBaseImagePlatform"],
    ),
    ("FROM base:1 AS a\nFROM a\nFROM a", "linux/arm64", ["1: InvalidBaseImagePlatform"]),
    ("# check=skip=InvalidBaseImagePlatform\nFROM base:1", "linux/arm64", []),
]


@pytest.mark.parametrize(("text", "platform", "expected"), PLATFORMS)
def test_what_an_image_is_for(text: str, platform: str, expected: Sequence[str]) -> None:
    assert list(expected) == rules(text, {"Platform": platform})


def test_an_image_that_is_not_there_for_the_platform_is_an_error() -> None:
    """For the build would fail."""
    found = report(FROM, images={BASE: "only: linux/arm64, linux/s390x"})
    (finding,) = found.findings

    assert [
        f'1: !InvalidBaseImagePlatform: the image "{BASE}" has nothing for linux/amd64'
    ] == lines(found)
    assert "one of linux/arm64, linux/s390x" == finding.expected
    assert () == found.notes


# --- several platforms ------------------------------------------------------------------------------------------------


def test_equal_findings_of_several_platforms_are_shown_once() -> None:
    found = report("FROM scratch\nLABEL a=$B\nCOPY missing /", platforms=BOTH)

    assert ["2: UndefinedVar", "3: !CopySourceNotFound"] == [
        ":".join(line.split(":")[:2]) for line in lines(found)
    ]
    assert "platform" not in str(found)


def test_a_finding_of_one_platform_names_it() -> None:
    text = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH.txt /"
    found = report(text, files=["amd64.txt"], platforms=BOTH)

    assert ['3: !CopySourceNotFound: COPY: "arm64.txt" matches no file in the build context'] == (
        lines(found)
    )
    assert str(found).endswith("\n    platform: linux/arm64")
    assert "platform" not in str(report(text, files=[], platforms=[ARM64]))


def test_every_platform_wants_its_own_image() -> None:
    found = report(f"{FROM}RUN x", images={BASE: FOR_ARM64}, platforms=BOTH)

    assert [WRONG] == lines(found)


def test_what_runs_on_this_machine_is_for_it_whatever_is_built_for() -> None:
    text = "FROM --platform=$BUILDPLATFORM base:1 AS build\nRUN x\nFROM scratch\nCOPY --from=build /a /"

    assert [] == rules(text, {"Platform": str(PLATFORM)}, platforms=[ARM64])
    assert ["1: InvalidBaseImagePlatform"] == rules(text, FOR_ARM64, platforms=[ARM64])


def test_arguments_of_the_build_platform() -> None:
    text = "FROM scratch\nARG BUILDARCH TARGETARCH\nCOPY $BUILDARCH-$TARGETARCH /"

    assert [] == lines(report(text, files=["amd64-arm64"], platforms=[ARM64]))


# --- what is not known ------------------------------------------------------------------------------------------------

REASON = 'looking up "docker.io/library/base:1": https://registry-1.docker.io can\'t be reached: no answer in time'
NOTE = (
    f'Dockerfile:2: note: the image "{BASE}" is not looked at: '
    "https://registry-1.docker.io can't be reached: no answer in time"
)


def test_one_line_says_what_is_not_known_and_why() -> None:
    text = f"# a comment\n{FROM}FROM base:1\nCOPY --from=0 /a /"
    found = report(text, images={BASE: REASON}, platforms=BOTH)

    assert (NOTE,) == found.notes
    assert NOTE == str(found)
    assert not found.failed


REASONS = [
    (f'the image "{BASE}" is not in its registry', "it is not in its registry"),
    ("an image config is not\nJSON\x1b", "an image config is not JSON\\x1b"),
]


@pytest.mark.parametrize(("reason", "expected"), REASONS)
def test_other_reasons(reason: str, expected: str) -> None:
    (note,) = report(FROM, images={BASE: reason}).notes

    assert note.endswith(f" is not looked at: {expected}")
