"""RUN --mount under the engine: sandboxes as Pants lays them out, stages through the engine, caches on this machine."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Dict

import pytest

from support.backend import Backend
from support.base_image import busybox, busybox_layer, image_of, push
from support.registry import RealRegistry

LARGE = "x" * (1 << 20)
"""Pants lays files of 512 KiB and more out as hard links into its store."""
BUILD = """\
files(name="files", sources=["src/**"])
kaniko_image(name="image", dependencies=[":files"], network="none")
"""


@pytest.fixture
def image(backend: Backend, registry: RealRegistry) -> Backend:
    push(image_of([busybox_layer(busybox())]), f"{registry.address}/base/busybox:1")
    backend.write({"app/BUILD": BUILD, "app/src/large": LARGE, "app/src/small": "s\n"})
    return backend


def written(image: Backend, registry: RealRegistry, lines: str) -> Dict[str, str]:
    """The regular files that the image's own layers hold, by path."""
    dockerfile = f"FROM BASE AS base\n{lines}".replace("BASE", f"{registry.address}/base/busybox:1")
    image.write({"app/Dockerfile": dockerfile})
    image.set_options(
        f"--kaniko-registries={{'r': {{'address': '{registry.address}', 'insecure': True}}}}"
    )
    files = image.files(image.package("app:image"))
    found: Dict[str, str] = {}
    for data in files.values():
        if data[:2] != b"\x1f\x8b":
            continue
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as layer:
            for item in layer:
                content = layer.extractfile(item) if item.isreg() and item.size < 10_000 else None
                found.update({item.name: content.read().decode()} if content else {})
    return found


def test_a_copy_of_a_large_file_is_executable_only_where_the_file_is(
    image: Backend, registry: RealRegistry
) -> None:
    """Pants' store has all files executable, and lends large ones as they are."""
    program = Path(image.runner.build_root, "app/src/program")
    program.write_text("#!" + LARGE)
    program.chmod(0o755)

    found = written(image, registry, "COPY app/src /c\nRUN stat -c '%a %n' /c/* > /modes\n")

    assert "644 /c/large\n755 /c/program\n644 /c/small\n" == found["modes"]


def stored(image: Backend) -> Dict[str, int]:
    """Files of Pants' store that hold large contents whole: what they hold is their name."""
    return {
        str(path): path.stat().st_mode
        for path in Path(image.store).rglob("*")
        if path.is_file() and path.stat().st_size == len(LARGE)
    }


def test_files_look_the_same_whatever_their_size_and_cannot_be_harmed(
    image: Backend, registry: RealRegistry
) -> None:
    show = "stat -c '%a %u %Y %n' * > /modes"
    harm = "echo y >> large; chmod 777 large small; rm large; echo y > large"
    lines = (
        f"RUN --mount=source=app/src,target=/s cd /s && {show} && ! echo x > large && ! chmod 1 large\n"
        f"RUN --mount=source=app/src,target=/s,rw cd /s && {harm} && cat large > /after\n"
        f"RUN --mount=source=app/src,target=/s wc -c < /s/large > /last\n"
    )

    found = written(image, registry, lines)

    assert "644 0 315532800 large\n644 0 315532800 small\n" == found["modes"]
    assert ("y\n", f"{len(LARGE)}\n") == (found["after"], found["last"])
    assert stored(image), "it is such a file"
    assert {LARGE} == {Path(path).read_text() for path in stored(image)}
    assert LARGE == Path(image.runner.build_root, "app/src/large").read_text()


def test_stages_and_caches(image: Backend, registry: RealRegistry) -> None:
    lines = (
        "RUN mkdir /o && echo made > /o/f\n"
        "FROM base\n"
        "RUN --mount=from=0,source=/o,target=/m --mount=type=cache,target=/c cat /m/f > /got && echo kept > /c/k\n"
        "RUN --mount=type=cache,target=/c <<EOF\n#!/bin/sh\ncat /c/k > /kept\nEOF\n"
    )

    found = written(image, registry, lines)

    assert ("made\n", "kept\n") == (found["got"], found["kept"])
    assert (image.caches / "kaniko_store/caches").is_dir()
