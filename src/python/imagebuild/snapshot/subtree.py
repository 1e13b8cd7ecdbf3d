"""Where one directory of a merged view comes from."""

from __future__ import annotations

import os
import stat
from typing import List, Sequence, Tuple

from imagebuild.snapshot.copying import is_opaque


def directories_at(lower: Sequence[str], path: bytes) -> Tuple[str, ...]:
    """The directories of `lower` (layers in overlayfs format, lowest first) that `path` of the merged view is merged from,
    lowest first; () where the view has no directory there.

    :param path: relative, without links.
    """
    found = [os.fsencode(layer) for layer in reversed(lower)]
    for name in path.split(b"/"):
        if name not in (b"", b"."):
            found = _step(found, name)
    return tuple(os.fsdecode(directory) for directory in reversed(found))


def _step(directories: Sequence[bytes], name: bytes) -> List[bytes]:
    """The directories `name` in `directories`, topmost first, down to the first that hides those below."""
    found: List[bytes] = []
    for directory in directories:
        path = os.path.join(directory, name)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):  # a whiteout, or something else
            break
        found.append(path)
        if is_opaque(path):
            break
    return found
