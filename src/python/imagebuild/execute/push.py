"""``push``: an image to every reference that it is to have. Blobs first, manifests last."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import BinaryIO, Callable, Dict, List, Tuple

from imagebuild.errors import LayerMissingError
from imagebuild.execute.effects import Effects
from imagebuild.execute.fetch import fetch_blobs
from imagebuild.execute.requests import LayerSource, PushRequest
from imagebuild.oci import manifest as manifests
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import ImageRef, Repository
from imagebuild.registry.client import RegistryClient
from imagebuild.registry.concurrency import concurrently
from imagebuild.store.store import Store


def push(request: PushRequest, effects: Effects, say: Callable[[str], None]) -> Hash:
    """Push to each repository once, then tag; a blob that the registry has is mounted, not sent.

    :param say: told one line for each reference.
    :returns: the digest that the references name.
    :raises LayerMissingError: when a layer's bytes are nowhere.
    :raises RegistryError: when a registry refuses.
    """
    client = effects.client(request.registries)
    *parts, named = (text.encode() for text in request.manifests)
    digest = Hash.of(named)
    for repository, refs in _by_repository(request.refs).items():
        counts = _push_blobs(request, repository, client, effects.store)
        for raw in parts:
            _put(client, repository, str(Hash.of(raw)), raw)
        for ref in refs:
            _put(client, repository, ref.tag or str(digest), named)
            say(f"pushed {ref} ({digest}; {counts})")
    return digest


def _put(client: RegistryClient, repository: Repository, reference: str, raw: bytes) -> None:
    client.put_manifest(repository, reference, manifests.parse(raw).media_type, raw)


def _by_repository(refs: Tuple[str, ...]) -> Dict[Repository, List[ImageRef]]:
    grouped: Dict[Repository, List[ImageRef]] = {}
    for ref in map(ImageRef.parse, refs):
        grouped.setdefault(ref.repository, []).append(ref)
    return grouped


def _push_blobs(
    request: PushRequest,
    repository: Repository,
    client: RegistryClient,
    store: Store,
) -> str:
    how = concurrently(partial(_push_layer, repository, client, store), request.layers)
    for config in (text.encode() for text in request.configs):
        descriptor = Descriptor(media_types.OCI_CONFIG, Hash.of(config), len(config))
        client.push_blob(repository, descriptor, partial(BytesIO, config))
    return ", ".join(
        f"{how.count(kind)} layers {word}"
        for kind, word in (
            ("exists", "already there"),
            ("mounted", "mounted"),
            ("uploaded", "uploaded"),
        )
        if kind in how
    )


def _push_layer(
    repository: Repository, client: RegistryClient, store: Store, source: LayerSource
) -> str:
    descriptor = source.layer.descriptor
    near = [Repository.parse(name) for name in source.repositories]
    mounts = [
        other for other in near if other.registry == repository.registry and other != repository
    ]

    def open_source() -> BinaryIO:
        if fetch_blobs([source], store, lambda: client):
            raise LayerMissingError(
                f"the layer {descriptor.digest} is neither in the store nor in a registry",
                diff_ids=(str(source.layer.diff_id),),
                hint="package the target again; the step that makes the layer will run",
            )
        return store.open_blob(descriptor)

    return client.push_blob(repository, descriptor, open_source, mount_from=mounts)
