"""One bench for a whole process, and the count at its end."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from conformance.harness.bench import Bench, bench


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--doubt",
        action="store_true",
        help="put the cases that say buildah is no measure to it as well: one where it agrees fails",
    )
    parser.addoption(
        "--runtime", default="auto", help="our runtime for RUN: namespace, chroot, ..."
    )


@pytest.fixture(scope="session")
def on_the_bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    directory, option = tmp_path_factory.mktemp("conformance"), request.config.getoption
    with bench(directory, option("--runtime"), option("--doubt")) as made:
        yield made


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line that a person or a script can read, whatever else was run."""
    stats = terminalreporter.stats
    failed = sum(len(stats.get(outcome, [])) for outcome in ("failed", "error", "skipped"))
    terminalreporter.write_line(
        f"conformance: {len(stats.get('passed', []))} passed, {failed} failed"
    )
