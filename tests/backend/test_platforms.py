"""`platforms`: what is planned, run, written, pushed and said for several of them. No RUN here is of a foreign one."""

from __future__ import annotations

import json
import logging
from typing import Dict

import pytest
from pants.engine.fs import DigestContents
from pants.engine.internals.scheduler import ExecutionError

from imagebuild import canonical
from imagebuild.execute.requests import PushRequest, RunImageRequest
from imagebuild.oci import media_types
from imagebuild.oci.config import ConfigFile
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.hash import Hash
from imagebuild.oci.manifest import Index, parse
from support.backend import Backend, text_of
from support.base_image import image_of, push_index
from support.registry import RealRegistry

DOCKERFILE = """\
FROM --platform=$BUILDPLATFORM scratch AS build
COPY app/common.txt /common
FROM scratch
ARG TARGETARCH
COPY app/$TARGETARCH.txt /name
COPY --from=build /common /common
CMD ["/name"]
"""
BOTH = 'platforms=["linux/amd64", "linux/arm64"]'


def files(fields: str = BOTH) -> Dict[str, str]:
    build = f"""\
files(name="files", sources=["*.txt"])
kaniko_image(name="image", dependencies=[":files"], image_tags=["1.0"], {fields})
"""
    texts = {f"app/{name}.txt": f"for {name}" for name in ("amd64", "arm64", "common")}
    return {"app/BUILD": build, "app/Dockerfile": DOCKERFILE, **texts}


@pytest.fixture
def amd64(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A machine of this platform, whatever it is."""
    monkeypatch.setattr("pants_kaniko.targets.platform_of", lambda _: Platform("linux", "amd64"))
    backend.new_session()
    return backend


def test_steps_that_platforms_share_run_once(amd64: Backend) -> None:
    amd64.write(files())
    amd64.package("app:image")

    calls = amd64.calls()
    assert (1, 5, 1) == (calls.count("lookup"), calls.count("step"), calls.count("export"))


def test_the_log_names_the_platform_of_each_step(
    amd64: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    amd64.write(files())
    amd64.package("app:image")

    lines = {record.getMessage().rpartition(" - ")[0] for record in caplog.records}
    assert {
        "[linux/amd64 build 1/5] COPY app/common.txt /common (app/Dockerfile:2)",
        "[linux/amd64 stage-1 2/5] COPY app/$TARGETARCH.txt /name (app/Dockerfile:5)",
        "[linux/amd64 stage-1 3/5] COPY --from=build /common /common (app/Dockerfile:6)",
        "[linux/arm64 stage-1 4/5] COPY app/$TARGETARCH.txt /name (app/Dockerfile:5)",
        "[linux/arm64 stage-1 5/5] COPY --from=build /common /common (app/Dockerfile:6)",
    } == {line for line in lines if "/5] " in line}


def test_what_package_writes(amd64: Backend) -> None:
    amd64.write(files())
    package = amd64.package("app:image")
    written = amd64.files(package)

    (entry,) = json.loads(written["app/image.oci/index.json"])["manifests"]
    assert media_types.OCI_INDEX == entry["mediaType"]
    index = parse(written[f"app/image.oci/blobs/sha256/{entry['digest'][7:]}"])
    assert isinstance(index, Index)
    document = json.loads(written["app/image.image.json"])
    assert entry["digest"] == document["digest"]
    assert ["linux/amd64", "linux/arm64"] == [item["platform"] for item in document["images"]]
    assert {"version", "target", "digest", "tags", "images"} == document.keys()
    for item, manifest in zip(document["images"], index.manifests):
        assert item["digest"] == str(manifest.digest)
        assert [5, 6] == [layer["line"] for layer in item["layers"]]
        for layer in item["layers"]:
            assert f"app/image.oci/blobs/sha256/{layer['digest'][7:]}" in written
        config = ConfigFile.parse(
            written[f"app/image.oci/blobs/sha256/{item['config_digest'][7:]}"]
        )
        assert item["platform"] == str(config.platform)
    lines = package.artifacts[-1].extra_log_lines
    assert f"  {document['digest']}" == lines[0]
    assert f"    {document['images'][1]['digest']} for linux/arm64" == lines[2]


def test_one_platform_is_written_as_ever(amd64: Backend) -> None:
    amd64.write(files('platforms=["linux/arm64"], formats=["docker-archive"]'))
    written = amd64.files(amd64.package("app:image"))

    document = json.loads(written["app/image.image.json"])
    assert "linux/arm64" == document["platform"]
    assert ["version", "target", "digest", "config_digest", "platform", "tags", "layers"] == list(
        document
    )
    assert "app/image.docker.tar" in written


def test_a_docker_archive_holds_one_platform(amd64: Backend) -> None:
    amd64.write(files(BOTH + ', formats=["oci-layout", "docker-archive"]'))
    with pytest.raises(ExecutionError) as caught:
        amd64.package("app:image")

    assert text_of(caught.value) == (
        'app:image: `formats` has "docker-archive", which holds the image of one platform, and `platforms` has 2: '
        '"linux/amd64", "linux/arm64"\n'
        'fix: use formats=["oci-layout"], or a target with one of these platforms for "docker-archive"'
    )
    assert [] == amd64.calls()


def test_publish_pushes_the_manifests_before_the_index(amd64: Backend) -> None:
    amd64.write(files(BOTH + ', registries=["registry.example:5000"]'))
    amd64.set_options("--kaniko-cache-read-only", "--no-kaniko-cache")
    images = amd64.image("app:image").images
    assert images
    (publish,) = amd64.publish("app:image")
    assert publish.process

    assert (f"registry.example:5000/image:1.0@{images.digest}",) == publish.names
    (call,) = amd64.runner.request(DigestContents, [publish.process.process.input_digest])
    request = canonical.loads(PushRequest, call.content)
    sent = [Hash.of(text.encode()) for text in request.manifests]
    assert [*(image.digest for image in images.images), images.digest] == sent
    assert 2 == len(request.configs)
    assert {layer.descriptor for layer in images.layers} == {
        source.layer.descriptor for source in request.layers
    }


@pytest.mark.parametrize(
    ("own", "steps"), [("amd64", 3), ("arm64", 3), ("s390x", 3)], ids=["first", "second", "none"]
)
def test_run_takes_this_machine_s_platform_and_builds_no_other(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, own: str, steps: int
) -> None:
    monkeypatch.setattr("pants_kaniko.targets.platform_of", lambda _: Platform("linux", own))
    backend.new_session()
    backend.write(files())
    request = backend.container("app:image")

    (file,) = backend.runner.request(DigestContents, [request.digest])
    asked = canonical.loads(RunImageRequest, file.content)
    platform = ConfigFile.parse(asked.config.encode()).platform
    assert ("arm64" if own == "arm64" else "amd64") == platform.architecture
    assert steps == backend.calls().count("step")
    assert 2 == len(asked.layers)


def test_base_images_of_all_platforms_are_resolved_at_once(
    amd64: Backend, registry: RealRegistry
) -> None:
    base = f"{registry.address}/multi:1"
    names = ("amd64", "arm64")
    push_index({name: image_of([], architecture=name) for name in names}, base)
    amd64.write({**files(), "app/Dockerfile": DOCKERFILE.replace("scratch", base)})
    before = len(registry.accesses())
    bases = amd64.plan("app:image").handle.plan.bases

    assert ["resolve"] == amd64.calls()
    assert ["linux/amd64", "linux/arm64"] == [str(item.config.platform) for item in bases]
    asked = [item for item in registry.accesses(before) if "/multi/manifests/" in item.path]
    assert ["GET", "GET", "GET"] == [item.method for item in asked]


WRONG = [
    ('["linux"]', '"linux" is no platform'),
    ('["linux/amd46"]', '"amd46" is not known'),
    ('["windows/amd64"]', "is Windows"),
    ('["linux/arm64", "linux/arm64/v8"]', "names linux/arm64 more than once"),
]


@pytest.mark.parametrize(("value", "expected"), WRONG)
def test_what_the_field_refuses(backend: Backend, value: str, expected: str) -> None:
    backend.write(files(f"platforms={value}"))
    with pytest.raises(ExecutionError) as caught:
        backend.target("app:image")

    said = text_of(caught.value)
    assert expected in said
    assert "`platforms` field in target app:image" in said
