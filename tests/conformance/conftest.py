"""One bench for a whole process, and the count at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest

from conformance.harness.bench import Bench, bench


@pytest.fixture(scope="session")
def on_the_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("conformance")) as made:
        yield made


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line that a person or a script can read, whatever else was run."""
    stats = terminalreporter.stats
    failed = sum(len(stats.get(outcome, [])) for outcome in ("failed", "error", "skipped"))
    terminalreporter.write_line(
        f"conformance: {len(stats.get('passed', []))} passed, {failed} failed"
    )
