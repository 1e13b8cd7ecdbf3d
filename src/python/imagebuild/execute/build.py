"""A whole build in one process, one step after the other: for tests, scripts and places without Pants.

The backend does the same through the engine, with the same subcommands, concurrently and cached by Pants.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple, Union

from imagebuild.dockerfile.dockerignore import ignore_file_for, select_context
from imagebuild.dockerfile.model import Dockerfile
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ContextError, ImageBuildError, LayerMissingError
from imagebuild.execute.assemble import DEFAULT_EPOCH, Image, assemble, blob_path, layout_files
from imagebuild.execute.child import in_child
from imagebuild.execute.credentials import secrets_for, ssh_for, ssh_for_remotes
from imagebuild.execute.effects import Effects
from imagebuild.execute.export import export
from imagebuild.execute.fetch import fetch
from imagebuild.execute.local_context import lay_out, list_context
from imagebuild.execute.lookup import lookup
from imagebuild.execute.prepare import prepare
from imagebuild.execute.pure_requests import (
    ExportRequest,
    SecretSource,
    SshSource,
    StepRequest,
)
from imagebuild.execute.record import record
from imagebuild.execute.requests import (
    CacheOptions,
    ContextDigest,
    FetchRequest,
    Hit,
    LayerSource,
    LookupRequest,
    PrepareRequest,
    RecordEntry,
    RecordRequest,
    RemotesRequest,
    RemoteTree,
    ResolveRequest,
    TreeLayers,
)
from imagebuild.execute.resolve import resolve
from imagebuild.execute.step import run_step
from imagebuild.llb.keys import StepGraph, input_steps
from imagebuild.llb.plan import ContextInput, Plan, ResolvedBase, State, StepInput
from imagebuild.llb.remote import remote_base, step_of
from imagebuild.lower import base_refs, lower
from imagebuild.oci.descriptor import Layer, Platform
from imagebuild.oci.hash import Hash, chain_id
from imagebuild.registry.options import RegistryOptions

NO_CACHE = CacheOptions()


@dataclass(frozen=True)
class BuildOptions:
    """What a build depends on beside its Dockerfile and context.

    :param epoch: seconds; None keeps real times.
    :param secrets: and `ssh`: where RUN mounts find their values and agents.
    """

    platform: Platform
    target: str = ""
    build_args: Tuple[Tuple[str, str], ...] = ()
    labels: Tuple[Tuple[str, str], ...] = ()
    cache: CacheOptions = NO_CACHE
    use_cache: bool = True
    network: str = "host"
    runtime: str = "auto"
    compression: str = "gzip"
    epoch: Optional[int] = DEFAULT_EPOCH
    registries: Tuple[RegistryOptions, ...] = ()
    secrets: Tuple[SecretSource, ...] = ()
    ssh: Tuple[SshSource, ...] = ()


@dataclass(frozen=True)
class Built:
    """An image and where each step's layer came from: "local", "registry" or "built", in the plan's order."""

    plan: Plan
    image: Image
    sources: Tuple[LayerSource, ...]
    origins: Tuple[str, ...]


def build(context: str, dockerfile: str, options: BuildOptions, effects: Effects) -> Built:
    """Build the Dockerfile at `dockerfile` (relative to `context`).

    :raises ImageBuildError: for whatever is wrong, with the line to blame where there is one.
    """
    plan = _plan(context, dockerfile, options, effects)
    builder = _Builder(plan, context, options, effects)
    return builder.build()


def export_layout(
    built: Built, directory: str, effects: Effects, names: Sequence[str] = ()
) -> None:
    """Write the image as an OCI image layout into the new directory `directory`."""
    fetched = fetch(FetchRequest(built.sources), effects)
    if fetched.missing:
        raise LayerMissingError(
            "layers of the image are nowhere", diff_ids=tuple(map(str, fetched.missing))
        )
    descriptors = [layer.descriptor for layer in built.image.layers]
    blobs = tuple((descriptor, blob_path(descriptor.digest)) for descriptor in descriptors)
    export(ExportRequest(blobs), effects.store, directory)
    for path, data in layout_files(built.image, names):
        target = os.path.join(directory, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)


def _plan(context: str, dockerfile: str, options: BuildOptions, effects: Effects) -> Plan:
    listing = tuple(sorted(list_context(context), key=lambda entry: entry.path))
    if not os.path.isfile(os.path.join(context, dockerfile)):
        raise ContextError(f'there is no "{dockerfile}" in the context', expected="a Dockerfile")
    with open(os.path.join(context, dockerfile), "rb") as file:
        parsed = parse(file.read(), dockerfile)
    ignore = ignore_file_for(dockerfile, [entry.path for entry in listing])
    if ignore:
        with open(os.path.join(context, ignore), encoding="utf-8") as text:
            listing = select_context(listing, text.read(), ignore)
    plan = lower(
        parsed,
        bases=_bases(parsed, options, effects),
        context=listing,
        build_args=dict(options.build_args),
        target=options.target,
        platform=options.platform,
        network=options.network,
        labels=options.labels,
    )
    return _with_remotes(plan, options, effects) if plan.remotes else plan


def _with_remotes(plan: Plan, options: BuildOptions, effects: Effects) -> Plan:
    from imagebuild.execute.remotes import pin_remotes

    try:
        ssh = ssh_for_remotes(plan.remotes, options.ssh)
        request = RemotesRequest(plan.remotes, options.epoch, ssh)
        sources = pin_remotes(request, effects).sources
    except ImageBuildError as error:
        number = step_of(plan, str(error))
        raise (error if number is None else error.at(plan.origins[number].source)) from None
    return plan.with_remotes([remote_base(source, plan.platform) for source in sources])


def _bases(parsed: Dockerfile, options: BuildOptions, effects: Effects) -> Tuple[ResolvedBase, ...]:
    """Images resolved, in rounds: the triggers of one may name others."""
    bases: Tuple[ResolvedBase, ...] = ()
    while True:
        refs = base_refs(
            parsed,
            build_args=dict(options.build_args),
            target=options.target,
            platform=options.platform,
            bases=bases,
        )[len(bases) :]
        if not refs:
            return bases
        request = ResolveRequest(refs, options.platform, options.registries)
        bases += resolve(request, effects).bases


class _Builder:
    def __init__(self, plan: Plan, context: str, options: BuildOptions, effects: Effects) -> None:
        self.plan, self.context, self.options, self.effects = plan, context, options, effects
        self.graph = StepGraph.of(plan, options.epoch)
        self.input_steps = input_steps(self.graph)
        self.layers: List[Optional[Layer]] = []
        self.origins: List[str] = []

    def build(self) -> Built:
        hits = self._look_up()
        for number, hit in enumerate(hits):
            self._step(number, hit)
        image = assemble(self.plan, self.layers, self.options.epoch)
        return Built(self.plan, image, self._stack(self.plan.target), tuple(self.origins))

    def _look_up(self) -> Sequence[Optional[Hit]]:
        if not self.options.use_cache:
            return [None] * len(self.plan.steps)
        request = LookupRequest(self.graph, self.options.cache, self.options.registries)
        return lookup(request, self.effects).hits

    def _step(self, number: int, hit: Optional[Hit]) -> None:
        parents = self._stack(self.plan.steps[number].over)
        diff_ids = [source.layer.diff_id for source in parents]
        if hit and hit.parents == (chain_id(diff_ids) if diff_ids else None):
            self._done(hit.layer, hit.source)
            return
        origin = self.plan.origins[number]
        try:
            self._run(number, parents)
        except ImageBuildError as error:
            raise error.at(origin.source) from None

    def _run(self, number: int, parents: Tuple[LayerSource, ...]) -> None:
        planned, options = self.plan.steps[number], self.options
        prepared = prepare(
            PrepareRequest(
                planned.op,
                self.plan.platform,
                options.epoch,
                parents,
                tuple(map(self._input, planned.inputs)),
                options.cache,
                options.use_cache,
                options.registries,
                ssh_for_remotes(self.plan.remotes_of(planned), options.ssh),
            ),
            self.effects,
        )
        if prepared.missing:
            raise LayerMissingError(
                "a layer is nowhere", diff_ids=tuple(map(str, prepared.missing))
            )
        if prepared.hit:
            self._done(prepared.hit.layer, prepared.hit.source)
            return
        assert prepared.step is not None
        remotes = iter(prepared.remotes)
        trees = tuple(self._tree(item, remotes) for item in planned.inputs)
        request = StepRequest(
            prepared.step,
            trees,
            options.compression,
            options.runtime,
            options.use_cache,
            self.plan.proxy_env,
            secrets_for(planned.op, options.secrets),
            ssh_for(planned.op, options.ssh),
        )
        with self.effects.store.work_dir() as sandbox:
            for item in planned.inputs:
                if isinstance(item, ContextInput):
                    lay_out(self.context, item.paths, sandbox)
            layer = in_child(lambda: run_step(request, self.effects.store, sandbox).layer)
        self._done(layer, "built")
        entry = RecordEntry(self.input_steps[number], prepared.step, layer)
        record(RecordRequest((entry,), parents, options.cache, options.registries), self.effects)

    def _input(self, item: StepInput) -> Union[ContextDigest, TreeLayers, RemoteTree]:
        if isinstance(item, ContextInput):
            return ContextDigest(item.digest)
        remote = self.plan.remote_of(item.state)
        return RemoteTree(remote) if remote else TreeLayers(self._stack(item.state))

    def _tree(self, item: StepInput, remotes: Iterator[Hash]) -> Tuple[Hash, ...]:
        if isinstance(item, ContextInput):
            return ()
        if self.plan.remote_of(item.state):
            return (next(remotes),)
        return tuple(source.layer.diff_id for source in self._stack(item.state))

    def _done(self, layer: Optional[Layer], origin: str) -> None:
        self.layers.append(layer)
        self.origins.append(origin)

    def _stack(self, state: State) -> Tuple[LayerSource, ...]:
        stack: List[LayerSource] = []
        cache = (self.options.cache.repository,) if self.options.cache.repository else ()
        while state.step is not None:
            layer = self.layers[state.step]
            stack.extend([LayerSource(layer, cache)] if layer else [])
            state = self.plan.steps[state.step].parent
        if state.base is None:
            return tuple(reversed(stack))
        base = self.plan.bases[state.base]
        below = tuple(LayerSource(layer, (base.repository,)) for layer in base.layers)
        return below + tuple(reversed(stack))
