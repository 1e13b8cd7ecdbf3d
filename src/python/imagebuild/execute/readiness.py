"""Which of the steps that a look-up missed can run at once: what they need is in the store, or comes with a small request."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Tuple

from imagebuild.errors import RegistryError
from imagebuild.execute.fetch import cached_index
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.plan import State, StepInput, TreeInput
from imagebuild.oci.hash import Hash
from imagebuild.registry.concurrency import concurrently

if TYPE_CHECKING:
    from imagebuild.cache.registry import RegistryCache
    from imagebuild.execute.lookup import Search
    from imagebuild.execute.requests import ReadyStep

Layers = Tuple[Hash, ...]


def ready_steps(search: Search, cache: Optional[RegistryCache]) -> Tuple[ReadyStep, ...]:
    """The steps that missed whose content key is known, and looked up, by now, and which lack nothing.

    :param cache: where indexes are fetched from that a COPY needs and the store has not; layers are not.
    """
    from imagebuild.execute.requests import ReadyStep

    found: List[ReadyStep] = []
    for number in search.missing():
        # In this order: what an index makes known was not looked up.
        step, needs = search.step(number), _needs(search, number)
        if step is None or needs is None:
            continue
        blobs, indexes = needs
        if all(map(search.store.has_layer, blobs)) and _indexed(search, indexes, cache):
            found.append(ReadyStep(number, step))
    return tuple(found)


def stored_layers(search: Search) -> Layers:
    """The layers of base images and of hits that the store has."""
    layers = [layer.diff_id for base in search.graph.bases for layer in base.layers]
    layers += [hit.layer.diff_id for hit in search.hits if hit and hit.layer]
    return tuple(sorted({each for each in layers if search.store.has_layer(each)}))


def _needs(search: Search, number: int) -> Optional[Tuple[Layers, Layers]]:
    """The layers that the step has to have, and those whose index will do; None while they are not known, and for what is
    fetched from afar."""
    planned = search.graph.steps[number]
    parents = search.diff_ids(planned.over)
    trees = [_tree(search, state) for state in _sources(planned.inputs)]
    known = [tree for tree in trees if tree is not None]
    if parents is None or len(known) < len(trees):
        return None
    blobs = tuple(diff_id for tree in known for diff_id in tree)
    if isinstance(planned.op, ExecOp):  # it extracts the layers below, which indexes them
        return blobs + parents, blobs
    return blobs, blobs + parents


def _sources(inputs: Sequence[StepInput]) -> Iterator[State]:
    return (item.state for item in inputs if isinstance(item, TreeInput))


def _tree(search: Search, state: State) -> Optional[Layers]:
    if state.base is not None and search.graph.bases[state.base].remote is not None:
        return None
    return search.diff_ids(state)


def _indexed(search: Search, layers: Layers, cache: Optional[RegistryCache]) -> bool:
    store = search.store
    lacking = [each for each in dict.fromkeys(layers) if store.index_of(each) is None]
    if not lacking:
        return True
    if cache is None:
        return False
    try:
        return all(concurrently(partial(cached_index, store=store, cache=cache), lacking))
    except RegistryError:
        return False
