"""Putting an image together from a plan and layers."""

from __future__ import annotations

import json
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
from imagebuild.oci.manifest import parse

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
