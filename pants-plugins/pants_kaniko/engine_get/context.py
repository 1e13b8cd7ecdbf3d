"""Gather the build context from a target's dependencies, as `docker_image` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Tuple

from pants.backend.shell.target_types import ShellSourceField
from pants.core.goals.package import BuiltPackage, EnvironmentAwarePackageRequest, PackageFieldSet
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules import source_files
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.addresses import UnparsedAddressInputs
from pants.engine.fs import (
    Digest,
    DigestContents,
    DigestEntries,
    MergeDigests,
    PathGlobs,
)
from pants.engine.internals.target_adaptor import TargetAdaptor, TargetAdaptorRequest
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.engine.target import (
    Dependencies,
    DependenciesRequest,
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    SourcesField,
    Target,
    Targets,
    TransitiveTargets,
    TransitiveTargetsRequest,
    UnexpandedTargets,
    WrappedTarget,
    WrappedTargetRequest,
)
from pants.engine.unions import UnionMembership
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel
from pants.util.ordered_set import FrozenOrderedSet

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


@dataclass(frozen=True)
class ContextTargets:
    """A target and what it depends on.

    :param leaves: files among the direct dependencies, and generators of files, with nothing behind them.
    :param direct: the other direct dependencies.
    :param needed: these, with all that they depend on.
    """

    target: Target
    leaves: Tuple[Target, ...]
    direct: Tuple[Target, ...]
    needed: Tuple[Target, ...]


@rule(level=LogLevel.DEBUG)
async def context_targets(request: ContextRequest, unions: UnionMembership) -> ContextTargets:
    """As `TransitiveTargets` has them, but for leaves: Pants would find out what each file depends on, and look at that
    again in every run, at some 100 us of processor time each."""
    where = "<infallible>"
    wrapped = await Get(
        WrappedTarget, WrappedTargetRequest(request.address, description_of_origin=where)
    )
    target = wrapped.target
    found = await Get(UnexpandedTargets, DependenciesRequest(target.get(Dependencies)))
    plain = targets.plain_files(found, unions)
    addresses = tuple({targets.written_at(each): None for each in plain})
    adaptors = await MultiGet(
        Get(TargetAdaptor, TargetAdaptorRequest(address, description_of_origin=where))
        for address in addresses
    )
    written = {address: adaptor.kwargs for address, adaptor in zip(addresses, adaptors)}
    leaves = targets.leaves(plain, written)
    others = UnexpandedTargets(FrozenOrderedSet(found).difference(leaves))
    direct = await Get(Targets, UnexpandedTargets, others)
    roots = TransitiveTargetsRequest(each.address for each in direct)
    transitive = await Get(TransitiveTargets, TransitiveTargetsRequest, roots)
    excludes = [
        each.get(Dependencies).unevaluated_transitive_excludes
        for each in (target, *transitive.closure)
    ]
    excluded = await MultiGet(
        Get(Targets, UnparsedAddressInputs, unparsed) for unparsed in excludes if unparsed.values
    )
    needed = transitive.closure.difference(*excluded)
    return ContextTargets(target, leaves, tuple(direct), tuple(needed))


@rule(level=LogLevel.DEBUG)
async def context_files(request: ContextRequest) -> ContextFiles:
    """Sources of the direct dependencies, packages of all of them, and the Dockerfile."""
    found = await Get(ContextTargets, ContextRequest, request)
    packageable, dockerfile = await MultiGet(
        Get(FieldSetsPerTarget, FieldSetsPerTargetRequest(PackageFieldSet, found.needed)),
        Get(DockerfileSource, DockerfileRequest(request.address)),
    )
    types = (FileSourceField, ResourceSourceField, ShellSourceField)
    fields = [target.get(SourcesField) for target in found.direct]
    sources = await Get(
        SourceFiles, SourceFilesRequest(fields, for_sources_types=types, enable_codegen=True)
    )
    files = await MultiGet(
        Get(Digest, PathGlobs, globs) for globs in targets.sources_of(found.leaves)
    )
    packages = await MultiGet(
        Get(BuiltPackage, EnvironmentAwarePackageRequest(field_set))
        for field_set in packageable.field_sets
        if not isinstance(field_set, KanikoPackageFieldSet)
    )
    made = (item.digest for item in packages)
    digests = (dockerfile.digest, sources.snapshot.digest, *files, *made)
    return ContextFiles(await Get(Digest, MergeDigests(digests)), found.target, dockerfile)


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
