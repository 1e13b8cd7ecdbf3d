"""Whether a process works or waits, told from two looks at it."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Iterator

import pytest

from imagebuild.serve.busy import Look, look


@contextmanager
def shell(script: str) -> Iterator[int]:
    process = subprocess.Popen(["sh", "-c", script])
    try:
        time.sleep(0.2)  # it has started
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "script",
    ["sleep 9; true", "true & exec sleep 9"],
    ids=["all sleep", "a child has ended that nobody waits for"],
)
def test_one_in_which_nothing_goes_on_waits(script: str) -> None:
    with shell(script) as pid:
        before = look(pid)
        time.sleep(0.05)

        assert look(pid).waited_since(before)


CHILD_OF_A_MOMENT = f"""exec {sys.executable} -c '
import subprocess, time
time.sleep(1)
subprocess.run(["/bin/true"])
time.sleep(9)'"""


@pytest.mark.parametrize(
    "script",
    ["sleep 0.5; sleep 9; true", CHILD_OF_A_MOMENT],
    ids=["it was seen", "neither look saw it"],
)
def test_one_whose_child_ended_meanwhile_worked(script: str) -> None:
    """However little that took, and though nobody is seen to run."""
    with shell(script) as pid:
        before = look(pid)
        time.sleep(1.2)

        assert not look(pid).waited_since(before)


def test_one_that_started_something_that_waits_waits() -> None:
    """What a RUN starts is not there yet when it is looked at for the first time."""
    assert Look(1, False, 70).waited_since(Look(0, False, 70))
