"""``locate``: which layers are nowhere any more, before anybody relies on them. Nothing is downloaded."""

from __future__ import annotations

from functools import partial

from imagebuild.errors import NotFoundError, RegistryError
from imagebuild.execute.effects import Effects
from imagebuild.execute.requests import FetchRequest, FetchResult, LayerSource
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import RegistryClient
from imagebuild.registry.concurrency import concurrently


def locate(request: FetchRequest, effects: Effects) -> FetchResult:
    """Report the layers that neither the store nor any of their repositories has."""
    far = [source for source in request.layers if not effects.store.has_layer(source.layer.diff_id)]
    if not far:
        return FetchResult()
    client = effects.client(request.registries)
    found = concurrently(partial(_may_have, client), far)
    return FetchResult(tuple(source.layer.diff_id for source, ok in zip(far, found) if not ok))


def _may_have(client: RegistryClient, source: LayerSource) -> bool:
    """A registry that does not answer may have it: whoever wants the layer from there says what is wrong."""
    for name in source.repositories:
        try:
            if client.has_blob(Repository.parse(name), source.layer.descriptor.digest):
                return True
        except NotFoundError:
            continue
        except RegistryError:
            return True
    return False
