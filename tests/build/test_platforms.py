"""Images for several platforms, against a real registry, read back with skopeo and umoci."""

from __future__ import annotations

import io
import json
import platform as host
import tarfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from imagebuild.errors import EmulatorMissingError, MalformedError
from imagebuild.execute.build import Built
from imagebuild.execute.child import in_child
from imagebuild.execute.effects import Effects
from imagebuild.execute.push import push
from imagebuild.execute.requests import PushRequest, RunImageRequest
from imagebuild.execute.run_image import run_image
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.manifest import parse
from support.base_image import busybox, busybox_layer, image_of, push_index
from support.builds import HERE, Machine, run
from support.foreign import arm64_layer, emulator, no_emulator

AMD64, ARM64, S390X = (Platform("linux", name) for name in ("amd64", "arm64", "s390x"))
BOTH = (AMD64, ARM64)

pytestmark = pytest.mark.skipif(
    host.machine() != "x86_64", reason="the foreign platform of these tests is arm64"
)


def tar_of(files: Dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def multi(here: Machine) -> str:
    """A base image for two platforms: busybox for this machine, and a program that runs on arm64 only."""
    reference = f"{here.registry.address}/{here.directory.name}/multi:1"
    native = image_of([busybox_layer(busybox()), tar_of({"arch": b"amd64"})])
    foreign = image_of([arm64_layer(), tar_of({"arch": b"arm64"})], architecture="arm64")
    push_index({"amd64": native, "arm64": foreign}, reference)
    return reference


def inspect(*arguments: str) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads(run("skopeo", "inspect", "--tls-verify=false", *arguments))
    return found


COPIES = """\
FROM --platform=$BUILDPLATFORM MULTI AS build
RUN echo made once > /made
FROM MULTI
ARG TARGETPLATFORM
ARG TARGETARCH
LABEL platform=$TARGETPLATFORM
COPY $TARGETARCH.txt /name
COPY --from=build /made /made
COPY --from=MULTI /arch /copied
"""
FILES = {"amd64.txt": "for amd64", "arm64.txt": "for arm64"}


def built_for(here: Machine, multi: str, *platforms: Platform, text: str = COPIES) -> Built:
    return here.build(text.replace("MULTI", multi), FILES, platforms=platforms)


def unpacked(layout: Path, architecture: str, directory: Path) -> Path:
    """The tree for one platform: picked by skopeo, unpacked by umoci."""
    one = directory / f"{architecture}.oci"
    run("skopeo", "--override-arch", architecture, "copy", f"oci:{layout}:test:1", f"oci:{one}:x")
    run("umoci", "unpack", "--image", f"{one}:x", str(directory / architecture))
    return directory / architecture / "rootfs"


def test_a_layout_holds_an_index_that_skopeo_and_umoci_read(here: Machine, multi: str) -> None:
    """No RUN is of the foreign platform, so that no emulator is needed."""
    built = built_for(here, multi, *BOTH)
    layout = here.layout(built)

    raw = inspect("--raw", f"oci:{layout}:test:1")
    assert ["amd64", "arm64"] == [item["platform"]["architecture"] for item in raw["manifests"]]
    for name in ("amd64", "arm64"):
        config = json.loads(
            run("skopeo", "--override-arch", name, "inspect", "--config", f"oci:{layout}:test:1")
        )
        assert name == config["architecture"]
        assert f"linux/{name}" == config["config"]["Labels"]["platform"]
        root = unpacked(layout, name, here.directory)
        assert name == (root / "arch").read_text() == (root / "copied").read_text()
        assert f"for {name}" == (root / "name").read_text()
        assert "made once\n" == (root / "made").read_text()
    copied = here.directory / "copied"
    run("skopeo", "copy", "--all", f"oci:{layout}:test:1", f"oci:{copied}:x")
    assert raw == inspect("--raw", f"oci:{copied}:x")


def test_a_stage_of_the_machine_s_platform_runs_once(here: Machine, multi: str) -> None:
    built = built_for(here, multi, *BOTH)

    texts = [origin.text for origin in built.plan.origins]
    assert 1 == texts.count("RUN echo made once > /made")
    assert 2 == texts.count("COPY --from=build /made /made")
    assert {"built"} == set(built.origins)


def test_a_build_for_one_platform_finds_what_a_build_for_another_made(
    here: Machine, multi: str
) -> None:
    built_for(here, multi, AMD64)
    other = built_for(here.fresh("other"), multi, ARM64)
    again = built_for(here.fresh("third"), multi, *BOTH)

    assert ("registry", "built", "built", "built") == other.origins
    assert {"registry"} == set(again.origins)


def test_a_name_is_asked_once_for_all_platforms(here: Machine, multi: str) -> None:
    text = "FROM MULTI\nCOPY --from=MULTI /arch /copied\n"
    before = len(here.registry.accesses())
    built_for(here, multi, ARM64, text=text)

    asked = [
        item.method for item in here.registry.accesses(before) if "/multi/manifests" in item.path
    ]
    assert ["GET", "GET"] == asked  # the tag, which is an index, and the one manifest


def test_a_push_sends_the_manifests_and_then_the_index(here: Machine, multi: str) -> None:
    built = built_for(here, multi, *BOTH)
    name = f"{here.registry.address}/{here.directory.name}/pushed"
    before = len(here.registry.accesses())

    lines: List[str] = []
    digest = push(
        PushRequest(
            tuple(raw.decode() for raw in built.images.manifests),
            tuple(raw.decode() for raw in built.images.configs),
            built.sources,
            (f"{name}:1", f"{name}:latest"),
        ),
        Effects(here.store, {}),
        lines.append,
    )

    assert built.images.digest == digest
    puts = [
        item.path.rpartition("/")[2]
        for item in here.registry.accesses(before)
        if item.method == "PUT" and "/manifests/" in item.path
    ]
    assert [*(str(image.digest) for image in built.images.images), "1", "latest"] == puts
    for tag in ("1", "latest"):
        raw = run("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}:{tag}")
        assert built.images.index_bytes == raw.encode()
    copied = here.directory / "pulled"
    run(
        "skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{name}:1", f"oci:{copied}:x"
    )
    assert len(built.images.layers) == len({*built.images.layers})
    for layer in built.images.layers:
        assert (copied / "blobs/sha256" / layer.descriptor.digest.hex).exists()


def test_one_platform_gives_a_plain_image_of_it(here: Machine, multi: str) -> None:
    built = built_for(here, multi, ARM64)

    assert b"" == built.images.index_bytes
    assert "layers" in inspect("--raw", f"oci:{here.layout(built)}:test:1")
    assert ARM64 == built.image.config.platform


def test_nothing_said_is_this_machine_and_no_index(here: Machine, multi: str) -> None:
    built = built_for(here, multi)

    assert b"" == built.images.index_bytes
    assert HERE == built.image.config.platform


def test_a_platform_that_the_base_has_not(here: Machine, multi: str) -> None:
    with pytest.raises(MalformedError) as caught:
        built_for(here, multi, S390X)

    assert f'the image "{multi}" has nothing for linux/s390x' in str(caught.value)
    assert "expected: one of linux/amd64, linux/arm64" in str(caught.value)


# --- RUN of another platform ------------------------------------------------------------------------------------------

FOREIGN = """\
FROM MULTI
RUN ["/bin/report"]
FROM MULTI
COPY --from=0 /made /made
"""


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[None]:
    with emulator(tmp_path):
        yield


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("runtime", ["namespace", "chroot"])
def test_an_emulator_runs_what_is_of_another_platform(
    here: Machine, multi: str, runtime: str
) -> None:
    built = here.build(FOREIGN.replace("MULTI", multi), platforms=(ARM64,), runtime=runtime)

    root = here.unpack(built)
    assert "aarch64" == (root / "made").read_text()
    assert ["made"] == sorted({item.name for item in root.iterdir()} - {"bin", "arch"})


@pytest.mark.usefixtures("registered")
def test_an_image_of_another_platform_is_started(here: Machine, multi: str) -> None:
    built = here.build(f'FROM {multi}\nENTRYPOINT ["/bin/report"]\n', platforms=(ARM64,))

    request, effects = run_request(built), Effects(here.store, {})
    assert 0 == in_child(lambda: run_image(request, (), effects))


@pytest.fixture
def unregistered(tmp_path: Path) -> Iterator[None]:
    with no_emulator(tmp_path):
        yield


def run_request(built: Built) -> RunImageRequest:
    return RunImageRequest(built.image.config_bytes.decode(), built.sources)


def refused(here: Machine, text: str, *platforms: Platform) -> str:
    before = len(here.registry.accesses())
    with pytest.raises(EmulatorMissingError) as caught:
        here.build(text, platforms=platforms)
    layers = [
        item
        for item in here.registry.accesses(before)
        if item.method == "GET" and "/multi/blobs/" in item.path and item.size > 2000
    ]
    assert [] == layers, "nothing is downloaded for a step that cannot run"
    return str(caught.value)


@pytest.mark.usefixtures("unregistered")
def test_without_an_emulator_a_run_is_refused_before_it_runs(here: Machine, multi: str) -> None:
    said = refused(here, FOREIGN.replace("MULTI", multi), ARM64, AMD64)

    assert said.startswith("Dockerfile:2: programs of linux/arm64 do not run on this machine")
    assert "no emulator is registered for them" in said
    assert "apt-get install qemu-user-static binfmt-support" in said
    assert "tonistiigi/binfmt --install arm64" in said
    assert "FROM --platform=$BUILDPLATFORM" in said


@pytest.mark.usefixtures("unregistered")
def test_an_emulator_that_no_image_can_reach_is_none(
    here: Machine, multi: str, tmp_path: Path
) -> None:
    with emulator(tmp_path / "own", flags="P"):
        said = refused(here, FOREIGN.replace("MULTI", multi), ARM64)

    assert "lacks the flag F" in said


@pytest.mark.usefixtures("unregistered")
def test_an_image_that_cannot_run_here_is_not_started(here: Machine, multi: str) -> None:
    built = here.build(f"FROM {multi}\n", platforms=(ARM64,))

    with pytest.raises(EmulatorMissingError):
        run_image(run_request(built), (), Effects(here.store, {}))


def test_a_foreign_base_is_pinned_and_found_again(here: Machine, multi: str) -> None:
    text = f"FROM --platform=linux/arm64 {multi}\nCOPY arm64.txt /x\n"
    first: Tuple[Built, ...] = tuple(here.build(text, FILES) for _ in range(2))

    assert [("built",), ("local",)] == [built.origins for built in first]
    assert ARM64 == first[0].image.config.platform
    document = parse(first[0].image.manifest_bytes)
    assert document == first[1].image.manifest
