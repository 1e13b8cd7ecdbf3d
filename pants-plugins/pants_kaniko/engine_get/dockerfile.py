"""Find the Dockerfile of a target."""

from __future__ import annotations

from typing import Any, Iterable

from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent
from pants.engine.rules import Get, collect_rules, rule
from pants.engine.target import (
    HydratedSources,
    HydrateSourcesRequest,
    WrappedTarget,
    WrappedTargetRequest,
)
from pants.util.logging import LogLevel

from pants_kaniko import targets
from pants_kaniko.plans import DockerfileRequest, DockerfileSource
from pants_kaniko.target_types import KanikoInstructionsField, KanikoSourceField


@rule(level=LogLevel.DEBUG)
async def find_dockerfile(request: DockerfileRequest) -> DockerfileSource:
    wrapped = await Get(
        WrappedTarget, WrappedTargetRequest(request.address, description_of_origin="<infallible>")
    )
    target = wrapped.target
    hydrated = await Get(HydratedSources, HydrateSourcesRequest(target[KanikoSourceField]))
    instructions = target[KanikoInstructionsField].value
    targets.check_one_dockerfile(request.address, hydrated.snapshot.files, instructions)
    digest = hydrated.snapshot.digest
    if instructions:
        path, text = targets.inline_dockerfile(request.address, instructions)
        digest = await Get(Digest, CreateDigest([FileContent(path, text.encode())]))
    contents = await Get(DigestContents, Digest, digest)
    return targets.dockerfile_source(contents[0].path, contents[0].content, digest)


def rules() -> Iterable[Any]:
    return collect_rules()
