"""Putting an image together from a plan and layers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Optional

import pytest

from imagebuild.errors import SourceRange
from imagebuild.execute.assemble import ImageSet, assemble, layout_files, rfc3339
from imagebuild.llb.ops import ExecOp, FileOp, MkdirAction
from imagebuild.llb.plan import Origin, Plan, PlannedHistory, PlannedStep, ResolvedBase, State
from imagebuild.oci import media_types
from imagebuild.oci.config import Config, ConfigFile, History
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash
from imagebuild.oci.manifest import Index, parse

AMD64 = Platform("linux", "amd64")


def layer(name: str) -> Layer:
    return Layer(
        Hash.of(name.encode()),
        Descriptor(media_types.OCI_LAYER_GZIP, Hash.of(name.upper().encode()), len(name)),
    )


BASE = ResolvedBase(
    "base:1",
    "registry/base",
    Descriptor(media_types.OCI_MANIFEST, Hash.of(b"manifest"), 8),
    ConfigFile(AMD64, Config(), (Hash.of(b"base"),), (History(created_by="base"),), author="them"),
    (layer("base"),),
)
RUN = ExecOp(("/bin/true",), (), "/", "", "host")
ORIGIN = Origin(SourceRange("Dockerfile", 1, 1), "RUN", "0")


def plan(author: str = "") -> Plan:
    """FROM base; RUN; WORKDIR (which may make no layer); CMD."""
    return Plan(
        bases=(BASE,),
        steps=(
            PlannedStep(RUN, State(base=0)),
            PlannedStep(FileOp((MkdirAction("/srv", 0o755),)), State(step=0)),
        ),
        origins=(ORIGIN, ORIGIN),
        target=State(step=1),
        target_base=0,
        platform=AMD64,
        config=Config(cmd=("sh",)),
        author=author,
        history=(
            PlannedHistory("RUN true", 0),
            PlannedHistory("WORKDIR /srv", 1),
            PlannedHistory("CMD sh"),
        ),
    )


def test_layers_stand_on_the_base_and_history_says_which_made_one() -> None:
    image = assemble(plan(), [layer("run"), None], 0)

    assert (layer("base"), layer("run")) == image.layers
    assert (Hash.of(b"base"), Hash.of(b"run")) == image.config.diff_ids
    assert [False, False, True, True] == [item.empty_layer for item in image.config.history]
    assert ["base", "RUN true", "WORKDIR /srv", "CMD sh"] == [
        item.created_by for item in image.config.history
    ]


@pytest.mark.parametrize("author, expected", [("", "them"), ("us", "us")])
def test_the_author_is_ours_or_else_the_base_s(author: str, expected: str) -> None:
    assert expected == assemble(plan(author), [layer("run"), None], 0).config.author


def test_manifest_and_config_are_what_their_digests_say() -> None:
    image = assemble(plan(), [layer("run"), layer("dir")], 0)

    assert image.manifest == parse(image.manifest_bytes)
    assert image.config == ConfigFile.parse(image.config_bytes)
    assert Hash.of(image.config_bytes) == image.manifest.config.digest


def test_the_same_plan_and_layers_give_the_same_bytes() -> None:
    one, other = (assemble(plan(), [layer("run"), None], 0) for _ in range(2))

    assert one.manifest_bytes == other.manifest_bytes


def test_a_layout_names_the_image_once_for_each_reference() -> None:
    image = assemble(plan(), [layer("run"), None], 0)

    files = dict(layout_files(ImageSet((image,)), ["a:1", "b:2"]))

    index = json.loads(files["index.json"])
    names = [
        item["annotations"]["org.opencontainers.image.ref.name"] for item in index["manifests"]
    ]
    assert ["a:1", "b:2"] == names
    assert {str(image.digest)} == {item["digest"] for item in index["manifests"]}
    assert image.manifest_bytes == files[f"blobs/sha256/{image.digest.hex}"]


TIMES = {
    0: "1970-01-01T00:00:00Z",
    315532800: "1980-01-01T00:00:00Z",
    4102444799: "2099-12-31T23:59:59Z",
}


@pytest.mark.parametrize("epoch", [0, None], ids=["fixed", "none"])
def test_created_is_the_epoch_or_nothing(epoch: Optional[int]) -> None:
    created = assemble(plan(), [None, None], epoch).config.created

    assert ("" if epoch is None else TIMES[epoch]) == created


@pytest.mark.parametrize("seconds, text", TIMES.items())
def test_times_are_written_as_the_image_spec_has_them(seconds: int, text: str) -> None:
    assert text == rfc3339(seconds)


def images(*architectures: str) -> ImageSet:
    """An image for each, over a base that says it is what it is."""
    platforms = [Platform("linux", name) for name in architectures]
    made = []
    for platform in platforms:
        config = replace(BASE.config, platform=platform)
        built = replace(plan(), bases=(replace(BASE, config=config),), platform=platform)
        made.append(assemble(built, [layer(f"run {platform}"), None], 0))
    return ImageSet.of(made, platforms)


def test_one_image_needs_no_index() -> None:
    one = images("amd64")

    assert b"" == one.index_bytes
    assert (one.images[0].manifest_bytes,) == one.manifests
    assert one.images[0].descriptor() == one.descriptor()


def test_an_index_has_a_manifest_for_each_platform_and_comes_last() -> None:
    both = images("amd64", "arm64")

    index = parse(both.manifests[-1])
    assert isinstance(index, Index)
    assert media_types.OCI_INDEX == both.descriptor().media_type
    assert both.digest == Hash.of(both.index_bytes) == Hash.of(both.manifests[-1])
    for image, name in zip(both.images, ("amd64", "arm64")):
        found = index.for_platform(Platform("linux", name))
        assert found == image.descriptor()


def test_an_index_says_what_was_asked_for() -> None:
    """A stage may be of another platform than the build: `FROM --platform` with a constant."""
    one = images("amd64").images[0]

    index = parse(ImageSet.of([one, one], [AMD64, Platform("linux", "arm64")]).index_bytes)
    assert isinstance(index, Index)
    assert ["linux/amd64", "linux/arm64"] == [str(item.platform) for item in index.manifests]
    assert 1 == len({item.digest for item in index.manifests})


def test_layers_that_images_share_are_there_once() -> None:
    both = images("amd64", "arm64")

    assert (layer("base"), layer("run linux/amd64"), layer("run linux/arm64")) == both.layers


def test_a_layout_of_an_index_names_the_index() -> None:
    both = images("amd64", "arm64")
    files = dict(layout_files(both, ["a:1"]))

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert (media_types.OCI_INDEX, str(both.digest)) == (entry["mediaType"], entry["digest"])
    assert "platform" not in entry
    for data in (*both.manifests, *both.configs):
        assert data == files[f"blobs/sha256/{Hash.of(data).hex}"]
    assert 2 + 3 + 2 == len(files)
