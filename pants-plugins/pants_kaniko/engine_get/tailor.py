"""`pants tailor`: targets for Dockerfiles that nothing owns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from pants.core.goals.tailor import AllOwnedSources, PutativeTargets, PutativeTargetsRequest
from pants.engine.fs import PathGlobs, Paths
from pants.engine.rules import Get, collect_rules, rule
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_kaniko import targets
from pants_kaniko.subsystem import KanikoSubsystem


@dataclass(frozen=True)
class PutativeKanikoTargetsRequest(PutativeTargetsRequest):
    pass


@rule(desc="Find Dockerfiles that nothing owns", level=LogLevel.DEBUG)
async def find_putative_targets(
    request: PutativeKanikoTargetsRequest, owned: AllOwnedSources, options: KanikoSubsystem
) -> PutativeTargets:
    if not options.tailor:
        return PutativeTargets()
    found = await Get(Paths, PathGlobs, request.path_globs("*Dockerfile*"))
    return PutativeTargets(targets.putative(sorted(set(found.files) - set(owned))))


def rules() -> Iterable[Any]:
    return (
        *collect_rules(),
        UnionRule(PutativeTargetsRequest, PutativeKanikoTargetsRequest),
    )
