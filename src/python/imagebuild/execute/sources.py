"""Where COPY reads from: the context in a step's sandbox, or the tree of another stage or image.

Both speak of paths inside their own root; a context's path that leaves its root is refused, a tree's is resolved in it.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import AbstractSet, BinaryIO, Iterator, Optional, Protocol, Sequence, Tuple

from imagebuild.dockerfile.patterns import glob
from imagebuild.errors import MalformedError, OutsideContextError, SourceNotInContextError
from imagebuild.execute.selection import NO_LAYER, Files, Found
from imagebuild.execute.trees import to_bytes, to_text
from imagebuild.layer.entry import DIR, ROOT, SYMLINK, Entry, has_content, join, plain_file, shown
from imagebuild.layer.lower import open_in_lower
from imagebuild.layer.tree import TreeView
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store

EXECUTABLE_MODE, PLAIN_MODE, LINK_MODE = 0o755, 0o644, 0o777


class Source(Files, Protocol):
    """Files with their bytes."""

    def open(self, path: bytes) -> BinaryIO:
        """The bytes of a regular file."""


class ContextSource:
    """Files that Pants laid out. A digest knows no owners and one x bit: 0:0, and 0755 or 0644 (as git has it)."""

    def __init__(self, root: str, plain: AbstractSet[bytes] = frozenset()) -> None:
        """:param plain: files that are not executable, whatever their mode says (see `StepRequest`)."""
        self._root, self._plain = os.fsencode(os.path.realpath(root)), plain

    def matches(self, pattern: str) -> Tuple[str, ...]:
        def list_dir(path: str) -> Sequence[str]:
            return [to_text(name) for name in self.children(to_bytes(path))]

        return tuple(sorted(glob(pattern.lstrip("/") or ".", list_dir)))

    def follow(self, path: bytes) -> bytes:
        real = os.path.realpath(os.path.join(self._root, path))
        if real != self._root and not real.startswith(self._root + b"/"):
            raise OutsideContextError(
                f'"{to_text(path)}" is a link that leaves the build context',
                hint="copy the file that it points to into the context",
            )
        return os.path.relpath(real, self._root)

    def find(self, path: bytes) -> Found:
        return self._entry(path), NO_LAYER

    def _entry(self, path: bytes) -> Entry:
        status = self._status(path)
        if stat.S_ISLNK(status.st_mode):
            return Entry(path, SYMLINK, LINK_MODE, linkname=os.readlink(self._at(path)))
        if stat.S_ISDIR(status.st_mode):
            return Entry(path, DIR, EXECUTABLE_MODE)
        executable = status.st_mode & stat.S_IXUSR and path not in self._plain
        mode = EXECUTABLE_MODE if executable else PLAIN_MODE
        return plain_file(path, mode, 0, 0, status.st_size, 0)

    def children(self, path: bytes) -> Sequence[bytes]:
        try:
            return sorted(os.listdir(self._at(path)))
        except OSError as error:
            if error.errno in (
                errno.ENOENT,
                errno.ENOTDIR,
                errno.ELOOP,
            ):  # links may go in a circle
                return ()
            raise

    def walk(self, path: bytes) -> Iterator[Tuple[bytes, Found]]:
        todo = [(b"", name) for name in reversed(self.children(path))]
        while todo:
            above, name = todo.pop()
            relative = above + name
            place = join(path, relative)
            found = self.find(place)
            yield relative, found
            if found[0].kind == DIR:
                todo.extend((relative + b"/", child) for child in reversed(self.children(place)))

    def open(self, path: bytes) -> BinaryIO:
        return open(self._at(path), "rb", buffering=0)  # noqa: SIM115

    def mtime(self, path: bytes) -> Optional[int]:
        return None

    def _at(self, path: bytes) -> bytes:
        return self._root if path in (b"", ROOT) else os.path.join(self._root, path)

    def _status(self, path: bytes) -> os.stat_result:
        try:
            return os.lstat(self._at(path))
        except (FileNotFoundError, NotADirectoryError):
            raise SourceNotInContextError(
                f'"{to_text(path)}" is not in the build context'
            ) from None


class TreeFiles:
    """The tree of a stage or an image, as the layers' indexes tell it; no layer has to be here."""

    def __init__(self, tree: TreeView) -> None:
        self.tree = tree

    def matches(self, pattern: str) -> Tuple[str, ...]:
        """A leading slash means nothing, and links on the way are followed."""

        def list_dir(path: str) -> Sequence[str]:
            return [to_text(name) for name in self.children(self.tree.resolve(to_bytes(path)))]

        return tuple(sorted(glob(pattern.lstrip("/") or ".", list_dir)))

    def follow(self, path: bytes) -> bytes:
        return self.tree.resolve(path)

    def find(self, path: bytes) -> Found:
        found = self.tree.find(path)
        if found is None:
            raise SourceNotInContextError(f'"{to_text(path)}" is not in the tree it is copied from')
        return found

    def children(self, path: bytes) -> Sequence[bytes]:
        return self.tree.children(path)

    def walk(self, path: bytes) -> Iterator[Tuple[bytes, Found]]:
        above = 0 if path == ROOT else len(path) + 1
        for found in self.tree.walk(path):
            if found[0].path != path:
                yield found[0].path[above:], found

    def mtime(self, path: bytes) -> Optional[int]:
        found = self.tree.lookup(path)
        return found.mtime if found and has_content(found) else None


class TreeSource(TreeFiles):
    """Such a tree with its bytes, from the extracted layers."""

    def __init__(self, store: Store, diff_ids: Sequence[Hash], tree: TreeView) -> None:
        super().__init__(tree)
        self._store, self._diff_ids = store, tuple(diff_ids)
        self._lower: Optional[Tuple[str, ...]] = None

    def open(self, path: bytes) -> BinaryIO:
        if self._lower is None:
            self._lower = tuple(reversed(self._store.extracted(self._diff_ids)))
        fd = open_in_lower(self._lower, path)
        if fd is None:
            raise MalformedError(
                f"{shown(path)} is in the index of a layer and not in the layer",
                hint="the cache or the store is damaged: build with an empty store",
            )
        return os.fdopen(fd, "rb", buffering=0)


class PushedBackFile(io.RawIOBase, BinaryIO):
    """A file whose first bytes have been read, and perhaps changed."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        if not self._head or size < 0:
            head, self._head = self._head, b""
            return head + self._rest.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data

    def close(self) -> None:
        self._rest.close()
        super().close()
