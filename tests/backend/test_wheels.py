"""Which wheels of a lockfile are for this Python."""

from __future__ import annotations

import json
from importlib import resources
from typing import List, Sequence

import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from pants_kaniko import wheels

BEST, *_, LEAST = map(str, sys_tags())


def lockfile(*distributions: Sequence[str]) -> bytes:
    """Of distributions, each with the names of its files."""
    locked = [
        {
            "artifacts": [
                {"algorithm": "sha256", "hash": name[::-1], "url": f"https://x.example/{name}"}
                for name in names
            ]
        }
        for names in distributions
    ]
    document = json.dumps({"locked_resolves": [{"locked_requirements": locked}]})
    return f"// of Pants\n{document}\n".encode()


def test_the_wheels_of_our_lockfile_are_for_this_python() -> None:
    found = wheels.links(resources.read_binary("pants_kaniko", "executor.lock"))

    names = [link.partition("#")[0].rpartition("/")[2] for link in found]
    parsed = [parse_wheel_filename(name) for name in names]
    assert {"certifi", "idna", "isal", "requests", "urllib3", "zstandard"} < {
        name for name, *_ in parsed
    }
    assert all(tags & set(sys_tags()) for *_, tags in parsed)


@pytest.mark.parametrize(
    "names",
    [
        [f"a-1-{LEAST}.whl", f"a-1-{BEST}.whl", "a-1.tar.gz"],
        [f"a-1-{BEST}.whl", f"a-1-{LEAST}.whl", "a-1-cp26-cp26m-win32.whl"],
    ],
)
def test_the_most_specific_one_that_fits_is_taken(names: List[str]) -> None:
    name = f"a-1-{BEST}.whl"

    assert (f"https://x.example/{name}#sha256={name[::-1]}",) == wheels.links(lockfile(names))


@pytest.mark.parametrize("names", [["b-1.tar.gz"], ["b-1-cp26-cp26m-win32.whl"], []])
def test_there_are_none_where_one_has_none(names: List[str]) -> None:
    assert () == wheels.links(lockfile([f"a-1-{LEAST}.whl"], names))
