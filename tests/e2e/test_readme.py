"""What the README says, done: its files in a repository of their own, its commands with the wheel, its output."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Iterator, List

import pytest

from support.base_image import busybox, busybox_layer, image_of, push
from support.documents import README, block_of, blocks, commands
from support.registry import RealRegistry, running_registry
from support.repository import Repository

REGISTRY = "registry.example.com"
FILES = ("hello/BUILD", "hello/Dockerfile", "hello/hello.sh")
# Where this machine finds what the README takes from the internet: the wheel, and Docker Hub.
HERE = """
[kaniko.registries.hub]
address = "docker.io"
mirrors = ["{registry}"]

[python-repos]
find_links = ["file://{wheels}"]

[anonymous-telemetry]
enabled = false
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    with running_registry(tmp_path / "registry") as running:
        push(image_of([busybox_layer(busybox())]), f"{running.address}/library/busybox:1.36")
        yield running


@pytest.fixture
def repository(tmp_path: Path, registry: RealRegistry) -> Repository:
    (wheel,) = Path.cwd().glob("pants_kaniko-*.whl")
    # Both or neither: results that Pants remembers name layers that only the store of the same machine has.
    caches = {
        "PANTS_NAMED_CACHES_DIR": str(tmp_path / "caches"),
        "PANTS_LOCAL_STORE_DIR": str(tmp_path / "store"),
    }
    made = Repository(tmp_path / "repository", caches)
    here = HERE.format(registry=registry.address, wheels=wheel.resolve().parent)
    made.write(
        "pants.toml", block_of(README, "pants.toml").replace(REGISTRY, registry.address) + here
    )
    for name in FILES:
        made.write(name, block_of(README, name))
    return made


def shown(command: str) -> List[str]:
    """The output that the README shows below a command."""
    (text,) = (block.text for block in blocks(README) if f"$ {command}\n" in block.text)
    after = text.partition(f"$ {command}\n")[2]
    return after.partition("\n$ ")[0].splitlines()


def pattern_of(line: str, registry: RealRegistry) -> str:
    """A line of the README as a pattern: dots stand for the rest of a digest, and seconds differ."""
    quoted = re.escape(line.strip().replace(REGISTRY, registry.address))
    quoted = quoted.replace("sha256:…", "sha256:[0-9a-f]{64}")
    return re.sub(r"[0-9]+\\\.[0-9]s$", r"[0-9]+\\.[0-9]s", quoted)


def test_the_readme_does_what_it_says(repository: Repository, registry: RealRegistry) -> None:
    for command in commands(README):
        if not command.startswith("pants "):
            continue
        done = repository.run(*shlex.split(command)[1:])
        output = done.stdout + done.stderr
        expected = shown(command)

        assert expected
        for line in expected:
            assert re.search(pattern_of(line, registry), output), f"{command}: {line}\n{output}"
