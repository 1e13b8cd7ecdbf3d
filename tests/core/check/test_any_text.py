"""Whatever a Dockerfile holds, the check ends with a report; and it has an error whenever the build would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.check.finding import ERROR
from imagebuild.check.likeness import near
from imagebuild.check.run import Report
from imagebuild.dockerfile.dockerignore import select_context
from imagebuild.errors import ImageBuildError
from imagebuild.oci.descriptor import Platform
from support.checks_of_dockerfiles import FILES, report
from support.dockerfile_texts import dockerfile_lines
from support.dockerfiles import GOLDEN, PLATFORM, file_entry, plan

WORDS = (
    "FROM from AS a scratch ARG $A ${A:?} COPY --from= RUN <<E E # check= skip=all ; ' [ ONBUILD"
)
PIECES = st.sampled_from([*WORDS.split(), '"', " ", "\n", "\\\n", "\n\n", "\x1b", "\udc80", "\0"])
BOTH = (PLATFORM, Platform("linux", "arm64"))


class Images(Dict[str, Any]):
    """Every image is known, as the golden cases have it: those that they do not name have an empty config."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Dict[str, Any]:
        return {}


@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_text_has_a_report(text: str) -> None:
    found = report(text, options="experimental=all")

    assert str(found).replace("\n", "").isprintable()

    images = Images({"docker.io/library/a:latest": {"Env": ["A=1"], "OnBuild": ["ENV B=$C"]}})
    known = report(text, options="experimental=all", images=images, platforms=BOTH)
    assert str(known).replace("\n", "").isprintable()


@given(dockerfile_lines())
def test_what_cannot_be_lowered_has_an_error(lines: List[str]) -> None:
    """In a Dockerfile whose stages all start from nothing; a base image may define what is missing here."""
    own = (line for line in lines if "FROM" not in line)
    text = "\n".join(["FROM scratch", *own, ""])

    assert fails(text) == has_error(report(text))


@given(dockerfile_lines())
def test_what_cannot_be_lowered_on_known_images_has_an_error(lines: List[str]) -> None:
    text = "\n".join(["FROM a", *lines, ""])

    assert fails(text) == has_error(report(text, images=Images()))


def has_error(found: Report) -> bool:
    return any(finding.severity == ERROR for finding in found.findings)


def fails(text: str) -> bool:
    """Whether the build refuses it."""
    entries = [file_entry(path) for path in FILES]
    try:
        plan(text, entries)
    except ImageBuildError:
        return True
    return False


# What is missing there may be a variable of the base image.
UNKNOWN = ("copy-heredoc-expansion", "env-empty-name", "substitution-required")


def cases(kind: str) -> List[Path]:
    """Golden cases for the usual platform that do not hang on what a base image says of itself."""
    found = sorted(path.parent for path in (GOLDEN / kind).glob("*/Dockerfile"))
    return [
        case
        for case in found
        if case.name not in UNKNOWN and not {"bases", "platform"} & build_of(case).keys()
    ]


def build_of(case: Path) -> Dict[str, Any]:
    file = case / "build.json"
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


def report_of(case: Path, images: Mapping[str, Any] = {}) -> Report:
    build = build_of(case)
    ignore = case / "Dockerfile.dockerignore"
    ignored = ignore.read_text("utf-8") if ignore.exists() else ""
    root = case / "context"
    files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    kept = select_context([file_entry(path) for path in sorted(files)], ignored, ignore.name)
    return report(
        (case / "Dockerfile").read_bytes().decode("utf-8", "surrogateescape"),
        files=[entry.path for entry in kept],
        ignore=ignored,
        build_args=build.get("build_args", {}),
        target=build.get("target", ""),
        images=images,
        platforms=[Platform.parse(build.get("platform", str(PLATFORM)))],
    )


def all_cases(kind: str) -> List[Any]:
    """With nothing known of base images, as far as that goes, and with all."""
    unknown = [pytest.param(case, False, id=case.name) for case in cases(kind)]
    every = sorted(path.parent for path in (GOLDEN / kind).glob("*/Dockerfile"))
    return [*unknown, *(pytest.param(case, True, id=f"{case.name}-known") for case in every)]


def images_of(case: Path, known: bool) -> Mapping[str, Any]:
    return Images(build_of(case).get("bases", {})) if known else {}


@pytest.mark.parametrize(("case", "known"), all_cases("errors"))
def test_whatever_the_build_refuses_is_an_error(case: Path, known: bool) -> None:
    """With the words and the line of the build, whose golden files these are."""
    said = (case / "error.txt").read_text("utf-8").splitlines()[0]
    try:
        found = report_of(case, images_of(case, known)).findings
    except ImageBuildError as error:  # the ignore file is wrong
        assert said == str(error).splitlines()[0]
        return

    errors = [
        f"{finding.source}: {finding.message}" for finding in found if finding.severity == ERROR
    ]
    assert said in [*errors, *(text.replace(":1: ", ": ", 1) for text in errors)]


@pytest.mark.parametrize(("case", "known"), all_cases("plans"))
def test_what_can_be_built_has_no_error(case: Path, known: bool) -> None:
    found = report_of(case, images_of(case, known)).findings

    assert [] == [finding for finding in found if finding.severity == ERROR]


NEAR = [
    ("VERSON", "VERSION"),
    ("VERSIOON", "VERSION"),
    ("VRESION", "VERSION"),
    ("VERSIOM", "VERSION"),
    ("version", "VERSION"),
    ("GO_PATH", "GOPATH"),
]
FAR = [
    ("NODE_VERSION", "NODE_OPTIONS"),
    ("GOPROXY", "GOPATH"),
    ("AB", "AC"),
    ("python", "python-base"),
    ("VERSION", "VERSION"),
]


@pytest.mark.parametrize(("word", "name"), NEAR)
def test_near(word: str, name: str) -> None:
    assert name == near(word, ["OTHER", name])


@pytest.mark.parametrize(("word", "name"), FAR)
def test_far(word: str, name: str) -> None:
    assert "" == near(word, [name])
