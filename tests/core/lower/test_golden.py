"""What Dockerfiles become: a plan, or an error, word for word. ``--update-golden`` writes the files anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable, List

import pytest

from imagebuild import canonical
from imagebuild.dockerfile.instructions import INSTRUCTIONS
from imagebuild.errors import ImageBuildError
from support.dockerfiles import GOLDEN, plan_case

Check = Callable[[Path, str], None]


def cases(kind: str) -> List[Path]:
    return sorted(path.parent for path in (GOLDEN / kind).glob("*/Dockerfile"))


@pytest.mark.parametrize("case", cases("plans"), ids=lambda case: case.name)
def test_a_dockerfile_becomes_its_plan(case: Path, golden: Check) -> None:
    document = canonical.encode(plan_case(case))
    document["bases"] = [base["ref"] for base in document["bases"]]

    golden(case / "plan.json", json.dumps(document, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("case", cases("errors"), ids=lambda case: case.name)
def test_an_error_says_where_what_and_what_to_do(case: Path, golden: Check) -> None:
    with pytest.raises(ImageBuildError) as caught:
        plan_case(case)

    golden(case / "error.txt", f"{caught.value}\n")


@pytest.mark.parametrize("keyword", sorted(INSTRUCTIONS))
def test_every_instruction_has_a_golden_case(keyword: str) -> None:
    assert (GOLDEN / "plans" / keyword.lower() / "Dockerfile").exists()
