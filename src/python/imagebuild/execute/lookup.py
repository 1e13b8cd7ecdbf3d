"""``lookup``: which steps of a build are cached, asked for all of them at once.

The store answers by content: from the base up, each hit gives the parents of the next step. What it does not know is
asked of the cache repository by input key, all keys in one concurrent batch; where that misses too but the parents are
known by now, by content key. For what is missing then, another request in that batch tells whether the repository has any
record of its op: where it has none, the step runs without asking again. No layer is downloaded.

What has to run is told in the same answer which steps lack nothing, so that the first ones need no process to prepare them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from imagebuild import canonical
from imagebuild.cache.local import local_record
from imagebuild.cache.record import LayerRecord
from imagebuild.errors import RegistryError
from imagebuild.execute.effects import Effects
from imagebuild.execute.readiness import ready_steps, stored_layers
from imagebuild.execute.requests import Hit, LookupRequest, LookupResult
from imagebuild.execute.select import selection_digest
from imagebuild.llb.keys import GraphBase, StepGraph, content_step, input_steps
from imagebuild.llb.plan import ContextInput, State, TreeInput
from imagebuild.llb.step import BareStep, InputStep, Step
from imagebuild.oci.hash import Hash, chain_id
from imagebuild.registry.concurrency import concurrently
from imagebuild.store.store import Store

if TYPE_CHECKING:
    from imagebuild.cache.registry import RegistryCache


def lookup(request: LookupRequest, effects: Effects) -> LookupResult:
    """Ask store and registry. A registry that does not answer is a warning, and its steps misses."""
    search = Search(request.graph, effects.store)
    search.ask_store()
    warnings: Tuple[str, ...] = ()
    novel: Tuple[int, ...] = ()
    if search.complete():
        return LookupResult(tuple(search.hits))
    cache = effects.cache(request.cache, request.registries)
    if cache:
        try:
            novel = _ask_registry(search, cache)
        except RegistryError as error:
            cache = None
            warnings = (f"the cache {request.cache.repository} does not answer: {error.message}",)
    if search.complete():
        return LookupResult(tuple(search.hits), warnings)
    ready, stored = ready_steps(search, cache), stored_layers(search)
    return LookupResult(tuple(search.hits), warnings, novel, ready, stored)


class Search:
    """The state of one look-up: hits so far, and what they make known."""

    def __init__(self, graph: StepGraph, store: Store) -> None:
        self.graph, self.store = graph, store
        self.hits: List[Optional[Hit]] = [None] * len(graph.steps)
        self.input_steps = input_steps(graph)
        self.asked: Dict[int, Hash] = {}

    def complete(self) -> bool:
        return all(self.hits)

    def missing(self) -> List[int]:
        return [number for number, hit in enumerate(self.hits) if hit is None]

    def ask_store(self) -> None:
        """Walk up from the bases; a step whose parents are known has a content key."""
        for number in self.missing():
            step = self.step(number)
            if step is None:
                continue
            record = local_record(self.store, canonical.fingerprint(step))
            if record is not None:
                self.hit(number, record, "local")

    def step(self, number: int) -> Optional[Step]:
        """The content key's preimage of a step, None while its parents or inputs are unknown."""
        planned = self.graph.steps[number]
        parents = self.diff_ids(planned.over)
        if parents is None:
            return None
        inputs: List[Hash] = []
        for at, item in enumerate(planned.inputs):
            if isinstance(item, ContextInput):
                inputs.append(item.digest)
                continue
            tree = self.diff_ids(item.state)
            digest = None if tree is None else selection_digest(self.store, planned.op, at, tree)
            if digest is None:
                return None
            inputs.append(digest)
        return content_step(self.graph, number, parents, inputs)

    def diff_ids(self, state: State) -> Optional[Tuple[Hash, ...]]:
        if state.step is None:
            return () if state.base is None else self.base(self.graph.bases[state.base])
        hit = self.hits[state.step]
        below = self.diff_ids(self.graph.steps[state.step].parent) if hit else None
        if hit is None or below is None:
            return None
        return below + ((hit.layer.diff_id,) if hit.layer else ())

    def base(self, base: GraphBase) -> Optional[Tuple[Hash, ...]]:
        """The diffIDs of an image, or of what was fetched for an ADD; None while that has not been."""
        if base.remote is None:
            return tuple(layer.diff_id for layer in base.layers)
        from imagebuild.execute.remotes import known_tree  # most builds fetch nothing but images

        layer = known_tree(self.store, base.manifest, self.graph.epoch)
        return (layer.diff_id,) if layer else None

    def hit(self, number: int, record: LayerRecord, source: str) -> None:
        copies = any(isinstance(item, TreeInput) for item in self.graph.steps[number].inputs)
        hit = hit_of(record, source)
        self.hits[number] = replace(hit, step=record.step) if copies else hit

    def file(self, number: int, record: LayerRecord) -> None:
        """A hit of the registry: filed locally too, so that next time the store knows it."""
        self.hit(number, record, "registry")
        self.store.put_record(record.content_key, canonical.dumps(record))


def hit_of(record: LayerRecord, source: str) -> Hit:
    parents = record.step.parents
    return Hit(record.layer, source, chain_id(parents) if parents else None)


def _ask_registry(search: Search, cache: RegistryCache) -> Tuple[int, ...]:
    """As few batches as there can be: each is a round trip, to a registry that may be far away.

    :returns: the steps whose op the repository does not know.
    """
    _ask(search, cache, [(number, _key(search.input_steps[number])) for number in search.missing()])
    asked: Dict[int, Hash] = {}
    known: Dict[int, bool] = {}
    found = True
    while found:
        search.ask_store()
        missing = search.missing()
        steps = {number: search.step(number) for number in missing}
        keys = {number: canonical.fingerprint(step) for number, step in steps.items() if step}
        new = [(number, key) for number, key in keys.items() if asked.get(number) != key]
        asked.update(new)
        unknown = [number for number in missing if number not in known]
        found, ops = _ask(search, cache, new, unknown)
        known.update(ops)
    return tuple(number for number in search.missing() if not known[number])


def _ask(
    search: Search,
    cache: RegistryCache,
    keys: Sequence[Tuple[int, Hash]],
    ops: Sequence[int] = (),
) -> Tuple[bool, Dict[int, bool]]:
    """One batch: records by key, which become hits, and which ops of steps the repository knows.

    :returns: whether any record was there, and what is known of the ops.
    """
    bare = [canonical.fingerprint(BareStep.of(search.input_steps[number])) for number in ops]
    requests: List[Callable[[], Any]] = [partial(cache.get, key) for _, key in keys]
    requests += [partial(_knows_op, search.store, cache, key) for key in bare]
    answers = concurrently(lambda request: request(), requests)
    for (number, _), cached in zip(keys, answers):
        if cached and _agrees(search, number, cached.record):
            search.file(number, cached.record)
    return any(answers[: len(keys)]), dict(zip(ops, answers[len(keys) :]))


def _knows_op(store: Store, cache: RegistryCache, bare_key: Hash) -> bool:
    """What was there once is not asked for again: should it be gone, the records that it stands for are asked for in vain."""
    mark = cache.mark_of_op(bare_key)
    known = store.is_marked(mark)
    if not known and cache.knows_op(bare_key):
        store.mark(mark)
        known = True
    return known


def _key(step: InputStep) -> Hash:
    return canonical.fingerprint(step)


def _agrees(search: Search, number: int, record: LayerRecord) -> bool:
    """A record must start from the very layers that this build has below it, as far as they are known."""
    parents = search.diff_ids(search.graph.steps[number].over)
    return parents is None or parents == record.step.parents
