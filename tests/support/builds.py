"""Whole builds without Pants, against a real registry: a Dockerfile and its context in, an image and its tree out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from imagebuild.execute.build import Built, build, export_layout
from imagebuild.execute.build_plan import BuildOptions
from imagebuild.execute.effects import Effects
from imagebuild.execute.requests import CacheOptions
from imagebuild.oci.descriptor import Platform
from imagebuild.store.store import Store
from support.base_image import MACHINES, busybox, busybox_layer, image_of, push
from support.registry import RealRegistry

HERE = Platform("linux", MACHINES[platform.machine()])

Files = Mapping[str, Union[str, bytes, None]]


@dataclass(frozen=True)
class Machine:
    """A machine that builds: its own store, and a registry that it shares with others.

    :param base: reference of a busybox image in the registry.
    """

    directory: Path
    registry: RealRegistry
    base: str
    cache: str

    @property
    def store(self) -> Store:
        return Store(str(self.directory / "store"))

    def fresh(self, name: str) -> Machine:
        """Another machine, with nothing on it, at the same registry."""
        directory = self.directory.parent / name
        directory.mkdir()
        return dataclasses.replace(self, directory=directory)

    def build(self, dockerfile: str, files: Optional[Files] = None, **options: Any) -> Built:
        """Build `dockerfile`, in which ``BASE`` stands for the base image.

        :param files: the context: text or bytes by path, None for a directory; "->target" is a link, a path that ends
            in "*" an executable.
        """
        context = self.directory / "context"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir()
        write_files(context, {**(files or {}), "Dockerfile": dockerfile.replace("BASE", self.base)})
        options.setdefault("cache", CacheOptions(self.cache))
        return build(
            str(context), "Dockerfile", BuildOptions(HERE, **options), Effects(self.store, {})
        )

    def layout(self, built: Built, name: str = "image") -> Path:
        """The image as an OCI layout."""
        directory = self.directory / f"{name}.oci"
        shutil.rmtree(directory, ignore_errors=True)
        export_layout(built, str(directory), Effects(self.store, {}), ["test:1"])
        return directory

    def unpack(self, built: Built, name: str = "image") -> Path:
        """The image's tree, unpacked by umoci."""
        bundle = self.directory / f"{name}.bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        run("umoci", "unpack", "--image", f"{self.layout(built, name)}:test:1", str(bundle))
        return bundle / "rootfs"

    def forget(self) -> None:
        """Wipe everything that is cached on this machine."""
        shutil.rmtree(self.directory / "store")


def machine(directory: Path, registry: RealRegistry) -> Machine:
    """A machine, and a base image and an empty cache for it in the registry."""
    directory.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    base = f"{registry.address}/base/busybox:1"
    push(image_of([busybox_layer(busybox())]), base)
    return Machine(directory, registry, base, f"{registry.address}/cache/{name}")


def write_files(directory: Path, files: Files) -> None:
    for name, content in files.items():
        path = directory / name.rstrip("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str) and content.startswith("->"):
            path.symlink_to(content[2:])
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            path.chmod(0o755 if name.endswith("*") else 0o644)


def run(*command: str, **options: Any) -> str:
    """Run a program that the tests need; its output."""
    assert shutil.which(command[0]), f"these tests need the program {command[0]}"
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout.decode()}"
    output: str = done.stdout.decode()
    return output


def skopeo_inspect(reference: str) -> Dict[str, Any]:
    document: Dict[str, Any] = json.loads(run("skopeo", "inspect", "--tls-verify=false", reference))
    return document


def tree_of(root: Path) -> Dict[str, Tuple[Any, ...]]:
    """Everything under `root`: type and mode, owner, and content or link target, by path."""
    found: Dict[str, Tuple[Any, ...]] = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = Path(directory, name)
            status = path.lstat()
            content: Any = None
            if path.is_symlink():
                content = os.readlink(path)
            elif path.is_file():
                content = path.read_bytes()
            owner = (status.st_uid, status.st_gid)
            found[str(path.relative_to(root))] = (oct(status.st_mode), owner, content)
    return found
