"""What crosses between a client (the Pants backend, the command line) and the executor: one request, one result.

Both sides import these classes; `canonical.dumps` and `canonical.loads` are the wire. Here are the effects; the requests of pure
subcommands are in ``pure_requests``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple, Union

from imagebuild.execute.pure_requests import SshSource
from imagebuild.llb.keys import StepGraph
from imagebuild.llb.ops import Op
from imagebuild.llb.plan import RemoteSource, ResolvedBase, UnreadImage, WantedImage
from imagebuild.llb.step import InputStep, Step
from imagebuild.oci.descriptor import Layer, Platform
from imagebuild.oci.hash import Hash
from imagebuild.registry.options import RegistryOptions


@dataclass(frozen=True)
class CacheOptions:
    """Where layers are cached beside the local store.

    :param repository: the cache repository, "" for none.
    :param read_only: look up, never push.
    :param ttl: seconds after which a record counts as a miss, 0 for never.
    """

    repository: str = ""
    read_only: bool = False
    ttl: int = 0


@dataclass(frozen=True)
class LayerSource:
    """A layer and the repositories that are known to hold its blob, best first; the local store is always asked before."""

    layer: Layer
    repositories: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit:
    """A step's result found in a cache.

    :param layer: None for a step that changes nothing (WORKDIR of a directory that is there).
    :param source: "local" or "registry".
    :param parents: ChainID of the layers that the step started from (None for scratch). A hit found by input key holds only
        if this is what lies below it in the end: a parent that had to run again may have made another layer.
    :param step: the content key's preimage, for a step that copies from a tree: without looking into that, nobody else can
        say it.
    """

    layer: Optional[Layer]
    source: str
    parents: Optional[Hash] = None
    step: Optional[Step] = None


@dataclass(frozen=True)
class ResolveRequest:
    """``resolve``: names to images. Results are in the order of `images`.

    :param tolerant: for who can go on without: images that cannot be read are no error, and little patience is spent.
    """

    images: Tuple[WantedImage, ...]
    registries: Tuple[RegistryOptions, ...] = ()
    tolerant: bool = False


@dataclass(frozen=True)
class ResolveResult:
    """:param unread: what is not among `bases`; only for a tolerant request."""

    bases: Tuple[ResolvedBase, ...]
    unread: Tuple[UnreadImage, ...] = ()


@dataclass(frozen=True)
class RemotesRequest:
    """``fetch-remote``: pin URLs and git references to what they mean now. Results are in the order of `sources`.

    :param epoch: as in a step: what is fetched on the way is kept with the times that the step will want.
    :param ssh: the agent for repositories that are fetched over ssh, if there is one.
    """

    sources: Tuple[RemoteSource, ...]
    epoch: Optional[int]
    ssh: Tuple[SshSource, ...] = ()


@dataclass(frozen=True)
class RemotesResult:
    """Each source with its digest or its whole commit as its checksum."""

    sources: Tuple[RemoteSource, ...]


@dataclass(frozen=True)
class LookupRequest:
    """``lookup``: all steps of a build at once, locally by content, in the registry by input key, then by content."""

    graph: StepGraph
    cache: CacheOptions
    registries: Tuple[RegistryOptions, ...] = ()


@dataclass(frozen=True)
class ReadyStep:
    """A step that no cache has, not by its content either, and that lacks nothing to run.

    :param step: its content key's preimage.
    """

    number: int
    step: Step


@dataclass(frozen=True)
class LookupResult:
    """`hits` is aligned with the graph's steps; `warnings` are for the user (an unreachable cache is one).

    :param novel: steps whose op the cache repository has no record of, so that asking it for them by content is in vain.
    :param stored: diffIDs of layers, of base images and hits, that the store has, told when something missed.
    """

    hits: Tuple[Optional[Hit], ...]
    warnings: Tuple[str, ...] = ()
    novel: Tuple[int, ...] = ()
    ready: Tuple[ReadyStep, ...] = ()
    stored: Tuple[Hash, ...] = ()


@dataclass(frozen=True)
class ContextDigest:
    KIND = "context"

    digest: Hash


@dataclass(frozen=True)
class TreeLayers:
    """The layers of a tree that a step reads from, lowest first."""

    KIND = "tree"

    layers: Tuple[LayerSource, ...]


@dataclass(frozen=True)
class RemoteTree:
    """A pinned source that a step reads from; it is fetched unless the store has it."""

    KIND = "remote"

    source: RemoteSource


@dataclass(frozen=True)
class PrepareRequest:
    """``prepare``: make step.json of one step, look its content key up, and bring what it needs into the store.

    :param parents: the tree it starts from, lowest first.
    :param look_up: False to only prepare (`cache=False`).
    :param ssh: as in `RemotesRequest`.
    """

    op: Op
    platform: Platform
    epoch: Optional[int]
    parents: Tuple[LayerSource, ...]
    inputs: Tuple[Union[ContextDigest, TreeLayers, RemoteTree], ...]
    cache: CacheOptions
    look_up: bool = True
    registries: Tuple[RegistryOptions, ...] = ()
    ssh: Tuple[SshSource, ...] = ()


@dataclass(frozen=True)
class PrepareResult:
    """:param missing: diffIDs that are nowhere any more; the steps that made them have to run again.
    :param remotes: diffIDs of the inputs that are a `RemoteTree`, in their order.
    """

    step: Optional[Step]
    hit: Optional[Hit]
    missing: Tuple[Hash, ...] = ()
    warnings: Tuple[str, ...] = ()
    remotes: Tuple[Hash, ...] = ()


@dataclass(frozen=True)
class RecordEntry:
    """A step's result under both its keys."""

    input_step: InputStep
    step: Step
    layer: Optional[Layer]


@dataclass(frozen=True)
class RecordRequest:
    """``record``: file results locally and push them, with their layers and indexes, to the cache repository.

    :param bases: base layers whose index others will need; pushed where this machine has it and the cache has not.
    """

    entries: Tuple[RecordEntry, ...]
    bases: Tuple[LayerSource, ...]
    cache: CacheOptions
    registries: Tuple[RegistryOptions, ...] = ()


@dataclass(frozen=True)
class RecordResult:
    """A failing cache never fails a build: what went wrong is a warning."""

    pushed_bytes: int = 0
    warnings: Tuple[str, ...] = ()


@dataclass(frozen=True)
class FetchRequest:
    """``fetch``: bring layers' blobs into the store. ``locate``: see whether that could be done."""

    layers: Tuple[LayerSource, ...]
    registries: Tuple[RegistryOptions, ...] = ()


@dataclass(frozen=True)
class FetchResult:
    missing: Tuple[Hash, ...] = ()
    fetched_bytes: int = 0


@dataclass(frozen=True)
class PushRequest:
    """``push``: an image, or an index of several, under every reference of `refs`; blobs first.

    :param manifests: in the order in which they are sent; the last one is what the references name.
    :param layers: of all of them.
    """

    manifests: Tuple[str, ...]
    configs: Tuple[str, ...]
    layers: Tuple[LayerSource, ...]
    refs: Tuple[str, ...]
    registries: Tuple[RegistryOptions, ...] = ()


@dataclass(frozen=True)
class RunImageRequest:
    """``run``: start an image. `config` is the image's config blob as text; arguments come from argv."""

    config: str
    layers: Tuple[LayerSource, ...]
    registries: Tuple[RegistryOptions, ...] = ()
    runtime: str = "auto"
    network: str = "host"
    env: Tuple[Tuple[str, str], ...] = field(default=())
