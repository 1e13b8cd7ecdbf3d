"""Names of images as users type them (distribution/reference grammar), in full: ``alpine`` is ``docker.io/library/alpine:latest``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Tuple

from imagebuild.errors import MalformedError, UsageError
from imagebuild.oci.hash import Hash

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_MAX_NAME = 255

_LABEL = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:.]+\])(?::[0-9]{{1,5}})?\Z")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_BARE_HASH = re.compile(r"[a-f0-9]{64}\Z")


@dataclass(frozen=True)
class Repository:
    """Where manifests and blobs live: ``registry`` is ``host[:port]``, ``path`` the name inside it."""

    registry: str
    path: str

    @staticmethod
    def parse(text: str) -> Repository:
        """The repository that `text` names; a first component without a dot, a port or capitals is not a host.

        :raises UsageError: when it breaks the grammar, or carries a tag or digest.
        """
        registry, path = _split_registry(text)
        if not _HOST.match(registry):
            raise _bad(text, f'"{registry}" is not a registry host')
        if not _PATH.match(path):
            lower = "; a repository name is lower case" if _PATH.match(path.lower()) else ""
            raise _bad(text, f'"{path}" is not a repository name{lower}')
        if len(registry) + 1 + len(path) > _MAX_NAME:
            raise _bad(text[:80] + "...", f"the name is longer than {_MAX_NAME} characters")
        return Repository(registry, path)

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


@dataclass(frozen=True)
class ImageRef:
    """A repository with a tag, a digest or both; where both are given the digest decides."""

    repository: Repository
    tag: str = ""
    digest: Optional[Hash] = None

    @staticmethod
    def parse(text: str) -> ImageRef:
        """The image that `text` names; with neither tag nor digest, the tag ``latest``.

        :raises UsageError: when it breaks the grammar.
        """
        if _BARE_HASH.match(text):
            raise _bad(text, "64 hex digits are an image id, not a name")
        name, at, digits = text.partition("@")
        name, tag = _split_tag(name)
        if tag and not _TAG.match(tag):
            raise _bad(text, f'"{tag[:140]}" is not a tag')
        if tag is None:
            tag = "" if at else DEFAULT_TAG
        elif not tag:
            raise _bad(text, "the tag is empty")
        return ImageRef(Repository.parse(name), tag, _digest(text, digits) if at else None)

    @property
    def reference(self) -> str:
        """What a registry is asked for: the digest where there is one, else the tag."""
        return str(self.digest) if self.digest else self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def is_tag(text: str) -> bool:
    """Whether `text` may be a tag (distribution-spec, "Pulling manifests")."""
    return _TAG.match(text) is not None


def is_registry_host(text: str) -> bool:
    """Whether `text` is ``host`` or ``host:port``."""
    return _HOST.match(text) is not None


def canonical_registry(host: str) -> str:
    """`host` with the names of Docker Hub taken together."""
    return DEFAULT_REGISTRY if host in _DOCKER_HUB_NAMES else host


def _split_registry(text: str) -> Tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_host = slash and (
        any(mark in first for mark in ".:[") or first == "localhost" or first.lower() != first
    )
    registry, path = (first, rest) if is_host else (DEFAULT_REGISTRY, text)
    registry = canonical_registry(registry)
    if registry == DEFAULT_REGISTRY and path and "/" not in path:
        path = _OFFICIAL + path
    return registry, path


def _split_tag(name: str) -> Tuple[str, Optional[str]]:
    """A colon starts a tag only behind the last slash; before it, it starts a port."""
    colon = name.rfind(":")
    return (name[:colon], name[colon + 1 :]) if colon > name.rfind("/") else (name, None)


def _digest(text: str, digits: str) -> Hash:
    try:
        return Hash.parse(digits)
    except MalformedError as error:
        raise _bad(text, error.message) from None


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f'image name "{text}" is not valid: {why}',
        expected="[HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST], for example docker.io/library/alpine:3.19",
    )
