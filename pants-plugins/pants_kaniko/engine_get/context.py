"""Gather the build context from a target's dependencies, as `docker_image` does."""

from __future__ import annotations

from typing import Any, Iterable

from pants.backend.shell.target_types import ShellSourceField
from pants.core.goals.package import BuiltPackage, EnvironmentAwarePackageRequest, PackageFieldSet
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules import source_files
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.fs import Digest, DigestContents, DigestEntries, MergeDigests, PathGlobs
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.engine.target import (
    Dependencies,
    DependenciesRequest,
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    SourcesField,
    Targets,
    TransitiveTargets,
    TransitiveTargetsRequest,
)
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from imagebuild.check.subject import IgnoreFile
from imagebuild.dockerfile.dockerignore import select_context
from pants_kaniko import targets
from pants_kaniko.package_types import KanikoPackageFieldSet
from pants_kaniko.plans import (
    BuildContext,
    ContextFiles,
    ContextRequest,
    DockerfileRequest,
    DockerfileSource,
)
from pants_kaniko.subsystem import KanikoSubsystem
from pants_kaniko.target_types import KanikoContextRootField


@rule(level=LogLevel.DEBUG)
async def context_files(request: ContextRequest) -> ContextFiles:
    """Sources of the direct dependencies, packages of all of them, and the Dockerfile."""
    transitive = await Get(TransitiveTargets, TransitiveTargetsRequest([request.address]))
    dependencies = DependenciesRequest(transitive.roots[0].get(Dependencies))
    direct, packageable, dockerfile = await MultiGet(
        Get(Targets, DependenciesRequest, dependencies),
        Get(
            FieldSetsPerTarget, FieldSetsPerTargetRequest(PackageFieldSet, transitive.dependencies)
        ),
        Get(DockerfileSource, DockerfileRequest(request.address)),
    )
    types = (FileSourceField, ResourceSourceField, ShellSourceField)
    fields = [target.get(SourcesField) for target in direct]
    sources = await Get(
        SourceFiles, SourceFilesRequest(fields, for_sources_types=types, enable_codegen=True)
    )
    packages = await MultiGet(
        Get(BuiltPackage, EnvironmentAwarePackageRequest(field_set))
        for field_set in packageable.field_sets
        if not isinstance(field_set, KanikoPackageFieldSet)
    )
    digests = (dockerfile.digest, sources.snapshot.digest, *(item.digest for item in packages))
    return ContextFiles(await Get(Digest, MergeDigests(digests)), transitive.roots[0], dockerfile)


@rule(level=LogLevel.DEBUG)
async def build_context(request: ContextRequest, options: KanikoSubsystem) -> BuildContext:
    files = await Get(ContextFiles, ContextRequest, request)
    field = files.target[KanikoContextRootField].value
    root = targets.context_root(field, options.default_context_root, request.address)
    candidates = targets.ignore_files(files.dockerfile.path, root)
    entries, ignore_files = await MultiGet(
        Get(DigestEntries, Digest, files.digest), Get(DigestContents, PathGlobs(candidates))
    )
    found = targets.in_context(entries, root)
    selected = targets.context_entries(found)
    ignores = {file.path: file.content.decode("utf-8", "replace") for file in ignore_files}
    name = next((path for path in candidates if path in ignores), None)
    ignore = IgnoreFile(name, ignores[name]) if name is not None else None
    if ignore is not None:
        selected = select_context(selected, ignore.text, ignore.name)
    kept = FrozenDict({entry.path: found[entry.path] for entry in selected})
    return BuildContext(root, selected, kept, files.digest, ignore)


def rules() -> Iterable[Any]:
    return (*collect_rules(), *source_files.rules())  # type: ignore[no-untyped-call]
