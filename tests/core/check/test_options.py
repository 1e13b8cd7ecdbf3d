"""Which findings are reported, and when warnings fail the check: the option, the directive, comments."""

from __future__ import annotations

from typing import List, Sequence

import pytest

from imagebuild.check.options import CheckOptions
from imagebuild.errors import UsageError
from support.checks_of_dockerfiles import report

DOUBTFUL = "FROM scratch AS Base\nCMD x\n"
NAMES = ["StageNameCasing", "JSONArgsRecommended"]


def rules(text: str, options: str = "") -> List[str]:
    return [finding.rule for finding in report(text, options=options).findings]


GOOD = [
    ("", CheckOptions()),
    ("skip=all", CheckOptions(frozenset({"all"}))),
    (" skip = A , B ; error = True ", CheckOptions(frozenset("AB"), error=True)),
    ("error=0;experimental=A", CheckOptions(frozenset(), frozenset("A"), False)),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_options(text: str, expected: CheckOptions) -> None:
    assert expected == CheckOptions.parse(text)


BAD = [
    ("skip", '"skip" of the check options is not an option'),
    ("skp=A", '"skp=A" of the check options is not an option'),
    ("skip=A;skip=B", '"skip=B" of the check options is given twice'),
    ("error=yes", '"error=yes" of the check options is neither true nor false'),
    ("skip=A;", '"" of the check options is not an option'),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_what_is_no_option(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        CheckOptions.parse(text)

    assert expected == caught.value.message


REPORTED = [
    ("", "", NAMES),
    ("# check=skip=StageNameCasing", "", NAMES[1:]),
    ("# CHECK = skip=JSONArgsRecommended", "", NAMES[:1]),
    ("#check=skip=StageNameCasing, JSONArgsRecommended", "", []),
    ("# check=skip=all", "", []),
    ("# syntax=docker/dockerfile:1\n# check=skip=StageNameCasing", "", NAMES[1:]),
    ("", "skip=StageNameCasing", NAMES[1:]),
    ("# check=skip=JSONArgsRecommended", "skip=StageNameCasing", []),
    ("# not a directive\n# check=error=true\n", "", NAMES),
]


@pytest.mark.parametrize(("directive", "option", "expected"), REPORTED)
def test_what_is_reported(directive: str, option: str, expected: Sequence[str]) -> None:
    assert list(expected) == rules(f"{directive}\n{DOUBTFUL}", option)


FAILS = [
    ("", "", False),
    ("# check=error=true", "", True),
    ("", "error=true", True),
    ("# check=error=false", "error=true", False),
    ("# check=error=true;skip=all", "", False),
    ("# check=skip=StageNameCasing,JSONArgsRecommended;error=true", "", False),
]


@pytest.mark.parametrize(("directive", "option", "expected"), FAILS)
def test_when_warnings_fail(directive: str, option: str, expected: bool) -> None:
    assert expected == report(f"{directive}\n{DOUBTFUL}", options=option).failed


def test_errors_are_never_skipped() -> None:
    found = report("# check=skip=all\nFROM scratch\nCOPY missing /\n")

    assert ["CopySourceNotFound"] == [finding.rule for finding in found.findings]
    assert found.failed


COMMENTS = [
    ("FROM scratch\n# check=skip=JSONArgsRecommended\nCMD x", []),
    ("FROM scratch\n# check=skip=JSONArgsRecommended because it is so\nCMD x", []),
    ("FROM scratch\n# check=skip=all\n# and more\nCMD x", []),
    ("FROM scratch\n# check=skip=JSONArgsRecommended\n\nCMD x", ["JSONArgsRecommended"]),
    ("FROM scratch\n# check=skip=JSONArgsRecommended\n#\nCMD x", ["JSONArgsRecommended"]),
    ("FROM scratch\n# check=skip=StageNameCasing\nCMD x", ["JSONArgsRecommended"]),
    ("FROM scratch\n# check=nonsense\nCMD x", ["JSONArgsRecommended"]),
    ("FROM scratch\n# check=skip=all\nLABEL a=b\nCMD x", ["JSONArgsRecommended"]),
    (
        "FROM scratch AS A\n# check=experimental=all\n# words\nARG A\nLABEL a=$A",
        ["StageNameCasing", "InvalidDefinitionDescription"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), COMMENTS)
def test_a_comment_above_an_instruction_is_for_it(text: str, expected: Sequence[str]) -> None:
    assert list(expected) == rules(text)


def test_experimental_rules_are_asked_for_by_name_or_all() -> None:
    text = "# words\nFROM scratch AS base\n"
    rule = "InvalidDefinitionDescription"

    assert [] == rules(text)
    assert [rule] == rules(text, f"experimental={rule}")
    assert [rule] == rules(text, "experimental=all;skip=all")
    assert [] == rules(text, f"experimental=all;skip={rule}")
