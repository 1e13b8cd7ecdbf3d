"""A base image with the machine's own distribution, made by debootstrap from the machine's own mirror."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Tuple

from support.base_image import image_of, push


def debian_image(directory: Path, reference: str) -> str:
    """Make a minimal Debian below `directory` and push it as `reference`; its digest.

    The image gets the machine's apt configuration, so that ``apt-get`` in it reaches what the machine reaches.
    """
    root = directory / "debian"
    site, suite = _mirror()
    debootstrap = ("debootstrap", "--variant=minbase", "--include=ca-certificates")
    # It mounts /proc, which tests that run beside this one and hold that no mount stays must not see.
    _run(*debootstrap, suite, str(root), site, prefix=("unshare", "--mount"))
    for name in ("apt.conf.d", "sources.list", "sources.list.d", "trusted.gpg.d"):
        source, target = Path("/etc/apt") / name, root / "etc/apt" / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, target)
    for lists in (root / "var/lib/apt/lists", root / "var/cache/apt"):
        shutil.rmtree(lists, ignore_errors=True)
    tar = _run("tar", "--create", "--numeric-owner", "--directory", str(root), ".")
    return push(image_of([tar], {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}), reference)


def _mirror() -> Tuple[str, str]:
    """Address and codename of the first archive that the machine's apt knows."""
    targets = (
        _run("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)").decode().split("\n")
    )
    site, _, suite = targets[0].partition(" ")
    assert site.startswith("http"), "these tests need an apt source, and `apt-get update` done once"
    return site, suite


def _run(*command: str, prefix: Tuple[str, ...] = ()) -> bytes:
    assert shutil.which(command[0]), f"these tests need the program {command[0]}"
    return subprocess.run((*prefix, *command), stdout=subprocess.PIPE, check=True).stdout
