"""From a target to a plan: what rules ask for and answer with on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple, Union

from pants.engine.addresses import Address
from pants.engine.fs import Digest, Directory, FileEntry, SymlinkEntry
from pants.engine.target import Target
from pants.util.frozendict import FrozenDict

from imagebuild.check.subject import IgnoreFile
from imagebuild.errors import SourceRange
from imagebuild.execute.pure_requests import SecretSource, SshSource
from imagebuild.execute.requests import CacheOptions
from imagebuild.llb.keys import StepGraph
from imagebuild.llb.plan import (
    ContextEntry,
    Plan,
    RemoteSource,
    ResolvedBase,
    UnreadImage,
    WantedImage,
)
from imagebuild.llb.step import InputStep
from imagebuild.oci.descriptor import Platform
from imagebuild.registry.options import RegistryOptions

Entry = Union[FileEntry, SymlinkEntry, Directory]

MAX_TITLE = 60


@dataclass(frozen=True)
class DockerfileRequest:
    address: Address


@dataclass(frozen=True)
class DockerfileSource:
    """:param path: as messages name it, relative to the build root.
    :param digest: the file as part of the build context.
    """

    path: str
    text: str
    digest: Digest


@dataclass(frozen=True)
class ContextRequest:
    address: Address


@dataclass(frozen=True)
class ContextFiles:
    """The build context as the dependencies make it, and what it was made for."""

    digest: Digest
    target: Target
    dockerfile: DockerfileSource


@dataclass(frozen=True)
class BuildContext:
    """The build context, `.dockerignore` applied.

    :param entries: sorted by path, relative to the context root.
    :param files: the same as Pants knows them.
    :param digest: of the files before `.dockerignore`.
    :param ignore_file: the `.dockerignore` that counts.
    """

    root: str
    entries: Tuple[ContextEntry, ...]
    files: FrozenDict[str, Entry]
    digest: Digest
    ignore_file: Optional[IgnoreFile] = None


@dataclass(frozen=True)
class Place:
    """Lines of a Dockerfile, and how a message shows them."""

    source: SourceRange
    excerpt: Tuple[str, ...]


@dataclass(frozen=True)
class BasesRequest:
    """:param places: for each image, what names it first.
    :param tolerant: images that cannot be read are no error.
    """

    images: Tuple[WantedImage, ...]
    places: Tuple[Place, ...]
    tolerant: bool = False


@dataclass(frozen=True)
class ResolvedBases:
    """:param unread: for a tolerant request, what is not among `bases`."""

    bases: Tuple[ResolvedBase, ...]
    unread: Tuple[UnreadImage, ...] = ()


@dataclass(frozen=True)
class RemotesRequest:
    """:param sources: what ADD names by its URL.
    :param places: for each of them, what names it first.
    :param epoch: and `ssh` as in the executor's request of this name.
    """

    sources: Tuple[RemoteSource, ...]
    places: Tuple[Place, ...]
    epoch: Optional[int]
    ssh: Tuple[SshSource, ...]


@dataclass(frozen=True)
class PinnedRemotes:
    """The same sources, each with what it means now as its checksum."""

    sources: Tuple[RemoteSource, ...]


@dataclass(frozen=True)
class OwnPlatform:
    """What this machine is, and what images are built for that do not say."""

    value: Platform


@dataclass(frozen=True)
class RefreshBucket:
    """Changes when tags have to be resolved anew; "" when they are in every run."""

    value: str


@dataclass(frozen=True)
class ImageName:
    """The image in one registry.

    :param registry: address, "" for none.
    :param repository: with the registry, as in an image name.
    :param refs: full names, a tag each.
    """

    registry: str
    repository: str
    refs: Tuple[str, ...]
    skip_push: bool = False


@dataclass(frozen=True)
class Settings:
    """How to build, where a plan says what.

    :param use_cache: False to run every step.
    :param epoch: seconds; None keeps real times.
    :param secrets: and `ssh`: where RUN mounts find their values and agents. In no key.
    """

    cache: CacheOptions
    use_cache: bool
    registries: Tuple[RegistryOptions, ...]
    runtime: str
    compression: str
    epoch: Optional[int]
    secrets: Tuple[SecretSource, ...] = ()
    ssh: Tuple[SshSource, ...] = ()


@dataclass(frozen=True)
class PlanHandle:
    """A plan that rules can pass around: compared and hashed by its fingerprint, which covers all the rest.

    The fingerprint has the lines of the Dockerfile in it (the processes' keys have not), so that a message never shows
    the line of an earlier run.

    :param plan: for the first platform; its steps are those of all.
    :param others: for the other platforms, put together with it (`llb.platforms`).
    """

    fingerprint: str
    address: Address
    settings: Settings
    plan: Plan = field(compare=False, repr=False)
    graph: StepGraph = field(compare=False, repr=False)
    input_steps: Tuple[InputStep, ...] = field(compare=False, repr=False)
    files: Mapping[str, Entry] = field(compare=False, repr=False)
    excerpts: Tuple[Tuple[str, ...], ...] = field(compare=False, repr=False)
    others: Tuple[Plan, ...] = field(default=(), compare=False, repr=False)

    @property
    def plans(self) -> Tuple[Plan, ...]:
        """One for each platform, in the order in which the target names them."""
        return (self.plan, *self.others)

    def source(self, number: int) -> SourceRange:
        return self.plan.origins[number].source


@dataclass(frozen=True)
class DraftRequest:
    address: Address


@dataclass(frozen=True)
class PlanRequest:
    address: Address


@dataclass(frozen=True)
class PlannedImage:
    """A plan, and what its image is called."""

    handle: PlanHandle
    names: Tuple[ImageName, ...]


def step_title(plan: Plan, number: int) -> str:
    """``[build 3/9] RUN pip install ...``: stage, number among all steps, and the instruction, cut to one short line.

    A step of another platform than the build's, or of a build for several, has it in front: ``[linux/arm64 build 3/9]``.
    """
    origin, platform = plan.origins[number], plan.steps[number].platform
    stage = origin.stage
    if stage.isdigit():  # it has no name
        stage = f"stage-{stage}" if len({other.stage for other in plan.origins}) > 1 else "build"
    text = " ".join(origin.text.split())
    if len(text) > MAX_TITLE:
        text = text[: MAX_TITLE - 3] + "..."
    place = f"{platform} {stage}" if platform else stage
    return f"[{place} {number + 1}/{len(plan.steps)}] {text}"
