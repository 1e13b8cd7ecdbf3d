"""Which interpreter the executor gets."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any, Dict

import pytest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest
from pants.testutil.option_util import create_subsystem

from pants_kaniko import executor_setup
from pants_kaniko.subsystem import KanikoExecutor

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


def tool(**options: Any) -> KanikoExecutor:
    defaults = {
        "version": KanikoExecutor.default_version,
        "extra_requirements": list(KanikoExecutor.default_extra_requirements),
        "interpreter_constraints": list(KanikoExecutor.default_interpreter_constraints),
        "install_from_resolve": None,
        "lockfile": "<default>",
        "requirements": [],
    }
    return create_subsystem(KanikoExecutor, **{**defaults, **options})


def test_its_pex_does_not_spoil_the_cache_of_others() -> None:
    """After one that is not compressed, Pex 2.1.137 fails on all that share a distribution with it and are."""
    request = tool().libraries_request(create_subsystem(PythonSetup))

    assert "--no-compress" not in request.additional_args


def test_libraries_of_our_lockfile_are_fetched() -> None:
    assert executor_setup.links(tool())


@pytest.mark.parametrize(
    "options",
    [
        {"install_from_resolve": "mine"},
        {"lockfile": "mine.lock"},
        {"lockfile": "<none>"},
        {"version": "requests==2.32.0"},
        {"extra_requirements": []},
    ],
)
def test_libraries_of_users_are_left_to_pex(options: Dict[str, Any]) -> None:
    assert () == executor_setup.links(tool(**options))
