"""Which interpreter the executor gets."""

from __future__ import annotations

import os
import platform
import sys

import pytest
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest

from pants_kaniko import executor_setup

HERE = platform.python_version()


@pytest.mark.parametrize(
    "constraints", [["CPython>=3.9,<3.15"], [f"=={HERE}"], ["==2.7.*", f"=={HERE}"]]
)
def test_pants_own_will_do(constraints: list[str]) -> None:
    found = executor_setup.own_python(InterpreterConstraints(constraints))

    assert found
    assert os.path.realpath(sys.executable) == found.path


@pytest.mark.parametrize("constraints", [["==2.7.*"], [f"!={HERE},>=3"], ["PyPy>=3.7"], []])
def test_pants_own_will_not(constraints: list[str]) -> None:
    assert executor_setup.own_python(InterpreterConstraints(constraints)) is None


def test_its_libraries_are_for_it_and_held_to_the_constraints() -> None:
    constraints = InterpreterConstraints([f"=={HERE}"])
    python = executor_setup.own_python(constraints)
    assert python
    request = PexRequest(
        output_filename="x.pex", internal_only=True, interpreter_constraints=constraints
    )

    made = executor_setup.made_for(python, request)

    assert (python, constraints) == (made.python, made.interpreter_constraints)
    assert request.python is None
