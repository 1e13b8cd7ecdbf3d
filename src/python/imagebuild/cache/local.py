"""Layer records in the local store."""

from __future__ import annotations

from typing import Optional

from imagebuild.cache import record as records
from imagebuild.cache.record import LayerRecord
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store


def local_record(store: Store, key: Hash) -> Optional[LayerRecord]:
    """The store's record under `key`, if the layer that it names is in the store too."""
    raw = store.get_record(key)
    record = records.parse(raw, key) if raw else None
    if record is None or record.layer is None:
        return record
    return record if store.has_layer(record.layer.diff_id) else None
