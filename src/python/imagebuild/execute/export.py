"""``export`` (pure): hand blobs of the store to the client; their names are their content."""

from __future__ import annotations

import os
import shutil

from imagebuild.errors import LayerMissingError
from imagebuild.execute.pure_requests import ExportRequest
from imagebuild.store.store import Store


def export(request: ExportRequest, store: Store, directory: str) -> None:
    """Copy each blob to its path below `directory`. Copies, not links: the client owns what it is given.

    :raises LayerMissingError: when the store lacks one of them.
    """
    lacking = [
        str(descriptor.digest)
        for descriptor, _ in request.blobs
        if not store.has_blob(descriptor.digest)
    ]
    if lacking:
        raise LayerMissingError(f"the store lacks {len(lacking)} blobs", diff_ids=tuple(lacking))
    for descriptor, path in request.blobs:
        target = os.path.join(directory, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with store.open_blob(descriptor) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
