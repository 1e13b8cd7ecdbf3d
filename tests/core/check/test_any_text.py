"""Whatever a Dockerfile holds, the check ends with a report; and it has an error whenever the build would."""

from __future__ import annotations

from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.check.finding import ERROR
from imagebuild.check.likeness import near
from imagebuild.errors import ImageBuildError
from support.checks_of_dockerfiles import FILES, report
from support.dockerfile_texts import dockerfile_lines
from support.dockerfiles import file_entry, plan

WORDS = (
    "FROM from AS a scratch ARG $A ${A:?} COPY --from= RUN <<E E # check= skip=all ; ' [ ONBUILD"
)
PIECES = st.sampled_from([*WORDS.split(), '"', " ", "\n", "\\\n", "\n\n", "\x1b", "\udc80", "\0"])


@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_text_has_a_report(text: str) -> None:
    found = report(text, options="experimental=all")

    assert str(found).replace("\n", "").isprintable()


@given(dockerfile_lines())
def test_what_cannot_be_lowered_has_an_error(lines: List[str]) -> None:
    """In a Dockerfile whose stages all start from nothing; a base image may define what is missing here."""
    text = "\n".join(line for line in lines if "FROM" not in line)
    text = f"FROM scratch\n{text}\n"
    entries = [file_entry(path) for path in FILES]
    try:
        plan(text, entries)
        fails = False
    except ImageBuildError:
        fails = True

    assert fails == any(finding.severity == ERROR for finding in report(text).findings)


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
