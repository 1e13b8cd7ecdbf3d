"""What a fetched tree holds, read out of its layer."""

from __future__ import annotations

import tarfile
from typing import Any, Dict, Tuple

from imagebuild.oci.descriptor import Layer
from imagebuild.store.store import Store

Member = Tuple[str, int, Any]


def members(store: Store, layer: Layer) -> Dict[str, Member]:
    """Type, mode, and content or link target, by name; everything belongs to root."""
    found: Dict[str, Member] = {}
    with tarfile.open(store.blob_path(layer.descriptor.digest)) as tar:
        for item in tar:
            assert (0, 0) == (item.uid, item.gid)
            source = tar.extractfile(item) if item.isreg() else None
            content = source.read() if source else item.linkname or None
            kind = "f" if item.isreg() else "l" if item.issym() else "d"
            found[item.name.rstrip("/")] = (kind, item.mode, content)
    return found


def mtimes(store: Store, layer: Layer) -> Dict[str, float]:
    with tarfile.open(store.blob_path(layer.descriptor.digest)) as tar:
        return {item.name: item.mtime for item in tar}
