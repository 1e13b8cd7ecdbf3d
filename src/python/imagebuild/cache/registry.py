"""Layer records in a cache repository.

A record is an image manifest under the tag of its key (one tag for each of its keys): the record itself is embedded in
the config descriptor (image-spec descriptor.md, ``data``), so that one request per key answers a look-up; its layers are
the step's layer and the layer's index. The same manifest stands under ``index-<diffID>``, where whoever plans on a layer
finds its index; a base layer, which has no record, has a manifest with nothing but its index there. And it stands under
``op-<bare key>``, which answers whether any record there has a step's op.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, BinaryIO, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from imagebuild.cache import record as records
from imagebuild.cache.record import LayerRecord
from imagebuild.canonical import dumps, loads
from imagebuild.errors import MalformedError, NotFoundError
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor, Layer
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import Repository
from imagebuild.registry.client import RegistryClient
from imagebuild.registry.concurrency import concurrently

CREATED = "org.opencontainers.image.created"
MAX_RECORD_BYTES = 1 << 20

EMPTY_BLOB = b"{}"
EMPTY = Descriptor(media_types.OCI_EMPTY, Hash.of(EMPTY_BLOB), len(EMPTY_BLOB))

OpenBlob = Callable[[], BinaryIO]


@dataclass(frozen=True)
class CachedRecord:
    """A record as a cache repository holds it; `index` is the blob of its layer's index."""

    record: LayerRecord
    index: Optional[Descriptor]


@dataclass(frozen=True)
class Blob:
    """What is to be pushed; see `RegistryClient.push_blob`."""

    descriptor: Descriptor
    open: OpenBlob
    mount_from: Tuple[Repository, ...] = ()
    new: bool = True

    @staticmethod
    def of(descriptor: Descriptor, content: bytes, *, new: bool = True) -> Blob:
        return Blob(descriptor, lambda: io.BytesIO(content), new=new)


class RegistryCache:
    """One cache repository.

    :param ttl: seconds; older records are no hits. 0 for no limit.
    :param now: the present, timezone-aware.
    """

    def __init__(
        self,
        client: RegistryClient,
        repository: Repository,
        *,
        ttl: int,
        now: Callable[[], datetime],
    ) -> None:
        self._client, self._ttl, self._now = client, ttl, now
        self._indexes: Dict[Hash, Descriptor] = {}  # of layers whose records were asked for
        self.repository = repository

    def get(self, key: Hash) -> Optional[CachedRecord]:
        """The record under `key`, checked to belong there and its layer checked to exist; None for a miss.

        :raises RegistryError: when the registry does not answer; a missing tag or repository is a miss.
        """
        document = self._manifest(key.hex)
        if document is None or self._expired(document):
            return None
        record = records.parse(_embedded(document), key)
        if record is None:
            return None
        if record.layer and not self._client.has_blob(
            self.repository, record.layer.descriptor.digest
        ):
            return None
        index = _index_of(document)
        if record.layer and index:
            self._indexes[record.layer.diff_id] = index
        return CachedRecord(record, index)

    def put(
        self,
        record: LayerRecord,
        *,
        open_layer: OpenBlob,
        index: Optional[Tuple[Descriptor, bytes]],
        mount_from: Sequence[Repository] = (),
    ) -> int:
        """Push a record under each of its keys: blobs first, tags last, so that a tag never points into nothing.

        :returns: the bytes of layer that had to be uploaded.
        """
        layers = (
            [Blob(record.layer.descriptor, open_layer, tuple(mount_from))] if record.layer else []
        )
        tags = [_index_tag(record.layer.diff_id)] if record.layer and index else []
        tags.append(_op_tag(record.bare_key))
        tags += [key.hex for key in (record.content_key, record.input_key) if key]
        how = self._put(dumps(record), layers, index, tags)
        return layers[0].descriptor.size if layers and how[0] == "uploaded" else 0

    def knows_op(self, bare_key: Hash) -> bool:
        """Whether a step with this op was ever recorded here, over whatever layers."""
        return self._client.head_manifest(self.repository, _op_tag(bare_key)) is not None

    def mark_of_op(self, bare_key: Hash) -> str:
        """What is marked in the store where the cache has been seen to know the op."""
        return f"{self.repository}/{_op_tag(bare_key)}"

    def get_index(self, diff_id: Hash) -> Optional[Descriptor]:
        """The blob that holds the index of a layer, None when the cache has none."""
        if diff_id in self._indexes:
            return self._indexes[diff_id]
        document = self._manifest(_index_tag(diff_id))
        return _index_of(document) if document and _is_about(document, diff_id) else None

    def put_index(self, layer: Layer, index: Tuple[Descriptor, bytes]) -> None:
        """File the index of a base layer, so that others can plan on the layer without having it."""
        self._put(_names(layer.diff_id), [], index, [_index_tag(layer.diff_id)])

    def mark_of_index(self, diff_id: Hash) -> str:
        """What is marked in the store where the cache is known to have the index."""
        return f"{self.repository}/index/{diff_id}"

    def has_index(self, diff_id: Hash) -> bool:
        return self._client.head_manifest(self.repository, _index_tag(diff_id)) is not None

    def read_blob(self, descriptor: Descriptor, max_bytes: int) -> bytes:
        return self._client.get_small_blob(self.repository, descriptor, max_bytes=max_bytes)

    def _manifest(self, tag: str) -> Optional[Mapping[str, Any]]:
        try:
            raw = self._client.get_manifest(self.repository, tag).raw
        except NotFoundError:
            return None
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def _expired(self, document: Mapping[str, Any]) -> bool:
        if not self._ttl:
            return False
        try:
            created = datetime.fromisoformat(
                str(document["annotations"][CREATED]).replace("Z", "+00:00")
            )
        except (KeyError, TypeError, ValueError):
            return True
        return created.tzinfo is None or created + timedelta(seconds=self._ttl) < self._now()

    def _put(
        self,
        data: bytes,
        layers: Sequence[Blob],
        index: Optional[Tuple[Descriptor, bytes]],
        tags: Sequence[str],
    ) -> List[str]:
        """Blobs at once, and then tags: to a registry that is far away, each would wait for the one before.

        :returns: how each blob came to be there, first those of `layers`.
        """
        config = Blob.of(Descriptor(media_types.RECORD, Hash.of(data), len(data)), data)
        indexes = [Blob.of(*index)] if index else []
        below = [*layers, *indexes] if layers or index else [Blob.of(EMPTY, EMPTY_BLOB, new=False)]
        how = concurrently(self._push, [*below, config])
        document: Dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": {**config.descriptor.to_json(), "data": base64.b64encode(data).decode()},
            "layers": [blob.descriptor.to_json() for blob in below],
            "annotations": {
                CREATED: self._now().astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            },
        }
        raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        put = self._client.put_manifest
        concurrently(lambda tag: put(self.repository, tag, media_types.OCI_MANIFEST, raw), tags)
        return how

    def _push(self, blob: Blob) -> str:
        return self._client.push_blob(
            self.repository, blob.descriptor, blob.open, mount_from=blob.mount_from, new=blob.new
        )


def _embedded(document: Mapping[str, Any]) -> bytes:
    """The config's embedded bytes, verified against its digest; empty when there are none."""
    config = document.get("config")
    data = config.get("data") if isinstance(config, dict) else None
    if not isinstance(data, str) or len(data) > MAX_RECORD_BYTES:
        return b""
    try:
        raw = base64.b64decode(data, validate=True)
        return raw if Descriptor.from_json(config).digest == Hash.of(raw) else b""
    except (binascii.Error, MalformedError):
        return b""


def _index_of(document: Mapping[str, Any]) -> Optional[Descriptor]:
    for item in document.get("layers") or ():
        try:
            descriptor = Descriptor.from_json(item)
        except MalformedError:
            return None
        if descriptor.media_type == media_types.LAYER_INDEX:
            return descriptor
    return None


def _index_tag(diff_id: Hash) -> str:
    return f"index-{diff_id.hex}"


def _op_tag(bare_key: Hash) -> str:
    return f"op-{bare_key.hex}"


def _is_about(document: Mapping[str, Any], diff_id: Hash) -> bool:
    """Whether a manifest under an index tag belongs there: a bare index, or the record of the step that made the layer."""
    embedded = _embedded(document)
    if embedded == _names(diff_id):
        return True
    try:
        layer = loads(LayerRecord, embedded).layer
    except MalformedError:
        return False
    return layer is not None and layer.diff_id == diff_id


def _names(diff_id: Hash) -> bytes:
    return dumps({"index_of": diff_id})
