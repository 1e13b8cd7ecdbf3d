"""Manifests and indexes (image-spec manifest.md, image-index.md); Docker's schema 2 twins are read as their OCI equals."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from imagebuild.errors import MalformedError
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor, Platform
from imagebuild.oci.platforms import distance

MAX_LAYERS = 1024


@dataclass(frozen=True)
class Manifest:
    config: Descriptor
    layers: Tuple[Descriptor, ...]
    annotations: Tuple[Tuple[str, str], ...] = ()
    media_type: str = media_types.OCI_MANIFEST

    def to_json(self) -> Dict[str, Any]:
        document: Dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document

    def to_bytes(self) -> bytes:
        return _canonical(self.to_json())


@dataclass(frozen=True)
class Index:
    manifests: Tuple[Descriptor, ...]
    annotations: Tuple[Tuple[str, str], ...] = ()
    media_type: str = media_types.OCI_INDEX

    def to_json(self) -> Dict[str, Any]:
        document: Dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [manifest.to_json() for manifest in self.manifests],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document

    def to_bytes(self) -> bytes:
        return _canonical(self.to_json())

    def for_platform(self, wanted: Platform) -> Optional[Descriptor]:
        """The manifest that makes the most of `wanted`, the first of several; None where none runs there."""
        best: Optional[Tuple[float, Descriptor]] = None
        for manifest in self.manifests:
            far = distance(manifest.platform, wanted) if manifest.platform else None
            if far is not None and (best is None or far < best[0]):
                best = far, manifest
        return best[1] if best else None


Document = Union[Manifest, Index]


def parse(raw: bytes, media_type: str = "") -> Document:
    """Read a manifest or an index, whichever the document says it is.

    :param media_type: the Content-Type it came with; must agree with the document (CVE-2021-41190).
    :raises MalformedError: for anything else, Docker's schema 1 and documents that are both at once included.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"a manifest is not JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise MalformedError("a manifest is not a JSON object")
    kind = _media_type(document, media_type.partition(";")[0].strip())
    annotations = Descriptor.from_json(
        {**_BLANK, "annotations": document.get("annotations")}
    ).annotations
    if kind in media_types.INDEXES:
        return Index(_descriptors(document, "manifests"), annotations)
    return Manifest(
        to_oci(Descriptor.from_json(document.get("config"))),
        _descriptors(document, "layers"),
        annotations,
    )


def to_oci(descriptor: Descriptor) -> Descriptor:
    """The same content under OCI's media type, so that an image of mixed origins stays one of OCI's."""
    return replace(
        descriptor, media_type=media_types.TO_OCI.get(descriptor.media_type, descriptor.media_type)
    )


_BLANK = {"mediaType": "", "digest": "sha256:" + "0" * 64, "size": 0}


def _media_type(document: Mapping[str, Any], content_type: str) -> str:
    if document.get("schemaVersion") == 1:
        raise MalformedError(
            "Docker schema 1 manifests are not supported",
            hint="push the image again with a current tool",
        )
    if "layers" in document and "manifests" in document:
        raise MalformedError("a document is both a manifest and an index")
    stated = document.get("mediaType") or ""
    if not isinstance(stated, str):
        raise MalformedError("the mediaType of a manifest is not a string")
    known = media_types.INDEXES | media_types.MANIFESTS
    if stated and content_type in known and stated != content_type:
        raise MalformedError(f'a manifest says it is "{stated}" but was sent as "{content_type}"')
    kind = stated or (content_type if content_type in known else "")
    shape = media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST
    kind = kind or shape
    if kind not in known:
        raise MalformedError(f'manifest type "{kind}" is not supported')
    if (kind in media_types.INDEXES) != (shape == media_types.OCI_INDEX):
        raise MalformedError(f'a manifest of type "{kind}" has the members of the other kind')
    return kind


def _descriptors(document: Mapping[str, Any], name: str) -> Tuple[Descriptor, ...]:
    items = document.get(name) or []
    if not isinstance(items, list) or len(items) > MAX_LAYERS:
        raise MalformedError(f"{name} of a manifest is not a list of at most {MAX_LAYERS}")
    return tuple(to_oci(Descriptor.from_json(item)) for item in items)


def _canonical(document: Dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
