"""What a target's fields and the options come to, before any rule acts on them. Plain functions."""

from __future__ import annotations

import os
from typing import Any, Dict, FrozenSet, Iterable, Mapping, Optional, Sequence, Tuple, Type, cast

from pants.core.goals.tailor import PutativeTarget
from pants.core.target_types import (
    FilesGeneratorTarget,
    FileTarget,
    ResourcesGeneratorTarget,
    ResourceTarget,
)
from pants.engine.addresses import Address
from pants.engine.fs import (
    Digest,
    FileEntry,
    GlobMatchErrorBehavior,
    PathGlobs,
    SymlinkEntry,
)
from pants.engine.platform import Platform as PantsPlatform
from pants.engine.target import (
    FieldSet,
    InferDependenciesRequest,
    InvalidFieldException,
    SourcesField,
    Target,
    TargetGenerator,
)
from pants.engine.unions import UnionMembership
from pants.option.global_options import UnmatchedBuildFileGlobs

from imagebuild.dockerfile.model import Dockerfile
from imagebuild.errors import DockerfileSyntaxError
from imagebuild.llb.plan import ContextEntry
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.hash import Hash
from pants_kaniko.plans import DockerfileSource, Entry
from pants_kaniko.target_types import KanikoImageTarget, KanikoSourceField

_UNMATCHED = UnmatchedBuildFileGlobs(GlobMatchErrorBehavior.ignore)
"""Pants has said so where it read the target."""


def check_one_dockerfile(
    address: Address, files: Sequence[str], instructions: Optional[Sequence[str]]
) -> None:
    """:raises InvalidFieldException: for a target with two Dockerfiles, or none."""
    if instructions and files:
        raise InvalidFieldException(
            f"The `kaniko_image` {address} has both a Dockerfile ({files[0]}) and `instructions`. "
            "Set `source=None`, or remove `instructions`."
        )
    if not instructions and not files:
        raise InvalidFieldException(
            f"The `kaniko_image` {address} has no Dockerfile. Add one beside its BUILD file, name another file in "
            "`source`, or give its content in `instructions`."
        )


def inline_dockerfile(address: Address, instructions: Sequence[str]) -> Tuple[str, str]:
    """Path and text of the Dockerfile that `instructions` are."""
    name = ".".join(filter(None, ("Dockerfile", address.target_name, address.generated_name)))
    return os.path.join(address.spec_path, name), "\n".join([*instructions, ""])


def dockerfile_source(path: str, content: bytes, digest: Digest) -> DockerfileSource:
    """:raises DockerfileSyntaxError: for a file that is not text."""
    try:
        return DockerfileSource(path, content.decode("utf-8"), digest)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DockerfileSyntaxError(
            f"{path}:{line}: the Dockerfile is not UTF-8", hint="save it as UTF-8"
        ) from None


def context_root(field: Optional[str], default: str, address: Address) -> str:
    """The context's directory relative to the build root; "" for the build root."""
    root = field if field is not None else default
    if root.startswith("./") or root == ".":
        root = os.path.join(address.spec_path, root)
    root = os.path.normpath(root) if root else ""
    return "" if root == "." else root


def build_args(
    options: Iterable[str], field: Iterable[str], environ: Mapping[str, str]
) -> Dict[str, str]:
    """Values of ARGs: of the options, then of the target; a name alone takes its value from the environment, and stays
    without one where that has none (the default of its ARG holds then)."""
    values: Dict[str, str] = {}
    for entry in (*options, *field):
        name, has_value, value = entry.partition("=")
        if has_value:
            values[name] = value
        elif name in environ:
            values[name] = environ[name]
        else:
            values.pop(name, None)
    return values


def shared_args(options: Iterable[str], field: Iterable[str]) -> FrozenSet[str]:
    """Names of the build args that the options give to every Dockerfile, and the target does not give itself."""
    given, own = ({entry.partition("=")[0] for entry in entries} for entries in (options, field))
    return frozenset(given - own)


def names_from_environment(*lists: Iterable[str]) -> Tuple[str, ...]:
    """The build args whose values come from the environment."""
    return tuple(sorted({entry for entries in lists for entry in entries if "=" not in entry}))


def plain_files(found: Iterable[Target], unions: UnionMembership) -> Tuple[Target, ...]:
    """Generators of files and resources, and what these generate, if nothing infers dependencies of it. All of their files
    are there; whether that of a single target is, Pants has to see."""
    requests: Iterable[Type[InferDependenciesRequest[Any]]] = unions.get(InferDependenciesRequest)
    inferring = [cast(Type[FieldSet], each.infer_from).required_fields for each in requests]
    kinds = [
        (generated, generator)
        for generated, generator in (
            (FileTarget, FilesGeneratorTarget),
            (ResourceTarget, ResourcesGeneratorTarget),
        )
        if not any(generated.class_has_fields(fields, unions) for fields in inferring)
    ]
    return tuple(
        target
        for target in found
        if not target.address.is_parametrized
        and any(type(target) is kind[not target.address.is_generated_target] for kind in kinds)
    )


def written_at(target: Target) -> Address:
    """The address that is in a BUILD file: its own, or its generator's."""
    return target.address.maybe_convert_to_target_generator()


def leaves(
    files: Iterable[Target], written: Mapping[Address, Mapping[str, Any]]
) -> Tuple[Target, ...]:
    """Those of plain files that have no dependencies.

    :param written: fields as they are in BUILD files, for a generator does not keep what is its targets'.
    """
    return tuple(
        target
        for target in files
        if not written[written_at(target)].keys() & {"dependencies", "overrides"}
    )


def sources_of(leaves: Sequence[Target]) -> Tuple[PathGlobs, ...]:
    """What the files of leaves are, each file once."""
    generators = {each.address for each in leaves if isinstance(each, TargetGenerator)}
    single = [
        each.get(SourcesField).path_globs(_UNMATCHED)
        for each in leaves
        if written_at(each) not in generators
    ]
    globs = [glob for each in single for glob in each.globs]
    return (
        *((PathGlobs(globs),) if globs else ()),
        *(
            each.get(SourcesField).path_globs(_UNMATCHED)
            for each in leaves
            if each.address in generators
        ),
    )


def in_context(entries: Iterable[Entry], root: str) -> Dict[str, Entry]:
    """The entries below `root`, by their path in it."""
    prefix = f"{root}/" if root else ""
    return {entry.path[len(prefix) :]: entry for entry in entries if entry.path.startswith(prefix)}


def context_entries(entries: Mapping[str, Entry]) -> Tuple[ContextEntry, ...]:
    """Pants' entries as the core knows them, sorted. Nothing is read or hashed: a Pants `FileDigest` is a sha256 and a
    length already."""
    return tuple(_context_entry(path, entries[path]) for path in sorted(entries))


def _context_entry(path: str, entry: Entry) -> ContextEntry:
    if isinstance(entry, FileEntry):
        digest = entry.file_digest
        size = digest.serialized_bytes_length
        return ContextEntry(path, "file", Hash(digest.fingerprint), size, entry.is_executable)
    if isinstance(entry, SymlinkEntry):
        return ContextEntry(path, "symlink", target=entry.target)
    return ContextEntry(path, "dir")


def platform_of(platform: PantsPlatform) -> Platform:
    """What Pants calls this machine, in the words of images; on a Mac, that of the virtual machine that would run it."""
    return Platform("linux", "arm64" if platform.value.endswith("arm64") else "amd64")


def ignore_files(dockerfile: str, root: str) -> Tuple[str, str]:
    """Where a `.dockerignore` may be, the one that counts first."""
    return f"{dockerfile}.dockerignore", os.path.join(root, ".dockerignore")


def base_tags(dockerfile: Dockerfile, refs: Mapping[str, str]) -> Dict[str, str]:
    """Placeholders ``{tags.STAGE}``, and ``{tags.baseimage}`` for the first stage.

    :param refs: the base image of each stage, by the stage's name or number.
    """
    tags: Dict[str, str] = {}
    for stage in dockerfile.stages:
        ref = refs.get(stage.label)
        if ref is None:
            continue
        tag = tag_of(ref)
        if stage.index == 0:
            tags["baseimage"] = tag
        tags[stage.name or f"stage{stage.index}"] = tag
    return tags


def tag_of(ref: str) -> str:
    """The tag of an image name; "latest" where it has none."""
    name = ref.partition("@")[0]
    colon = name.rfind(":")
    return name[colon + 1 :] if colon > name.rfind("/") else "latest"


def putative(dockerfiles: Sequence[str]) -> Tuple[PutativeTarget, ...]:
    """A target for each Dockerfile."""
    found = []
    for path in dockerfiles:
        directory, name = os.path.split(path)
        target = PutativeTarget.for_target_type(
            KanikoImageTarget,
            path=directory,
            name="image",
            triggering_sources=[name],
            kwargs={} if name == KanikoSourceField.default else {"source": name},
        )
        found.append(target)
    return tuple(found)
