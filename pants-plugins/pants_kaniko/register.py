"""The entry point that Pants loads: ``backend_packages = ["pants_kaniko"]``."""

from __future__ import annotations

from typing import Any, Iterable, Type

from pants.engine.target import Target

from pants_kaniko.engine_get import (
    bases,
    calls,
    check,
    context,
    deliver,
    dependencies,
    dockerfile,
    executor,
    package,
    plan,
    publish,
    remotes,
    run,
    steps,
    tailor,
)
from pants_kaniko.target_types import KanikoImageTarget

_MODULES = (
    bases,
    calls,
    check,
    context,
    deliver,
    dependencies,
    dockerfile,
    executor,
    package,
    plan,
    publish,
    remotes,
    run,
    steps,
    tailor,
)


def rules() -> Iterable[Any]:
    """Every rule of the backend."""
    return tuple(rule for module in _MODULES for rule in module.rules())


def target_types() -> Iterable[Type[Target]]:
    return (KanikoImageTarget,)
