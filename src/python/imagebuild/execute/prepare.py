"""``prepare``: everything that one step needs before it can run, and a last look whether it has to.

By now the parents exist, so the step has a content key. A step that follows a rebuilt one with the same output is found
here (early cut-off); one that is not found gets what it needs into the store: layers for a RUN, indexes for a COPY.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

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
    TreeLayers,
)
from imagebuild.execute.select import input_digest
from imagebuild.execute.trees import tree_of
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.step import FORMAT_VERSION, Step
from imagebuild.oci.hash import Hash


def prepare(request: PrepareRequest, effects: Effects) -> PrepareResult:
    """:raises SourceNotInContextError: when a COPY --from matches nothing.
    :raises RegistryError: when a layer that is needed cannot be fetched.
    """
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
    return PrepareResult(step, hit, missing, warnings)


def _need_indexes(
    request: PrepareRequest, effects: Effects, sources: List[LayerSource]
) -> Tuple[Hash, ...]:
    cache = effects.cache(request.cache, request.registries) if sources else None
    return fetch_indexes(sources, effects.store, cache, lambda: effects.client(request.registries))


def _digest(request: PrepareRequest, effects: Effects, number: int) -> Hash:
    item = request.inputs[number]
    if isinstance(item, ContextDigest):
        return item.digest
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


def _need_content(
    request: PrepareRequest, effects: Effects, trees: List[TreeLayers]
) -> Tuple[Hash, ...]:
    """A RUN needs the layers it runs over; a COPY only the indexes of those, and the layers it reads from."""
    if isinstance(request.op, ExecOp):
        wanted = list(request.parents)
        missing: Tuple[Hash, ...] = ()
    else:
        wanted = [source for tree in trees for source in tree.layers]
        missing = _need_indexes(request, effects, list(request.parents))
    client_of = lambda: effects.client(request.registries)  # noqa: E731
    return missing + fetch_blobs(wanted, effects.store, client_of)
