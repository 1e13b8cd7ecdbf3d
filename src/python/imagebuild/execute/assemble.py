"""Put an image together from a plan and the layers its steps made. Pure: metadata only, no layer's bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Dict, Optional, Sequence, Tuple

from imagebuild.llb.plan import Plan
from imagebuild.oci import media_types
from imagebuild.oci.config import ConfigFile, History
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash
from imagebuild.oci.manifest import Index, Manifest

DEFAULT_EPOCH = 315532800
"""1980-01-01T00:00:00Z: the earliest time that zip archives can hold, so that tools which zip files of an image work."""

LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True)
class Image:
    """A whole image but for its layers' bytes. `layers` are those of base and steps, lowest first."""

    config: ConfigFile
    config_bytes: bytes
    manifest: Manifest
    manifest_bytes: bytes
    layers: Tuple[Layer, ...]

    @property
    def digest(self) -> Hash:
        return Hash.of(self.manifest_bytes)

    @property
    def config_digest(self) -> Hash:
        return self.manifest.config.digest

    def descriptor(self) -> Descriptor:
        return Descriptor(
            self.manifest.media_type,
            self.digest,
            len(self.manifest_bytes),
            platform=self.config.platform,
        )


@dataclass(frozen=True)
class ImageSet:
    """What a name stands for: one image, or the index of those for several platforms (image-spec image-index.md).

    :param index_bytes: b"" for one image, whose manifest it is then.
    """

    images: Tuple[Image, ...]
    index_bytes: bytes = b""

    @staticmethod
    def of(images: Sequence[Image], platforms: Sequence[Platform]) -> ImageSet:
        """:param platforms: what each image was built for: what the index says, whatever its base says of itself."""
        if len(images) == 1:
            return ImageSet(tuple(images))
        entries = (
            replace(image.descriptor(), platform=platform)
            for image, platform in zip(images, platforms)
        )
        return ImageSet(tuple(images), Index(tuple(entries)).to_bytes())

    @property
    def digest(self) -> Hash:
        return self.descriptor().digest

    @property
    def layers(self) -> Tuple[Layer, ...]:
        """Those of all images, each once."""
        return tuple(dict.fromkeys(layer for image in self.images for layer in image.layers))

    @property
    def manifests(self) -> Tuple[bytes, ...]:
        """In an order in which a registry takes them: the last one is what the name stands for."""
        own = dict.fromkeys(image.manifest_bytes for image in self.images)
        return (*own, self.index_bytes) if self.index_bytes else tuple(own)

    @property
    def configs(self) -> Tuple[bytes, ...]:
        return tuple(dict.fromkeys(image.config_bytes for image in self.images))

    def descriptor(self) -> Descriptor:
        if not self.index_bytes:
            return self.images[0].descriptor()
        digest = Hash.of(self.index_bytes)
        return Descriptor(media_types.OCI_INDEX, digest, len(self.index_bytes))


def assemble(plan: Plan, layers: Sequence[Optional[Layer]], epoch: Optional[int]) -> Image:
    """The image of `plan`.

    :param layers: aligned with `plan.steps`; None for a step that made no layer.
    :param epoch: seconds; what `created` says. None leaves `created` out.
    """
    base = None if plan.target_base is None else plan.bases[plan.target_base]
    created = rfc3339(epoch) if epoch is not None else ""
    stack = stack_of(plan, layers)
    config = ConfigFile(
        platform=(plan.image_platform or plan.platform) if base is None else base.config.platform,
        config=plan.config,
        diff_ids=tuple(layer.diff_id for layer in stack),
        history=(base.config.history if base else ()) + _history(plan, layers, created),
        created=created,
        author=plan.author or (base.config.author if base else ""),
        os_version=base.config.os_version if base else "",
        os_features=base.config.os_features if base else (),
    )
    raw = config.to_bytes()
    manifest = Manifest(
        Descriptor(media_types.OCI_CONFIG, Hash.of(raw), len(raw)),
        tuple(layer.descriptor for layer in stack),
    )
    return Image(config, raw, manifest, manifest.to_bytes(), stack)


def stack_of(plan: Plan, layers: Sequence[Optional[Layer]]) -> Tuple[Layer, ...]:
    """Every layer of the target, lowest first."""
    numbers = plan.steps_of(plan.target)
    lowest = plan.steps[numbers[0]].parent if numbers else plan.target
    below = () if lowest.base is None else plan.bases[lowest.base].layers
    return below + tuple(layer for layer in map(layers.__getitem__, numbers) if layer)


def layout_files(images: ImageSet, names: Sequence[str] = ()) -> Tuple[Tuple[str, bytes], ...]:
    """The small files of an OCI image layout (image-spec image-layout.md): path and bytes, layers left out.

    :param names: references for ``org.opencontainers.image.ref.name``; one index entry each.
    """
    descriptor = images.descriptor()
    entries = [
        replace(descriptor, annotations=(("org.opencontainers.image.ref.name", name),))
        for name in names
    ] or [descriptor]
    index: Dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [entry.to_json() for entry in entries],
    }
    return (
        ("oci-layout", LAYOUT_FILE),
        ("index.json", json.dumps(index, sort_keys=True, separators=(",", ":")).encode()),
        *((blob_path(Hash.of(data)), data) for data in (*images.manifests, *images.configs)),
    )


def blob_path(digest: Hash) -> str:
    """Where a blob lies in an image layout."""
    return f"blobs/sha256/{digest.hex}"


def rfc3339(seconds: int) -> str:
    """A time as image-spec documents write it."""
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat() + "Z"


def _history(plan: Plan, layers: Sequence[Optional[Layer]], created: str) -> Tuple[History, ...]:
    return tuple(
        History(
            created=created,
            created_by=item.created_by,
            comment=item.comment,
            empty_layer=item.step is None or layers[item.step] is None,
        )
        for item in plan.history
    )
