"""``docker-archive`` (pure): an image layout as one tar that ``docker load`` reads.

The tar holds the layout itself and a ``manifest.json`` that points into it, as ``docker save`` has written it since
Docker 25: old and new loaders both find what they look for. Deterministic: sorted, no times, no owners.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import Iterator, Tuple

from imagebuild.errors import UsageError
from imagebuild.execute.pure_requests import DockerArchiveRequest
from imagebuild.oci import manifest as manifests
from imagebuild.oci.manifest import Manifest

BLOBS = "blobs/sha256"


def docker_archive(request: DockerArchiveRequest, directory: str) -> None:
    """Write `request.path` from the layout at `request.layout`, both below `directory`.

    :raises UsageError: when the layout does not hold exactly one image manifest.
    """
    layout = os.path.join(directory, request.layout)
    with tarfile.open(
        os.path.join(directory, request.path), "w", format=tarfile.PAX_FORMAT
    ) as archive:
        for name in sorted(_files(layout)):
            with open(os.path.join(layout, name), "rb") as content:
                archive.addfile(_member(name, os.fstat(content.fileno()).st_size), content)
        index = _docker_index(layout, request.tags)
        member = _member("manifest.json", len(index))
        archive.addfile(member, io.BytesIO(index))


def _docker_index(layout: str, tags: Tuple[str, ...]) -> bytes:
    with open(os.path.join(layout, "index.json"), "rb") as file:
        digests = {item["digest"] for item in json.load(file)["manifests"]}
    if len(digests) != 1:
        raise UsageError("a docker archive holds one image", expected="a layout with one manifest")
    with open(os.path.join(layout, BLOBS, digests.pop().partition(":")[2]), "rb") as file:
        manifest = manifests.parse(file.read())
    if not isinstance(manifest, Manifest):
        raise UsageError(
            "a docker archive holds an image of one platform", hint='use formats=["oci-layout"]'
        )
    entry = {
        "Config": f"{BLOBS}/{manifest.config.digest.hex}",
        "RepoTags": list(tags),
        "Layers": [f"{BLOBS}/{layer.digest.hex}" for layer in manifest.layers],
    }
    return json.dumps([entry], sort_keys=True, separators=(",", ":")).encode()


def _files(root: str) -> Iterator[str]:
    for directory, _, names in os.walk(root):
        for name in names:
            yield os.path.relpath(os.path.join(directory, name), root)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
