"""A whole build in one process, one step after the other: for tests, scripts and places without Pants.

The backend does the same through the engine, with the same subcommands, concurrently and cached by Pants.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple, Union

from imagebuild.errors import ImageBuildError, LayerMissingError
from imagebuild.execute.assemble import (
    Image,
    ImageSet,
    assemble,
    blob_path,
    layout_files,
)
from imagebuild.execute.build_plan import BuildOptions, plans_of
from imagebuild.execute.child import in_child
from imagebuild.execute.credentials import secrets_for, ssh_for, ssh_for_remotes
from imagebuild.execute.effects import Effects
from imagebuild.execute.export import export
from imagebuild.execute.fetch import fetch
from imagebuild.execute.local_context import lay_out
from imagebuild.execute.lookup import lookup
from imagebuild.execute.prepare import prepare
from imagebuild.execute.pure_requests import (
    ExportRequest,
    StepRequest,
)
from imagebuild.execute.record import record
from imagebuild.execute.requests import (
    ContextDigest,
    FetchRequest,
    Hit,
    LayerSource,
    LookupRequest,
    PrepareRequest,
    RecordEntry,
    RecordRequest,
    RemoteTree,
    TreeLayers,
)
from imagebuild.execute.step import run_step
from imagebuild.llb.keys import StepGraph, input_steps
from imagebuild.llb.plan import ContextInput, Plan, State, StepInput
from imagebuild.oci.descriptor import Layer
from imagebuild.oci.hash import Hash, chain_id


@dataclass(frozen=True)
class Built:
    """What was built, and where each step's layer came from: "local", "registry" or "built", in the plan's order.

    :param plan: for the first platform; its steps are those of all.
    :param sources: the layers, of one image lowest first, of several each once.
    """

    plan: Plan
    images: ImageSet
    sources: Tuple[LayerSource, ...]
    origins: Tuple[str, ...]

    @property
    def image(self) -> Image:
        """The image, or the one for the first of several platforms."""
        return self.images.images[0]


def build(context: str, dockerfile: str, options: BuildOptions, effects: Effects) -> Built:
    """Build the Dockerfile at `dockerfile` (relative to `context`).

    :raises ImageBuildError: for whatever is wrong, with the line to blame where there is one.
    """
    plans = plans_of(context, dockerfile, options, effects)
    builder = _Builder(plans, context, options, effects)
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
    descriptors = [layer.descriptor for layer in built.images.layers]
    blobs = tuple((descriptor, blob_path(descriptor.digest)) for descriptor in descriptors)
    export(ExportRequest(blobs), effects.store, directory)
    for path, data in layout_files(built.images, names):
        target = os.path.join(directory, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)


class _Builder:
    def __init__(
        self, plans: Tuple[Plan, ...], context: str, options: BuildOptions, effects: Effects
    ) -> None:
        self.plans, self.plan = plans, plans[0]
        self.context, self.options, self.effects = context, options, effects
        self.graph = StepGraph.of(self.plan, options.epoch)
        self.input_steps = input_steps(self.graph)
        self.layers: List[Optional[Layer]] = []
        self.origins: List[str] = []

    def build(self) -> Built:
        hits = self._look_up()
        for number, hit in enumerate(hits):
            self._step(number, hit)
        images = [assemble(plan, self.layers, self.options.epoch) for plan in self.plans]
        sources = self._stack(self.plan.target)
        for plan in self.plans[1:]:
            sources = tuple(dict.fromkeys(sources + self._stack(plan.target)))
        whole = ImageSet.of(images, [plan.platform for plan in self.plans])
        return Built(self.plan, whole, sources, tuple(self.origins))

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
                self.graph.platform_of(number),
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
            secrets=secrets_for(planned.op, options.secrets),
            ssh=ssh_for(planned.op, options.ssh),
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
