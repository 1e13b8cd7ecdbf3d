"""One registry for a whole run; each test has its own machine and its own cache repository in it."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from support.bench import running_bench
from support.builds import Machine, machine
from support.registry import RealRegistry, running_registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, registry: RealRegistry) -> Machine:
    return machine(tmp_path / "here", registry)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, registry: RealRegistry) -> Iterator[Machine]:
    with running_bench(tmp_path_factory.mktemp("bench"), registry) as there:
        yield there
