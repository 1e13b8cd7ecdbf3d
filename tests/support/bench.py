"""One machine for many builds, to look at what a RUN does to files: it keeps what it has extracted, so a build is quick."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator

from imagebuild.execute.build import Built
from imagebuild.execute.requests import CacheOptions
from imagebuild.layer.removal import remove_path
from support.base_image import busybox, busybox_layer, image_of, push
from support.builds import Machine, machine
from support.flatten import Tree, flatten, layer_tars
from support.programs import MKSOCKET, SETXATTR
from support.registry import RealRegistry

RUNTIMES = ["namespace", "chroot"]
TOOLS = {"bin/setxattr": SETXATTR, "bin/mksocket": MKSOCKET}


@contextmanager
def running_bench(directory: Path, registry: RealRegistry) -> Iterator[Machine]:
    """The machine; its base has `TOOLS` beside busybox."""
    there = with_base(machine(directory / "here", registry), "tools", files_tar(TOOLS))
    try:
        yield there
    finally:
        remove_path(str(there.directory))  # its trees are deeper than pytest could


def with_base(bench: Machine, name: str, *layers: bytes) -> Machine:
    """The machine with another base image: busybox, and `layers` (uncompressed tars) on it."""
    base = f"{bench.registry.address}/base/{name}:1"
    push(image_of([busybox_layer(busybox()), *layers]), base)
    return dataclasses.replace(bench, base=base)


def files_tar(files: Dict[str, bytes]) -> bytes:
    """A layer of executable files, with no entries for their directories."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def build_runs(bench: Machine, *scripts: str, **options: Any) -> Built:
    """Each script is a RUN; it runs even where its layer is known, if `options` do not say otherwise."""
    runs = "".join(f"RUN {json.dumps(['sh', '-ec', script])}\n" for script in scripts)
    options = {"runtime": "namespace", "use_cache": False, "cache": CacheOptions(), **options}
    return bench.build(f"FROM BASE\n{runs}", **options)


def image_tree(bench: Machine, built: Built) -> Tree:
    """The image's files, read by `support.flatten`."""
    return flatten(layer_tars(bench.layout(built)))
