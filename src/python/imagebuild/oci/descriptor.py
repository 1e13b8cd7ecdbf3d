"""Descriptors and platforms (image-spec descriptor.md, image-index.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from imagebuild.errors import MalformedError
from imagebuild.oci.hash import Hash


@dataclass(frozen=True)
class Platform:
    """What an image runs on, in GOOS/GOARCH words: ``linux/amd64``, ``linux/arm/v7``."""

    os: str
    architecture: str
    variant: str = ""

    @staticmethod
    def parse(text: str) -> Platform:
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise MalformedError(
                f'platform "{text}" is not known',
                expected="OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT",
            )
        return Platform(*parts)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def to_json(self) -> Dict[str, str]:
        document = {"architecture": self.architecture, "os": self.os}
        return {**document, "variant": self.variant} if self.variant else document


@dataclass(frozen=True)
class Descriptor:
    """What a piece of content is: media type, sha256 and size in bytes.

    `urls` of foreign layers are read past on purpose: nothing is ever fetched from them (CVE-2020-15157).
    """

    media_type: str
    digest: Hash
    size: int
    annotations: Tuple[Tuple[str, str], ...] = ()
    platform: Optional[Platform] = None

    @staticmethod
    def from_json(document: Any) -> Descriptor:
        """:raises MalformedError: when a required member is missing or has another type."""
        if not isinstance(document, Mapping):
            raise MalformedError("a descriptor is not a JSON object")
        media_type, digest, size = (document.get(name) for name in ("mediaType", "digest", "size"))
        if not isinstance(media_type, str) or not isinstance(digest, str):
            raise MalformedError("a descriptor lacks its mediaType or digest")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise MalformedError(f"a descriptor's size is {size!r}", expected="a number of bytes")
        return Descriptor(
            media_type,
            Hash.parse(digest),
            size,
            _annotations(document.get("annotations")),
            _platform(document.get("platform")),
        )

    def to_json(self) -> Dict[str, Any]:
        document: Dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.platform:
            document["platform"] = self.platform.to_json()
        return document


@dataclass(frozen=True)
class Layer:
    """One layer under both its names: `diff_id` of the tar, `descriptor` of the (compressed) blob."""

    diff_id: Hash
    descriptor: Descriptor


def _annotations(document: Any) -> Tuple[Tuple[str, str], ...]:
    if document is None:
        return ()
    if not isinstance(document, Mapping) or not all(
        isinstance(value, str) for value in document.values()
    ):
        raise MalformedError("annotations are not an object of strings")
    return tuple(sorted(document.items()))


def _platform(document: Any) -> Optional[Platform]:
    if not isinstance(document, Mapping):
        return None
    os, architecture, variant = (
        document.get(name) or "" for name in ("os", "architecture", "variant")
    )
    return Platform(str(os), str(architecture), str(variant)) if os and architecture else None
