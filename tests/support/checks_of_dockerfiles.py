"""Dockerfiles checked with a context that exists only here: the one that docs/checks.md speaks of."""

from __future__ import annotations

from typing import AbstractSet, List, Mapping, Sequence

from imagebuild.check.finding import Finding
from imagebuild.check.options import CheckOptions
from imagebuild.check.run import Report, check
from imagebuild.check.subject import CheckInput, IgnoreFile
from support.dockerfiles import PLATFORM, file_entry

FILES = ("app.py", "conf/app.ini")
IGNORE = "*.log\n"


def report(
    text: str,
    *,
    files: Sequence[str] = FILES,
    ignore: str = IGNORE,
    build_args: Mapping[str, str] = {},
    target: str = "",
    shared_args: AbstractSet[str] = frozenset(),
    used_args: AbstractSet[str] = frozenset(),
    options: str = "",
) -> Report:
    given = CheckInput(
        text,
        "Dockerfile",
        PLATFORM,
        tuple(file_entry(path) for path in files),
        IgnoreFile(".dockerignore", ignore),
        build_args,
        target,
        frozenset(shared_args),
        frozenset(used_args),
        CheckOptions.parse(options),
    )
    return check(given)


def findings(text: str, *, build_args: Mapping[str, str] = {}) -> List[Finding]:
    return list(report(text, build_args=build_args).findings)
