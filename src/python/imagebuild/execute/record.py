"""``record``: file results under both their keys, locally and in the cache repository.

What has been pushed once is marked in the store, so that a build of cached steps costs no request for it.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Optional, Tuple

from imagebuild import canonical
from imagebuild.cache.record import LayerRecord
from imagebuild.errors import ImageBuildError
from imagebuild.execute.effects import Effects
from imagebuild.execute.requests import LayerSource, RecordRequest, RecordResult
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor, Layer
from imagebuild.oci.hash import Hash
from imagebuild.registry.concurrency import concurrently
from imagebuild.store.store import Store

if TYPE_CHECKING:
    from imagebuild.cache.registry import RegistryCache

Outcome = Tuple[int, str]


def record(request: RecordRequest, effects: Effects) -> RecordResult:
    """Never raises for the registry's sake: a failing cache is a warning, the image is built all the same."""
    records = [LayerRecord(item.step, item.layer, item.input_step) for item in request.entries]
    for item in records:
        for key in (item.content_key, item.input_key):
            if key:
                effects.store.put_record(key, canonical.dumps(item))
    if not request.cache.repository or request.cache.read_only:
        return RecordResult()
    cache = effects.cache(request.cache, request.registries)
    assert cache is not None
    push_record = partial(_push_record, effects.store, cache)
    push_index = partial(_push_base_index, effects.store, cache)
    outcomes = concurrently(push_record, records) + concurrently(push_index, request.bases)
    warnings = sorted({warning for _, warning in outcomes if warning})
    return RecordResult(sum(pushed for pushed, _ in outcomes), tuple(warnings))


def _push_record(store: Store, cache: RegistryCache, item: LayerRecord) -> Outcome:
    mark = f"{cache.repository}/{item.input_key or item.content_key}"
    layer = item.layer
    if store.is_marked(mark) or (layer and not store.has_blob(layer.descriptor.digest)):
        return 0, ""
    try:
        pushed = cache.put(
            item,
            open_layer=partial(store.open_blob, layer.descriptor) if layer else BytesIO,
            index=_index(store, layer),
        )
    except ImageBuildError as error:
        return 0, f"a layer was not pushed to the cache {cache.repository}: {error.message}"
    store.mark(mark)
    return pushed, ""


def _push_base_index(store: Store, cache: RegistryCache, source: LayerSource) -> Outcome:
    mark = cache.mark_of_index(source.layer.diff_id)
    index = _index(store, source.layer)
    if index is None or store.is_marked(mark):
        return 0, ""
    try:
        if not cache.has_index(source.layer.diff_id):
            cache.put_index(source.layer, index)
    except ImageBuildError as error:
        return 0, f"an index was not pushed to the cache {cache.repository}: {error.message}"
    store.mark(mark)
    return 0, ""


def _index(store: Store, layer: Optional[Layer]) -> Optional[Tuple[Descriptor, bytes]]:
    packed = store.packed_index(layer.diff_id) if layer else None
    if packed is None:
        return None
    return Descriptor(media_types.LAYER_INDEX, Hash.of(packed), len(packed)), packed
