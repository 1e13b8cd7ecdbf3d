"""Bring layers, or just their indexes, into the store. ``fetch`` is the subcommand for whole layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterable, Optional, Sequence, Tuple

from imagebuild.errors import MalformedError, NotFoundError
from imagebuild.execute.effects import Effects
from imagebuild.execute.requests import FetchRequest, FetchResult, LayerSource
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository
from imagebuild.registry.concurrency import concurrently
from imagebuild.store.store import Store

MAX_INDEX_BYTES = 64 << 20
"""A packed index: a layer of a million files has about 20 MB."""

if TYPE_CHECKING:
    from imagebuild.cache.registry import RegistryCache
    from imagebuild.registry.client import RegistryClient


def fetch(request: FetchRequest, effects: Effects) -> FetchResult:
    """Bring blobs into the store; what no repository has is reported, not raised."""
    wanted = [source for source in _unique(request.layers) if not _has_blob(effects.store, source)]
    missing = fetch_blobs(wanted, effects.store, lambda: effects.client(request.registries))
    got = [source for source in wanted if source.layer.diff_id not in missing]
    return FetchResult(missing, sum(source.layer.descriptor.size for source in got))


def fetch_blobs(
    sources: Iterable[LayerSource], store: Store, client_of: Callable[[], RegistryClient]
) -> Tuple[Hash, ...]:
    """Make sure that the store has every blob of `sources`.

    :returns: diffIDs of those that are nowhere.
    :raises RegistryError: when a registry fails in another way than not having the blob.
    """
    wanted = [source for source in _unique(sources) if not _has_blob(store, source)]
    if not wanted:
        return ()
    client = client_of()
    done = concurrently(lambda source: _fetch_blob(source, store, client), wanted)
    return tuple(source.layer.diff_id for source, ok in zip(wanted, done) if not ok)


def _fetch_blob(source: LayerSource, store: Store, client: RegistryClient) -> bool:
    descriptor = source.layer.descriptor
    for repository in source.repositories:
        try:
            with store.ingest(descriptor) as sink:
                client.get_blob(Repository.parse(repository), descriptor, sink)
        except NotFoundError:
            continue
        store.add_layer(source.layer)
        return True
    return False


def fetch_indexes(
    sources: Sequence[LayerSource],
    store: Store,
    cache: Optional[RegistryCache],
    client_of: Callable[[], RegistryClient],
) -> Tuple[Hash, ...]:
    """Make sure that the store has the index of every layer of `sources`: from the layer itself where it is here, else
    from the cache repository, else by fetching the layer.

    :returns: diffIDs of layers that are nowhere.
    """
    unknown = [source for source in _unique(sources) if _local_index(store, source) is False]
    if cache and unknown:
        found = concurrently(
            lambda source: cached_index(source.layer.diff_id, store, cache), unknown
        )
        unknown = [source for source, ok in zip(unknown, found) if not ok]
    missing = fetch_blobs(unknown, store, client_of)
    for source in unknown:
        if source.layer.diff_id not in missing:
            store.index_layer(source.layer)
    return missing


def _local_index(store: Store, source: LayerSource) -> bool:
    if store.index_of(source.layer.diff_id) is not None:
        return True
    if not _has_blob(store, source):
        return False
    store.index_layer(source.layer)
    return True


def cached_index(diff_id: Hash, store: Store, cache: RegistryCache) -> bool:
    """Bring a layer's index from the cache repository into the store, if it is there and whole."""
    descriptor = cache.get_index(diff_id)
    if descriptor is None:
        return False
    try:
        packed = cache.read_blob(descriptor, MAX_INDEX_BYTES)
        store.put_index(diff_id, packed)
    except (MalformedError, NotFoundError):
        return False
    store.mark(cache.mark_of_index(diff_id))
    return True


def _has_blob(store: Store, source: LayerSource) -> bool:
    return store.has_layer(source.layer.diff_id)


def _unique(sources: Iterable[LayerSource]) -> Tuple[LayerSource, ...]:
    return tuple({source.layer.diff_id: source for source in sources}.values())
