"""One registry for a whole run; each test has its own machine and its own cache repository in it."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from support.builds import Machine, machine
from support.registry import RealRegistry, running_registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, registry: RealRegistry) -> Machine:
    return machine(tmp_path / "here", registry)
