"""Dockerfiles to plans with images and files that exist only here; a golden case is a folder that says which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from imagebuild.dockerfile.dockerignore import select_context
from imagebuild.dockerfile.parse import parse
from imagebuild.llb.plan import ContextEntry, Plan, ResolvedBase, WantedImage
from imagebuild.lower import base_refs, lower
from imagebuild.oci.config import Config, ConfigFile
from imagebuild.oci.descriptor import Descriptor, Platform
from imagebuild.oci.hash import Hash
from imagebuild.oci.media_types import OCI_MANIFEST

PLATFORM = Platform("linux", "amd64")
GOLDEN = Path(__file__).parent.parent / "golden"


def file_entry(path: str, content: str = "", *, executable: bool = False) -> ContextEntry:
    data = content.encode()
    return ContextEntry(path, "file", Hash.of(data), len(data), executable)


def resolved(image: WantedImage, config: Mapping[str, Any] = {}) -> ResolvedBase:
    """An image that exists in name only; `config` as in an image's JSON."""
    ref, repository = image.ref, image.ref.rpartition(":")[0]
    name = ref if image.platform == PLATFORM else f"{ref} for {image.platform}"
    manifest = Descriptor(OCI_MANIFEST, Hash.of(name.encode()), len(ref))
    config_file = ConfigFile(image.platform, Config.from_json(config))
    return ResolvedBase(ref, repository, manifest, config_file, (), platform=image.platform)


def plan(
    text: Any,
    context: Sequence[ContextEntry] = (),
    *,
    bases: Mapping[str, Any] = {},
    build_args: Mapping[str, str] = {},
    target: str = "",
    network: str = "host",
    labels: Sequence[Tuple[str, str]] = (),
    file: str = "Dockerfile",
    platform: Platform = PLATFORM,
) -> Plan:
    """Parse and lower; `bases` are configs by full name, images that are not named have an empty one."""
    dockerfile = parse(text, file)
    images: List[ResolvedBase] = []
    while True:
        refs = base_refs(
            dockerfile,
            build_args=build_args,
            target=target,
            platform=platform,
            bases=images,
            build_platform=PLATFORM,
        )
        if len(refs) == len(images):
            break
        images.extend(resolved(image, bases.get(image.ref, {})) for image in refs[len(images) :])
    return lower(
        dockerfile,
        bases=images,
        context=context,
        build_args=build_args,
        target=target,
        platform=platform,
        build_platform=PLATFORM,
        network=network,
        labels=labels,
    )


def plan_case(case: Path) -> Plan:
    """The plan of a golden case: ``Dockerfile``, and where they are there ``context/``, ``build.json`` and
    ``Dockerfile.dockerignore``."""
    build: Dict[str, Any] = {}
    if (case / "build.json").exists():
        build = json.loads((case / "build.json").read_text())
    if "platform" in build:
        build["platform"] = Platform.parse(build["platform"])
    root = case / "context"
    entries = [
        file_entry(path.relative_to(root).as_posix(), path.read_text())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]
    ignore = case / "Dockerfile.dockerignore"
    if ignore.exists():
        entries = list(select_context(entries, ignore.read_text(), ignore.name))
    return plan((case / "Dockerfile").read_bytes(), entries, **build)
