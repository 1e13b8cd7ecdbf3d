"""Extracted layers that nobody synced: after a power cut, files may have lost their ends.

To sync a layer would take as long as to write all of it to the disk. So each boot of the machine notes the trees that it
makes; a tree that another boot made is compared with its index once, before it counts. File systems keep the order of what
they do to names and put a size down when its bytes are there, so sizes tell.
"""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from typing import Callable, Dict, Optional

from imagebuild.layer.entry import OPAQUE, WHITEOUT, has_content
from imagebuild.layer.index import LayerIndex
from imagebuild.store.scratch import exclusive

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_LOCK = "lock"


@lru_cache(maxsize=None)
def boot_id() -> str:
    """What tells this boot of the machine from all others; "" where the kernel does not say."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


class Boots:
    """The directory `path`: one below it for each boot, with an empty file for each tree that it made."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._others: Optional[Dict[str, str]] = None

    def note(self, name: str) -> None:
        """A tree gets its place under this name. To be called before it does."""
        directory = os.path.join(self._path, boot_id())
        os.makedirs(directory, 0o700, exist_ok=True)
        os.close(os.open(os.path.join(directory, name), os.O_CREAT | os.O_WRONLY, 0o600))

    def is_whole(self, name: str, tree: str, index: Optional[LayerIndex]) -> bool:
        """Whether the tree under this name has all that its layer has."""
        mark = self._made_before().get(name)
        if mark is None:
            return True
        if index is None or not _has_all(tree, index):
            return False
        self._settle(name)
        return True

    def remove(self, name: str, remove: Callable[[str], None]) -> None:
        """Have the tree under this name removed, unless another process has, and has made it anew."""
        with exclusive(os.path.join(self._path, _LOCK)):
            if os.path.exists(self._made_before().get(name, "")):
                remove(name)
            self._settle(name)

    def _settle(self, name: str) -> None:
        """The tree was looked at, or is no more."""
        mark = self._made_before().pop(name, "")
        with contextlib.suppress(OSError):  # another process was faster, or there are more of them
            os.unlink(mark)
            os.rmdir(os.path.dirname(mark))

    def _made_before(self) -> Dict[str, str]:
        """The marks of other boots, by the names of the trees."""
        if self._others is None:
            boots = os.listdir(self._path) if os.path.isdir(self._path) else []
            directories = [
                os.path.join(self._path, boot) for boot in boots if boot not in (boot_id(), _LOCK)
            ]
            self._others = {
                name: os.path.join(directory, name)
                for directory in directories
                for name in os.listdir(directory)
            }
        return self._others


def _has_all(tree: str, index: LayerIndex) -> bool:
    for entry in index.scan():
        if entry.kind in (WHITEOUT, OPAQUE):
            continue
        try:
            status = os.lstat(os.path.join(os.fsencode(tree), entry.path))
        except OSError:
            return False
        if has_content(entry) and status.st_size != entry.size:
            return False
    return True
