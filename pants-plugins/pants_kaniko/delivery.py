"""Who gets an image: what is pushed where, what is left out and why. Plain functions."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, List, Mapping, Sequence, Tuple

from pants.engine.addresses import Address
from pants.engine.fs import Digest
from pants.engine.process import Process, ProcessCacheScope
from pants.util.frozendict import FrozenDict

from imagebuild import canonical
from imagebuild.execute import requests as wire
from imagebuild.execute.assemble import Image
from imagebuild.execute.requests import LayerSource
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.platforms import distance
from pants_kaniko.calls import Executor, ExecutorCall
from pants_kaniko.output import assembled, fetch_call
from pants_kaniko.output_requests import FetchLayers, Push
from pants_kaniko.plans import ImageName, PlanHandle, Settings
from pants_kaniko.requests import BuiltLayers
from pants_kaniko.shapes import CACHES, EXECUTOR_DIR, executor_argv, salt


def targets(names: Iterable[ImageName], skip: bool) -> Tuple[ImageName, ...]:
    """What is pushed to: one repository each, and its tags share the blobs."""
    return () if skip else tuple(name for name in names if name.registry and not name.skip_push)


def presence_call(built: BuiltLayers, repositories: Sequence[str]) -> ExecutorCall:
    """Ask whether the layers are where they are wanted, or can be brought there.

    :param repositories: as in `DeliverLayers`.
    """
    registries, attempt = built.build.handle.settings.registries, built.build.attempt + 1
    if not repositories:
        return fetch_call(FetchLayers(built.sources, registries, attempt))
    sources = _also_in(built, repositories)
    return ExecutorCall(
        "locate",
        canonical.dumps(wire.FetchRequest(sources, registries)),
        f"Find {len(sources)} layers",
        pure=False,
        scope=ProcessCacheScope.PER_SESSION,
        salt=salt(attempt),
    )


def pushes(built: BuiltLayers, names: Iterable[ImageName]) -> Tuple[Push, ...]:
    """:param names: those of `targets`."""
    images, registries = assembled(built), built.build.handle.settings.registries
    wanted = tuple(names)
    sources = _also_in(built, [name.repository for name in wanted])
    return tuple(Push(images, sources, name.refs, registries) for name in wanted)


def _also_in(built: BuiltLayers, repositories: Sequence[str]) -> Tuple[LayerSource, ...]:
    """The layers, which the repositories that are pushed to may have from before: one of them what another lacks."""
    return tuple(
        replace(source, repositories=(*source.repositories, *repositories))
        for source in built.sources
    )


def skipped(
    names: Iterable[ImageName], address: Address, skip: bool
) -> Tuple[Tuple[Tuple[str, ...], str], ...]:
    """Names that are not pushed, and the reason, as `publish` prints it."""
    found: List[Tuple[Tuple[str, ...], str]] = []
    for name in names:
        if skip:
            found.append((name.refs, f"(by `skip_push` on {address})"))
        elif not name.registry:
            found.append((name.refs, "(no registry: see `[kaniko].registries`)"))
        elif name.skip_push:
            found.append((name.refs, f"(by `skip_push` of the registry {name.registry})"))
    return tuple(found)


def push_process(
    executor: Executor, push: Push, request: Digest, env: Mapping[str, str]
) -> Process:
    """:param request: a request file with `push_request`."""
    return Process(
        executor_argv(executor, "push"),
        description=f"Push {', '.join(push.refs)}",
        input_digest=request,
        immutable_input_digests={EXECUTOR_DIR: executor.digest},
        append_only_caches=CACHES,
        env=FrozenDict(env),
        cache_scope=ProcessCacheScope.PER_SESSION,
    )


def push_request(push: Push) -> bytes:
    return canonical.dumps(
        wire.PushRequest(
            tuple(raw.decode() for raw in push.images.manifests),
            tuple(raw.decode() for raw in push.images.configs),
            push.sources,
            push.refs,
            push.registries,
        )
    )


def runnable(handle: PlanHandle, own: Platform) -> int:
    """Which of a plan's platforms to run: this machine's own, else the first one."""
    found = (at for at, plan in enumerate(handle.plans) if distance(plan.platform, own) is not None)
    return next(found, 0)


def run_request(
    image: Image, sources: Tuple[LayerSource, ...], settings: Settings, network: str
) -> bytes:
    return canonical.dumps(
        wire.RunImageRequest(
            image.config_bytes.decode(), sources, settings.registries, settings.runtime, network
        )
    )


def run_args(executor: Executor) -> Tuple[str, ...]:
    """The command line of `pants run`, which starts in the user's directory; the image's arguments follow."""
    return (*executor_argv(executor, "run", root="{chroot}/"), "--")
