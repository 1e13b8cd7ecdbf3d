"""Whatever bytes a Dockerfile is, it becomes a plan or an error of the project's own; never anything else, never without end.

A few seconds of it in every test run. For longer:

    pytest tests/core/lower/test_fuzz.py --fuzz-minutes 10

What it finds it prints as an assertion with the shortest Dockerfile that does it: keep that as a file of
tests/golden/fuzz/ (NAME.Dockerfile), where every run tries it again and mutates it further.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from support.fuzzing import ANY, files, survive


@pytest.mark.parametrize("path", files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_golden_dockerfile(path: Path) -> None:
    survive(path.read_bytes())


def test_any_dockerfile_is_planned_or_refused(request: pytest.FixtureRequest) -> None:
    minutes = float(request.config.getoption("--fuzz-minutes"))
    end = time.monotonic() + 60 * minutes
    while True:
        _fuzz(300 if minutes else 60)
        if time.monotonic() >= end:
            return


def _fuzz(examples: int) -> None:
    """One round, each with other examples; a failure is made as small as it gets."""

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=ANY)
    def fuzz(data: bytes) -> None:
        survive(data)

    fuzz()
