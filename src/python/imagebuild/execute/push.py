"""``push``: an image to every reference that it is to have. Blobs first, manifests last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import BinaryIO, Callable, Dict, List, Tuple

from imagebuild.errors import LayerMissingError
from imagebuild.execute.effects import CONCURRENCY, Effects
from imagebuild.execute.fetch import fetch_blobs
from imagebuild.execute.requests import LayerSource, PushRequest
from imagebuild.oci import manifest as manifests
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.manifest import Manifest
from imagebuild.oci.reference import ImageRef, Repository
from imagebuild.registry.client import RegistryClient
from imagebuild.store.store import Store


def push(request: PushRequest, effects: Effects, say: Callable[[str], None]) -> Hash:
    """Push to each repository once, then tag; a blob that the registry has is mounted, not sent.

    :param say: told one line for each reference.
    :returns: the manifest's digest.
    :raises LayerMissingError: when a layer's bytes are nowhere.
    :raises RegistryError: when a registry refuses.
    """
    client, raw = effects.client(request.registries), request.manifest.encode()
    manifest = manifests.parse(raw)
    assert isinstance(manifest, Manifest), "the client assembles manifests, never indexes"
    digest = Hash.of(raw)
    for repository, refs in _by_repository(request.refs).items():
        counts = _push_blobs(request, manifest.config, repository, client, effects.store)
        for ref in refs:
            client.put_manifest(repository, ref.tag or str(digest), manifest.media_type, raw)
            say(f"pushed {ref} ({digest}; {counts})")
    return digest


def _by_repository(refs: Tuple[str, ...]) -> Dict[Repository, List[ImageRef]]:
    grouped: Dict[Repository, List[ImageRef]] = {}
    for ref in map(ImageRef.parse, refs):
        grouped.setdefault(ref.repository, []).append(ref)
    return grouped


def _push_blobs(
    request: PushRequest,
    config: Descriptor,
    repository: Repository,
    client: RegistryClient,
    store: Store,
) -> str:
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        work = partial(_push_layer, repository, client, store)
        how = list(pool.map(work, request.layers))
    client.push_blob(repository, config, partial(BytesIO, request.config.encode()))
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
