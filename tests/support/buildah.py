"""What `buildah bud` makes of the same Dockerfile, with a storage of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, Tuple

from support.builds import Files, run, tree_of, write_files


def buildah_tree(base: str, dockerfile: str, files: Files) -> Dict[str, Tuple[Any, ...]]:
    """The tree of the image, as `tree_of` gives it; ``BASE`` stands for the image `base`, which is fetched over http."""
    directory = Path(tempfile.mkdtemp(prefix="buildah."))
    storage = ("--root", f"{directory}/root", "--runroot", f"{directory}/run")
    buildah = ("buildah", *storage, "--storage-driver", "vfs")
    try:
        (directory / "context").mkdir()
        write_files(
            directory / "context", {**files, "Dockerfile": dockerfile.replace("BASE", base)}
        )
        options = ("--isolation", "chroot", "--layers=false", "--tls-verify=false", "--quiet")
        run(*buildah, "bud", *options, "--tag", "judged", f"{directory}/context")
        container = run(*buildah, "from", "judged").split()[-1]
        found = tree_of(Path(run(*buildah, "mount", container).split()[-1]))
        run(*buildah, "umount", container)
        return found
    finally:
        shutil.rmtree(directory, ignore_errors=True)
