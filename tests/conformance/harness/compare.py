"""Two images side by side, entry by entry."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from conformance.harness.cases import Case
from conformance.harness.flatten import Flat
from conformance.harness.normalise import config

GONE = "gone"


def differences(expected: Flat, got: Flat) -> List[str]:
    """What is not the same: one line for each path or config member, empty for equal images."""
    found = _rows(expected.tree, got.tree)
    found += _rows(_texts(config(expected)), _texts(config(got)))
    if expected.platform != got.platform:
        found += _rows({"platform": expected.platform}, {"platform": got.platform})
    return found


def against_written(case: Case, base: Flat, got: Flat) -> List[str]:
    """What is not as the case says: a tree or a config that it leaves out may be anything."""
    found: List[str] = []
    if case.tree is not None:
        found += _rows(case.tree, changed(base.tree, got.tree))
    if case.config is not None:
        there = changed(_texts(config(base)), _texts(config(got)))
        said = {
            name: GONE if value is None else _texts({name: value})[name]
            for name, value in case.config.items()
        }
        found += _rows(said, there)
    return found


def changed(base: Dict[str, str], image: Dict[str, str]) -> Dict[str, str]:
    """The entries of `image` that `base` has not, or has otherwise; "gone" for those it lost."""
    rows = {name: line for name, line in image.items() if base.get(name) != line}
    return {**rows, **{name: GONE for name in base if name not in image}}


def _texts(members: Dict[str, Any]) -> Dict[str, str]:
    return {name: json.dumps(value, sort_keys=True) for name, value in members.items()}


def _rows(expected: Dict[str, str], got: Dict[str, str]) -> List[str]:
    return [
        f"{name}\n    expected: {expected.get(name, '(nothing)')}\n    got:      {got.get(name, '(nothing)')}"
        for name in sorted({*expected, *got})
        if expected.get(name) != got.get(name)
    ]
