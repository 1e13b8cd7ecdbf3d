"""What holds for every test of this repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Callable, Generator

import pytest
from hypothesis import settings

# A law holds or does not, however busy the machine is.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# Pants names our source roots relative to the directory it starts pytest in: a test, or a program that it starts, that
# works in another directory would not find them.
for _variable in ("PYTHONPATH", "__PEX_EXTRA_SYS_PATH__"):
    if _variable in os.environ:
        _roots = os.environ[_variable].split(os.pathsep)
        os.environ[_variable] = os.pathsep.join(map(os.path.abspath, _roots))
sys.path[:] = [os.path.abspath(entry) if entry else entry for entry in sys.path]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """In CI a skipped test is a failed one: nothing goes unseen because a tool was missing."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, which CI does not allow: {report.longrepr}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is there now into tests/golden/, to be reviewed",
    )
    parser.addoption(
        "--fuzz-minutes", default="0", help="how long tests/core/lower/test_fuzz.py looks for more"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a file of tests/golden/, or write it there with ``--update-golden``."""

    def check(path: Path, actual: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(actual, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == actual

    return check
