"""What registries answer, read with suspicion: manifests, their headers, and lists of tags."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Optional, Tuple
from urllib.parse import urljoin

from imagebuild.errors import DigestMismatchError, MalformedError
from imagebuild.oci import manifest, media_types
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.reference import is_tag
from imagebuild.registry.exchange import Reply

_KNOWN = media_types.MANIFESTS | media_types.INDEXES
_NEXT = re.compile(r'<([^<>]*)>\s*;\s*(?:[^,]*;\s*)?rel="?next"?(?:\s*[;,]|\s*\Z)')


@dataclass(frozen=True)
class ResolvedManifest:
    """A manifest or index: its bytes as they came, and what they are (media type as stated, Docker's not translated)."""

    descriptor: Descriptor
    raw: bytes


def is_digest(reference: str) -> bool:
    """Tags have no colon."""
    return ":" in reference


def read_manifest(reply: Reply, reference: str, purpose: str) -> ResolvedManifest:
    """Our own sha256 of the body decides; what ``Docker-Content-Digest`` claims is not looked at.

    :raises DigestMismatchError: when `reference` is another digest.
    :raises MalformedError: for something that is no manifest, or claims to be two things (CVE-2021-41190).
    """
    digest = Hash.of(reply.body)
    if is_digest(reference) and reference != str(digest):
        raise DigestMismatchError(purpose, expected_digest=reference, actual_digest=str(digest))
    sent_as = _content_type(reply)
    try:
        parsed = manifest.parse(reply.body, sent_as)
        stated = json.loads(reply.body).get("mediaType")
    except MalformedError as error:
        raise MalformedError(
            f"{purpose}: {error.message}", expected=error.expected, hint=error.hint
        ) from None
    media_type = stated or (sent_as if sent_as in _KNOWN else parsed.media_type)
    return ResolvedManifest(Descriptor(media_type, digest, len(reply.body)), reply.body)


def describe_manifest(reply: Reply, reference: str) -> Optional[Descriptor]:
    """The descriptor that a HEAD's headers give; None where they don't give it all."""
    stated = reference if is_digest(reference) else reply.header("docker-content-digest")
    length, media_type = reply.header("content-length"), _content_type(reply)
    if not length.isdigit() or media_type not in _KNOWN:
        return None
    try:
        return Descriptor(media_type, Hash.parse(stated), int(length))
    except MalformedError:
        return None


def read_tags(reply: Reply, purpose: str) -> Tuple[str, ...]:
    """:raises MalformedError: when it is no list of tags. ``"tags": null`` is a repository without any."""
    try:
        tags = json.loads(reply.body)["tags"] or []
    except (ValueError, RecursionError, KeyError, TypeError):
        tags = [None]
    if not isinstance(tags, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in tags):
        raise MalformedError(f"{purpose}: the answer is no list of tags")
    return tuple(tags)


def next_page(reply: Reply) -> str:
    """The absolute URL of ``Link: <...>; rel="next"`` (RFC 8288), or "" on the last page."""
    for header in reply.all("link"):
        match = _NEXT.search(header)
        if match is not None:
            return str(urljoin(reply.url, match[1]))
    return ""


def _content_type(reply: Reply) -> str:
    return reply.header("content-type").partition(";")[0].strip().lower()
