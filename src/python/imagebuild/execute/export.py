"""``export`` (pure): hand a blob of the store to the client; its name is its content."""

from __future__ import annotations

import os
import shutil

from imagebuild.errors import LayerMissingError
from imagebuild.execute.pure_requests import ExportRequest
from imagebuild.store.store import Store


def export(request: ExportRequest, store: Store, directory: str) -> None:
    """Copy the blob to `request.path` below `directory`. A copy, not a link: the client owns what it is given.

    :raises LayerMissingError: when the store does not have it.
    """
    descriptor = request.descriptor
    if not store.has_blob(descriptor.digest):
        raise LayerMissingError(
            f"the blob {descriptor.digest} is not in the store", diff_ids=(str(descriptor.digest),)
        )
    target = os.path.join(directory, request.path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with store.open_blob(descriptor) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
