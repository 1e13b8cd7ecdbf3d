"""Servers on loopback, and a machine of its own for each test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional

import pytest

from imagebuild.execute.effects import Effects
from imagebuild.store.store import Store
from support.fault_proxy import FaultProxy, fault_proxy
from support.git_server import GitServer, Repository, git_server


@pytest.fixture()
def web() -> Iterator[FaultProxy]:
    """A web server that has only what a test gives it."""
    with fault_proxy() as running:
        yield running


@pytest.fixture()
def git(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as running:
        yield running


@pytest.fixture()
def repository(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "repository")


@pytest.fixture()
def machine(tmp_path: Path) -> Callable[..., Effects]:
    """The outside world of a machine, by its name; one name is one store."""

    def make(name: str = "here", environ: Optional[Dict[str, str]] = None) -> Effects:
        given = {"PATH": os.environ["PATH"], **(environ or {})}
        return Effects(Store(str(tmp_path / name)), given)

    return make
