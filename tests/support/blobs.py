"""Small things that the registry tests share: clients, blobs, manifests."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import List

from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import Credential, CredentialStore, RegistryClient
from support.registry import PASSWORD, USER


@dataclass
class Driver:
    """A client, and what it waited for and logged."""

    client: RegistryClient
    waits: List[float] = field(default_factory=list)
    lines: List[str] = field(default_factory=list)


def known_user(address: str) -> CredentialStore:
    """The test user's password, for one registry."""
    return CredentialStore.of({address: Credential(USER, PASSWORD)})


def blob(content: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Hash.of(content), len(content))


def noise(size: int, seed: bytes = b"") -> bytes:
    """Bytes that are the same in every run and different for every seed."""
    return hashlib.shake_128(seed or b"seed").digest(size)


def store_blob(address: str, path: str, content: bytes) -> Descriptor:
    """Put a blob into the registry behind a proxy's back."""
    client = RegistryClient(credentials=CredentialStore.anonymous())
    client.push_blob(Repository(address, path), blob(content), lambda: io.BytesIO(content))
    client.close()
    return blob(content)


def manifest_of(config: Descriptor, *layers: Descriptor) -> bytes:
    """An OCI image manifest."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return json.dumps(document).encode()


def push_image(client: RegistryClient, repo: Repository, tag: str, content: bytes = b"{}") -> bytes:
    """An image of one config and no layer; returns its manifest."""
    client.push_blob(repo, blob(content), lambda: io.BytesIO(content))
    raw = manifest_of(blob(content))
    client.put_manifest(repo, tag, media_types.OCI_MANIFEST, raw)
    return raw
