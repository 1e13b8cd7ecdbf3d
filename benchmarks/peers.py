"""The builders that this one is compared with: buildah, and of docker, BuildKit and kaniko those that are on PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import List

from daemons import BuildKit, Docker
from machines import set_aside
from peer import Command, Peer, flag, private

from support.registry import RealRegistry


class Buildah(Peer):
    """`buildah bud --layers`; its cache in the registry is that of `--cache-to`."""

    name = "buildah"
    programs = ("buildah",)

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        storage = self.directory / machine
        options = ["--layers", "--isolation=chroot", "--network=host", "--tls-verify=false"]
        options += ["--format=oci", "--jobs=4", "--tag", f"{project.name}:image"]
        if cached:
            cache = f"{self.registry.address}/buildah/cache"
            options += ["--cache-from", cache, "--cache-to", cache]
        command = ["unshare", "--mount", "buildah", "--storage-driver=overlay"]
        command += ["--root", str(storage / "root"), "--runroot", str(storage / "run")]
        return [[*command, "bud", *options, str(project)]]


class Kaniko(Peer):
    """kaniko's executor. It has no store: a machine that has built before knows no more than a fresh one. And it unpacks
    images over the root directory: it gets one that is thrown away.
    """

    name = "kaniko"
    programs = ("executor",)

    @classmethod
    def is_here(cls) -> bool:
        if not super().is_here():
            return False
        said = subprocess.run(["executor", "version"], capture_output=True, check=False).stdout
        return b"kaniko" in said.lower()

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        root = self.directory / machine / "root"
        set_aside(root)
        for name in ("dev", "etc", "kaniko", "proc", "tmp", "workspace"):
            (root / name).mkdir(parents=True)
        shutil.copy(str(shutil.which("executor")), root / "kaniko" / "executor")
        shutil.copytree(project, root / "workspace", dirs_exist_ok=True)
        options = ["--context=dir:///workspace", "--dockerfile=/workspace/Dockerfile", "--force"]
        options += ["--insecure", "--insecure-pull", "--no-push", f"--cache={flag(cached)}"]
        options += [f"--cache-repo={self.registry.address}/kaniko/cache", "--cache-copy-layers"]
        mounts = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev"'
        inside = ["sh", "-c", f'{mounts} && exec chroot "$0" "$@"', str(root), "/kaniko/executor"]
        return [private(self.directory / machine, [*inside, *options])]


def peers(directory: Path, registry: RealRegistry) -> List[Peer]:
    """Buildah, which is always among them, and the others that are on PATH."""
    others = [kind for kind in (Docker, BuildKit, Kaniko) if kind.is_here()]
    return [kind(directory, registry) for kind in (Buildah, *others)]
