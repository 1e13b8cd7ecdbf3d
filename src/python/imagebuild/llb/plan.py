"""A plan: every step of a build, in an order that can be executed, with what it starts from and reads.

`Plan.steps` holds only what is hashed. Where a step came from in the Dockerfile lies beside it in `Plan.origins`, so that
a comment or a moved line changes no key (STYLE.md, law 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Sequence, Tuple, Union

from imagebuild.errors import SourceRange
from imagebuild.llb.ops import CopyAction, EnvVars, FileOp, Op
from imagebuild.oci.config import Config, ConfigFile
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash


@dataclass(frozen=True)
class WantedImage:
    """An image that a build starts from or copies from, by its full name, for one platform."""

    ref: str
    platform: Platform


@dataclass(frozen=True)
class ResolvedBase:
    """An image that a build starts from or copies from, resolved to one platform's manifest.

    :param ref: as the Dockerfile names it, normalised ("docker.io/library/debian:12"); never part of a key.
    :param repository: where its blobs are ("docker.io/library/debian"); never part of a key.
    :param manifest: descriptor of the platform's manifest (not of the index).
    :param remote: for what is no image: the pinned source. Then `manifest` has its identity, and `layers` are not known.
    :param platform: that was asked for, which `config` may be close to; None for that of the build.
    """

    ref: str
    repository: str
    manifest: Descriptor
    config: ConfigFile
    layers: Tuple[Layer, ...]
    remote: Optional[RemoteSource] = None
    platform: Optional[Platform] = None


@dataclass(frozen=True)
class UnreadImage:
    """An image of which nothing is known.

    :param reason: why, in one sentence.
    :param offered: the platforms that its registry has it for, where that is why; else "".
    """

    image: WantedImage
    reason: str
    offered: str = ""


@dataclass(frozen=True)
class State:
    """A filesystem state: after `step`, or (step is None) as base `base` has it, or (both None) empty (scratch)."""

    base: Optional[int] = None
    step: Optional[int] = None


@dataclass(frozen=True)
class ContextEntry:
    """One path of the build context, as a Pants digest knows it: no owner, no times, one x bit.

    :param kind: "file", "dir" or "symlink".
    :param digest: sha256 of a file's bytes.
    """

    path: str
    kind: str
    digest: Optional[Hash] = None
    size: int = 0
    executable: bool = False
    target: str = ""


@dataclass(frozen=True)
class ContextInput:
    """The context files that a step selects. `digest` covers exactly `paths` with all that is in them.

    `paths` are the selected entries of the context, directories expanded, sorted: what the step's sandbox gets.
    """

    KIND = "context"

    digest: Hash
    paths: Tuple[str, ...]


@dataclass(frozen=True)
class TreeInput:
    """The filesystem of another stage or image that a step reads (COPY --from)."""

    KIND = "tree"

    state: State


StepInput = Union[ContextInput, TreeInput]


@dataclass(frozen=True)
class HttpSource:
    """A file behind a URL (ADD). Fetched, it is a tree of one layer: the file `name` at the root, 0:0, mode 0600, with the
    server's Last-Modified as its mtime.

    :param url: http or https, variables replaced.
    :param name: the URL's last part, or "__unnamed__".
    :param checksum: "sha256:HEX" that the file must have, "" for whatever it has.
    """

    KIND = "http"

    url: str
    name: str
    checksum: str = ""


@dataclass(frozen=True)
class GitSource:
    """A git repository (ADD). Fetched, it is a tree of one layer: what `subdir` holds, at the root, 0:0.

    :param url: of the remote alone, as git takes it: no fragment, no query that is ours; "ssh://..." for the scp form.
    :param ref: a branch, a tag, a full ref ("refs/pull/1/head") or a commit, "" for the remote's HEAD.
    :param subdir: relative and cleaned, "" for the whole repository.
    :param keep_git_dir: `.git` stays in the tree.
    :param checksum: the commit, or its first characters in hex, that `ref` must be, "" for whatever it is.
    :param submodules: they are fetched too.
    """

    KIND = "git"

    url: str
    ref: str = ""
    subdir: str = ""
    keep_git_dir: bool = False
    checksum: str = ""
    submodules: bool = True


RemoteSource = Union[HttpSource, GitSource]


@dataclass(frozen=True)
class PlannedStep:
    """One layer to make: `op` applied to the tree of `parent`, reading `inputs`.

    :param platform: of its stage; None for that of the plan.
    """

    op: Op
    parent: State
    inputs: Tuple[StepInput, ...] = ()
    platform: Optional[Platform] = None

    @property
    def over(self) -> State:
        """What `op` is applied to: nothing for a linked step, whose layer is laid on top of `parent` whatever that is."""
        return State() if isinstance(self.op, FileOp) and self.op.link else self.parent

    def copies(self) -> Tuple[CopyAction, ...]:
        actions = self.op.actions if isinstance(self.op, FileOp) else ()
        return tuple(action for action in actions if isinstance(action, CopyAction))


@dataclass(frozen=True)
class Origin:
    """Where a step came from, for people: `text` is the instruction in one line, `stage` its name or number."""

    source: SourceRange
    text: str
    stage: str


@dataclass(frozen=True)
class PlannedHistory:
    """A history entry of the image to be (image-spec config.md); `step` is the step that makes its layer, if any."""

    created_by: str
    step: Optional[int] = None
    comment: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything a target needs and nothing else: stages that it does not reach have no steps here.

    :param bases: the images, and behind them (once they are there: `with_remotes`) the trees of `remotes`.
    :param steps: topologically sorted: a step's parent and inputs come before it.
    :param origins: aligned with `steps`.
    :param target: the filesystem of the image.
    :param config: the image's config, all instructions applied.
    :param author: from MAINTAINER, "" where there is none.
    :param history: of this build; the base's own history comes before it.
    :param warnings: what the user should know but need not act on, with its place in the text.
    :param proxy_env: build arguments that name proxies and that no ARG declares (Dockerfile reference, "Predefined
        ARGs"): every RUN sees them, and no key and no history knows them.
    :param platform: what is built for.
    :param image_platform: of the target's stage, where FROM --platform says otherwise; None for `platform`.
    :param remotes: what has to be fetched, each once, in the order of first use. Remote number N is State(base=IMAGES + N).
    """

    bases: Tuple[ResolvedBase, ...]
    steps: Tuple[PlannedStep, ...]
    origins: Tuple[Origin, ...]
    target: State
    target_base: Optional[int]
    platform: Platform
    config: Config
    author: str
    history: Tuple[PlannedHistory, ...]
    warnings: Tuple[str, ...] = ()
    proxy_env: EnvVars = ()
    remotes: Tuple[RemoteSource, ...] = ()
    image_platform: Optional[Platform] = None

    def steps_of(self, state: State) -> Tuple[int, ...]:
        """The steps whose layers `state` is made of, lowest first; behind those of its base."""
        numbers = []
        while state.step is not None:
            numbers.append(state.step)
            state = self.steps[state.step].parent
        return tuple(reversed(numbers))

    def remote_of(self, state: State) -> Optional[RemoteSource]:
        """The pinned source that `state` is the tree of, None for the tree of an image or a step."""
        return None if state.base is None else self.bases[state.base].remote

    def remotes_of(self, step: PlannedStep) -> Tuple[RemoteSource, ...]:
        """The pinned sources that `step` reads, in the order of its inputs."""
        states = (item.state for item in step.inputs if isinstance(item, TreeInput))
        return tuple(remote for remote in map(self.remote_of, states) if remote)

    def with_remotes(self, trees: Sequence[ResolvedBase]) -> Plan:
        """The plan that can be run: `trees` are what `remotes` have become, in their order."""
        if len(trees) != len(self.remotes):
            raise ValueError(f"{len(trees)} trees for the sources {self.remotes}")
        return replace(self, bases=(*self.bases, *trees))
