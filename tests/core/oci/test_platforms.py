"""One spelling for each platform, and which of them runs on which."""

from __future__ import annotations

from typing import Optional

import pytest

from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor, Platform
from imagebuild.oci.hash import Hash
from imagebuild.oci.manifest import Index
from imagebuild.oci.platforms import distance, normalised

SPELLINGS = {
    "linux/x86_64": "linux/amd64",
    "Linux/AMD64": "linux/amd64",
    "linux/amd64/v1": "linux/amd64",
    "linux/amd64/v3": "linux/amd64/v3",
    "linux/aarch64": "linux/arm64",
    "linux/arm64/v8": "linux/arm64",
    "linux/arm64/8": "linux/arm64",
    "linux/arm": "linux/arm/v7",
    "linux/armhf": "linux/arm/v7",
    "linux/armel": "linux/arm/v6",
    "linux/arm/5": "linux/arm/v5",
    "linux/i386": "linux/386",
}


@pytest.mark.parametrize("given, expected", SPELLINGS.items())
def test_equal_platforms_have_one_spelling(given: str, expected: str) -> None:
    found = normalised(Platform.parse(given))

    assert expected == str(found)
    assert found == normalised(found)


DISTANCES = [
    ("linux/arm64/v8", "linux/arm64", 0),
    ("linux/arm/v6", "linux/arm", 1),
    ("linux/arm/v7", "linux/arm/v6", None),
    ("linux/amd64", "linux/amd64/v3", 2),
    ("linux/amd64/v3", "linux/amd64", None),
    ("linux/arm64/v8.1", "linux/arm64", None),
    ("linux/arm64", "linux/amd64", None),
    ("freebsd/amd64", "linux/amd64", None),
    ("linux/mips64le/hardfloat", "linux/mips64le/softfloat", None),
    ("linux/mips64le/hardfloat", "linux/mips64le/hardfloat", 0),
]


@pytest.mark.parametrize("offered, wanted, expected", DISTANCES)
def test_what_runs_where(offered: str, wanted: str, expected: Optional[float]) -> None:
    assert expected == distance(Platform.parse(offered), Platform.parse(wanted))


def entry(platform: str) -> Descriptor:
    parsed = Platform.parse(platform) if platform else None
    digest = Hash.of(platform.encode())
    return Descriptor(media_types.OCI_MANIFEST, digest, 1, platform=parsed)


def test_an_index_gives_what_makes_the_most_of_the_processor() -> None:
    offered = [
        "",
        "unknown/unknown",
        "linux/arm/v5",
        "linux/arm/v7",
        "linux/arm/v8",
        "linux/arm/v6",
    ]
    index = Index(tuple(map(entry, offered)))

    found = {
        wanted: index.for_platform(Platform.parse(wanted))
        for wanted in ("linux/arm", "linux/arm/v6", "linux/arm64")
    }
    assert found == {
        "linux/arm": entry("linux/arm/v7"),
        "linux/arm/v6": entry("linux/arm/v6"),
        "linux/arm64": None,
    }
