"""What the store's tests share: small blobs and layers, and a look at its files."""

from __future__ import annotations

import os
from typing import Any, List

from imagebuild.oci.descriptor import Descriptor, Layer
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store
from support.tars import make_tar


def blob(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Hash.of(data), len(data))


def put(store: Store, data: bytes) -> Descriptor:
    with store.ingest(blob(data)) as sink:
        sink.write(data)
    return blob(data)


def put_layer(store: Store, *members: Any) -> Layer:
    """A layer of plain tar members, as one that was pulled: no index yet."""
    data = make_tar(*members)
    layer = Layer(Hash.of(data), put(store, data))
    store.add_layer(layer)
    return layer


def files_in(store: Store, *names: str) -> List[str]:
    return sorted(os.listdir(os.path.join(store.root, *names)))
