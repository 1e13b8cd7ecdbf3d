"""A directory of this machine as a build context: what it holds, and the part of it that one step gets."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Iterator, Sequence

from imagebuild.llb.plan import ContextEntry
from imagebuild.oci.hash import Hash


def list_context(root: str) -> Iterator[ContextEntry]:
    """A directory as a context: paths, contents and x bits."""
    for directory, names, files in os.walk(root):
        for name in names + files:
            full = os.path.join(directory, name)
            path, status = os.path.relpath(full, root), os.lstat(full)
            if stat.S_ISLNK(status.st_mode):
                yield ContextEntry(path, "symlink", target=os.readlink(full))
            elif stat.S_ISDIR(status.st_mode):
                yield ContextEntry(path, "dir")
            elif stat.S_ISREG(status.st_mode):
                with open(full, "rb") as file:
                    digest = Hash.of(file.read())
                executable = bool(status.st_mode & stat.S_IXUSR)
                yield ContextEntry(path, "file", digest, status.st_size, executable)


def lay_out(context: str, paths: Sequence[str], sandbox: str) -> None:
    """Give a step the context files that it selects and no others."""
    for path in paths:
        source, target = os.path.join(context, path), os.path.join(sandbox, path)
        if os.path.isdir(source) and not os.path.islink(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
