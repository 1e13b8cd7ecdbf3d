"""A store with a busybox base for each test; every mount is in a namespace of a child."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

import pytest

from support.steps import Steps


@pytest.fixture(autouse=True)
def _machine_is_left_alone() -> Iterator[None]:
    """No mount of a test is ever seen outside, and no process stays."""
    assert os.geteuid() == 0, "these tests need root"
    mounts = Path("/proc/self/mountinfo").read_text()
    yield
    assert mounts == Path("/proc/self/mountinfo").read_text()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps.at(tmp_path)
