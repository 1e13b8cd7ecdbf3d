"""A real distribution as base, and a package installed in it: once, and then from the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.builds import Machine
from support.debian import debian_image
from support.registry import RealRegistry

INSTALL = """FROM BASE
RUN apt-get update && apt-get install --yes --no-install-recommends hello && rm -rf /var/lib/apt/lists/*
COPY greet /usr/local/bin/
RUN hello > /greeting && useradd --create-home someone
USER someone
RUN id -un > ~/me
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, registry: RealRegistry) -> str:
    reference = f"{registry.address}/base/debian:1"
    debian_image(tmp_path_factory.mktemp("debian"), reference)
    return reference


def test_an_installed_package_comes_from_the_cache_on_a_fresh_machine(
    here: Machine, base: str
) -> None:
    here = replace(here, base=base)
    first = here.build(INSTALL, {"greet*": "#!/bin/sh\nexec hello\n"})

    elsewhere = here.fresh("elsewhere")
    again = elsewhere.build(INSTALL, {"greet*": "#!/bin/sh\nexec hello\n"})

    assert {"built"} == set(first.origins)
    assert {"registry"} == set(again.origins)
    assert first.image.digest == again.image.digest
    root: Path = elsewhere.unpack(again)
    assert "Hello, world!\n" == (root / "greeting").read_text()
    assert "someone\n" == (root / "home/someone/me").read_text()
    assert (root / "usr/bin/hello").exists()
