"""A backend for each test; a registry for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from support.backend import Backend
from support.registry import RealRegistry, running_registry


@pytest.fixture()
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running
