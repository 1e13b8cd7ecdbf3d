"""Manifests, indexes and configs: what is read, what is refused, what is written."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.errors import ImageBuildError, MalformedError
from imagebuild.oci import media_types
from imagebuild.oci.config import Config, ConfigFile, Healthcheck
from imagebuild.oci.descriptor import Descriptor, Platform
from imagebuild.oci.hash import Hash, chain_id
from imagebuild.oci.manifest import Index, Manifest, parse

DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": media_types.OCI_CONFIG, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": media_types.OCI_LAYER_GZIP, "digest": DIGEST, "size": 3}
MANIFEST: Dict[str, Any] = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
INDEX: Dict[str, Any] = {
    "schemaVersion": 2,
    "manifests": [dict(LAYER, platform={"os": "linux", "architecture": "arm64", "variant": "v8"})],
}

BAD_MANIFESTS = {
    "no JSON": (b"\xff", ""),
    "a list": (b"[]", ""),
    "deep": (b"[" * 50_000, ""),
    "schema 1": (json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), ""),
    "both kinds at once": (json.dumps({**MANIFEST, **INDEX}).encode(), ""),
    "type and header differ": (
        json.dumps({**MANIFEST, "mediaType": media_types.OCI_MANIFEST}).encode(),
        media_types.OCI_INDEX,
    ),
    "members of the other kind": (
        json.dumps({**INDEX, "mediaType": media_types.OCI_MANIFEST}).encode(),
        "",
    ),
    "unknown type": (json.dumps({**MANIFEST, "mediaType": "text/plain"}).encode(), ""),
    "no config": (json.dumps({"schemaVersion": 2, "layers": []}).encode(), ""),
    "negative size": (json.dumps({**MANIFEST, "layers": [{**LAYER, "size": -1}]}).encode(), ""),
    "bool size": (json.dumps({**MANIFEST, "layers": [{**LAYER, "size": True}]}).encode(), ""),
    "md5": (json.dumps({**MANIFEST, "layers": [{**LAYER, "digest": "md5:x"}]}).encode(), ""),
    "endless layers": (json.dumps({**MANIFEST, "layers": [LAYER] * 5000}).encode(), ""),
}


@pytest.mark.parametrize("raw, content_type", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS.keys())
def test_a_bad_manifest_is_refused(raw: bytes, content_type: str) -> None:
    with pytest.raises(MalformedError):
        parse(raw, content_type)


def test_a_manifest_without_media_type_is_read_by_its_members() -> None:
    manifest = parse(json.dumps(MANIFEST).encode(), "application/json; charset=utf-8")

    assert isinstance(manifest, Manifest)
    assert 3 == manifest.layers[0].size


def test_docker_s_types_are_read_as_oci_s() -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": {**CONFIG, "mediaType": media_types.DOCKER_CONFIG},
        "layers": [{**LAYER, "mediaType": media_types.DOCKER_LAYER_GZIP, "urls": ["http://evil"]}],
    }

    manifest = parse(json.dumps(document).encode(), media_types.DOCKER_MANIFEST)

    assert isinstance(manifest, Manifest)
    assert media_types.OCI_LAYER_GZIP == manifest.layers[0].media_type
    assert b"evil" not in manifest.to_bytes()


PLATFORMS = {
    "linux/arm64": True,
    "linux/arm64/v8": True,
    "linux/arm64/v7": False,
    "linux/amd64": False,
}


@pytest.mark.parametrize("wanted, found", PLATFORMS.items())
def test_an_index_gives_the_manifest_of_a_platform(wanted: str, found: bool) -> None:
    index = parse(json.dumps(INDEX).encode())

    assert isinstance(index, Index)
    assert found == (index.for_platform(Platform.parse(wanted)) is not None)


CONFIG_JSON: Dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "User": "app",
        "Env": ["A=1", "B=x=y"],
        "Entrypoint": [],
        "Cmd": ["sh"],
        "Labels": {"b": "2", "a": "1"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000},
        "OnBuild": ["RUN true"],
        "Shell": ["/bin/bash", "-c"],
        "WorkingDir": "/srv",
        "StopSignal": "SIGINT",
    },
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
    "history": [{"created_by": "x", "empty_layer": True}],
}


def test_a_config_survives_reading_and_writing() -> None:
    config = ConfigFile.from_json(CONFIG_JSON)

    assert (("A", "1"), ("B", "x=y")) == config.config.env
    assert () == config.config.entrypoint
    assert Healthcheck(("CMD", "true"), interval=1000) == config.config.healthcheck
    assert CONFIG_JSON == json.loads(config.to_bytes())
    assert config == ConfigFile.parse(config.to_bytes())


def test_what_go_writes_as_null_is_empty() -> None:
    config = ConfigFile.from_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": None, "Env": None},
            "history": None,
        }
    )

    assert Config() == config.config


BAD_CONFIGS: Dict[str, Any] = {
    "a list": [],
    "a number for a name": {"os": 1},
    "a string for a list": {"config": {"Env": "A=1"}},
    "numbers in a list": {"config": {"Cmd": [1]}},
    "a string for history": {"history": "x"},
    "a history of strings": {"history": ["x"]},
    "a bool for a time": {"config": {"Healthcheck": {"Interval": True}}},
    "no digest": {"rootfs": {"diff_ids": ["x"]}},
}


@pytest.mark.parametrize("document", BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_a_bad_config_is_refused(document: Any) -> None:
    with pytest.raises(MalformedError):
        ConfigFile.parse(json.dumps(document).encode())


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "config",
                "rootfs",
                "history",
                "layers",
                "manifests",
                "diff_ids",
                "Env",
                "mediaType",
                "digest",
                "size",
                "platform",
                "annotations",
                "Healthcheck",
            ]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=15,
)


@given(ANY_JSON)
def test_hostile_documents_raise_nothing_but_our_errors(document: Any) -> None:
    raw = json.dumps(document).encode()
    with suppress(ImageBuildError):
        parse(raw)
    with suppress(ImageBuildError):
        ConfigFile.parse(raw)
    with suppress(ImageBuildError):
        Descriptor.from_json(document)


def test_chain_ids_are_those_of_the_image_spec() -> None:
    a, b = Hash.of(b"a"), Hash.of(b"b")

    assert a == chain_id([a])
    assert Hash.of(f"{a} {b}".encode()) == chain_id([a, b])
