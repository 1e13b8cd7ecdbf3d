"""docs/checks.md has every rule; of its two examples, the first has the finding and the second has none at all."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Tuple

import pytest

from imagebuild.check.finding import ERROR
from imagebuild.check.rules import BUILDKIT_RULES, OWN_RULES, RULES
from support.checks_of_dockerfiles import findings
from support.documents import ROOT

PAGE = (ROOT / "docs/checks.md").read_text("utf-8")
GIVEN: Dict[str, Dict[str, Any]] = {
    "InvalidBaseImagePlatform": {
        "images": {
            "docker.io/arm64v8/debian:12": {"Platform": "linux/arm64"},
            "docker.io/library/debian:12": {},
        }
    },
    "UndeclaredBuildArg": {"build_args": {"VERSION": "2"}},
}

# What `docker build --check` has.
BUILDKIT = """
StageNameCasing FromAsCasing NoEmptyContinuation ConsistentInstructionCasing DuplicateStageName ReservedStageName
JSONArgsRecommended MaintainerDeprecated UndefinedArgInFrom WorkdirRelativePath UndefinedVar InvalidBaseImagePlatform
MultipleInstructionsDisallowed LegacyKeyValueFormat RedundantTargetPlatform SecretsUsedInArgOrEnv
InvalidDefaultArgInFrom FromPlatformFlagConstDisallowed CopyIgnoredFile InvalidDefinitionDescription ExposeProtoCasing
ExposeInvalidFormat
"""


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return PAGE[PAGE.index(f"\n## {title}\n") :].partition("\n## ")[2].partition("\n## ")[0]


def rules_of(title: str) -> List[str]:
    return re.findall(r"^### (\w+)$", section(title), re.MULTILINE)


def examples() -> Dict[str, Tuple[str, ...]]:
    parts = re.split(r"^### (\w+)$", PAGE, flags=re.MULTILINE)[1:]
    return {
        name: tuple(re.findall(r"^```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
        for name, text in zip(parts[::2], parts[1::2])
    }


EXAMPLES = examples()


def test_the_rules_of_docker_are_all_here() -> None:
    assert sorted(BUILDKIT.split()) == sorted(rule.name for rule in BUILDKIT_RULES)


def test_every_rule_has_a_section() -> None:
    assert sorted(rule.name for rule in BUILDKIT_RULES) == rules_of(
        "Rules of `docker build --check`"
    )
    assert sorted(rule.name for rule in OWN_RULES) == rules_of("Rules of our own")


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_the_first_example_has_the_finding_and_the_second_has_none(rule: str) -> None:
    bad, good = EXAMPLES[rule]

    assert rule in {found.rule for found in findings(bad, **GIVEN.get(rule, {}))}
    assert [] == findings(good, **GIVEN.get(rule, {}))


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_a_rule_is_called_an_error_where_it_is_one(rule: str) -> None:
    found = findings(EXAMPLES[rule][0], **GIVEN.get(rule, {}))
    severity = {finding.severity for finding in found if finding.rule == rule}
    text = PAGE[PAGE.index(f"\n### {rule}\n") :].split("\n", 2)[2].lower()

    assert (severity == {ERROR}) == text.startswith("an error")
