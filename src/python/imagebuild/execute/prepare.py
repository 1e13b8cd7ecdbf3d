"""``prepare``: everything that one step needs before it can run, and a last look whether it has to.

By now the parents exist, so the step has a content key. A step that follows a rebuilt one with the same output is found
here (early cut-off); one that is not found gets what it needs into the store: layers for a RUN, indexes for a COPY.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import List, Optional, Tuple, Union

from imagebuild import canonical
from imagebuild.cache.local import local_record
from imagebuild.errors import RegistryError
from imagebuild.execute.effects import Effects
from imagebuild.execute.fetch import fetch_blobs, fetch_indexes
from imagebuild.execute.lookup import hit_of
from imagebuild.execute.requests import (
    ContextDigest,
    Hit,
    LayerSource,
    PrepareRequest,
    PrepareResult,
    RemoteTree,
    TreeLayers,
)
from imagebuild.execute.select import input_digest
from imagebuild.execute.trees import tree_of
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.step import FORMAT_VERSION, Step
from imagebuild.oci.hash import Hash
from imagebuild.runtime.native import is_native


def prepare(request: PrepareRequest, effects: Effects) -> PrepareResult:
    """:raises SourceNotInContextError: when a COPY --from matches nothing.
    :raises RegistryError: when a layer that is needed cannot be fetched.
    :raises EmulatorMissingError: for a RUN of a platform whose programs do not run here.
    :raises RemoteError: when what an ADD names by its URL cannot be.
    """
    request, remotes = _fetch_remotes(request, effects)
    trees = [item for item in request.inputs if isinstance(item, TreeLayers)]
    missing = _need_indexes(request, effects, [source for tree in trees for source in tree.layers])
    if missing:
        return PrepareResult(None, None, missing)
    step = Step(
        FORMAT_VERSION,
        request.op,
        request.platform,
        request.epoch,
        tuple(source.layer.diff_id for source in request.parents),
        tuple(_digest(request, effects, number) for number in range(len(request.inputs))),
    )
    hit, warnings = _look_up(request, effects, step) if request.look_up else (None, ())
    if hit is None:
        missing = _need_content(request, effects, trees)
    return PrepareResult(step, hit, missing, warnings, remotes)


def _fetch_remotes(
    request: PrepareRequest, effects: Effects
) -> Tuple[PrepareRequest, Tuple[Hash, ...]]:
    """The request with the layers of what is fetched for it, and their diffIDs."""
    if not any(isinstance(item, RemoteTree) for item in request.inputs):
        return request, ()
    from imagebuild.execute.remotes import fetched_tree  # most steps read nothing from afar

    inputs: List[Union[ContextDigest, TreeLayers]] = []
    remotes: List[Hash] = []
    for item in request.inputs:
        if not isinstance(item, RemoteTree):
            inputs.append(item)
            continue
        layer = fetched_tree(item.source, request.epoch, effects, request.ssh)
        inputs.append(TreeLayers((LayerSource(layer),)))
        remotes.append(layer.diff_id)
    return replace(request, inputs=tuple(inputs)), tuple(remotes)


def _need_indexes(
    request: PrepareRequest, effects: Effects, sources: List[LayerSource]
) -> Tuple[Hash, ...]:
    cache = effects.cache(request.cache, request.registries) if sources else None
    return fetch_indexes(sources, effects.store, cache, lambda: effects.client(request.registries))


def _digest(request: PrepareRequest, effects: Effects, number: int) -> Hash:
    item = request.inputs[number]
    if isinstance(item, ContextDigest):
        return item.digest
    assert isinstance(item, TreeLayers), "what is remote was fetched before"
    tree = tree_of(effects.store, [source.layer.diff_id for source in item.layers])
    assert tree is not None, "indexes were fetched before"
    return input_digest(tree, request.op, number)


def _look_up(
    request: PrepareRequest, effects: Effects, step: Step
) -> Tuple[Optional[Hit], Tuple[str, ...]]:
    key = canonical.fingerprint(step)
    record = local_record(effects.store, key)
    if record:
        return hit_of(record, "local"), ()
    cache = effects.cache(request.cache, request.registries)
    try:
        cached = cache.get(key) if cache else None
    except RegistryError as error:
        return None, (f"the cache {request.cache.repository} does not answer: {error.message}",)
    if cached is None:
        return None, ()
    effects.store.put_record(key, canonical.dumps(cached.record))
    return hit_of(cached.record, "registry"), ()


def _need_emulator(request: PrepareRequest, effects: Effects) -> None:
    """The step asks too; but by then the layers are fetched, in vain."""
    if is_native(request.platform) or os.geteuid() != 0:
        return
    from imagebuild.runtime.emulation import require

    require(request.platform, effects.store.work_dir)


def _need_content(
    request: PrepareRequest, effects: Effects, trees: List[TreeLayers]
) -> Tuple[Hash, ...]:
    """Both need the layers that they read from; a RUN also those it runs over, and a COPY only the indexes of these."""
    wanted = [source for tree in trees for source in tree.layers]
    missing: Tuple[Hash, ...] = ()
    if isinstance(request.op, ExecOp):
        _need_emulator(request, effects)
        wanted.extend(request.parents)
    else:
        missing = _need_indexes(request, effects, list(request.parents))
    client_of = lambda: effects.client(request.registries)  # noqa: E731
    return missing + fetch_blobs(wanted, effects.store, client_of)
