"""Files for bind mounts and for what a cache begins with: out of the context in the sandbox, or out of a tree.

A file of the context looks in a RUN as a COPY of it would: root's, 0644 or 0755, and dated as the build's new files are;
what a RUN makes of it is then the same on every machine. Pants lays large files out as hard links into its own store:
those are never touched, and get their metadata in an overlay.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import AbstractSet, Iterator, Optional, Sequence, Tuple

from imagebuild.errors import SourceNotInContextError, StepError
from imagebuild.execute.trees import to_bytes, to_text, tree_of
from imagebuild.oci.hash import Hash
from imagebuild.runtime.inroot import resolve
from imagebuild.snapshot.copying import copy_merged
from imagebuild.snapshot.subtree import directories_at
from imagebuild.store.store import Store

_EXECUTABLE, _PLAIN = 0o755, 0o644
_FOUND = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """A file or directory of the context.

    :param fd: O_PATH; the caller closes it.
    :param path: relative to the context's root, without links.
    :param linked: files in it (or itself) that are hard links to something else, relative to the context's root, with the
        mode that each is to have.
    """

    fd: int
    path: str
    linked: Tuple[Tuple[bytes, int], ...]


class ContextFiles:
    """The context files that a step selects, in a sandbox that nobody else uses.

    :param mtime: nanoseconds, None to leave times as they are.
    :param plain: files that are not executable, whatever their mode says.
    """

    def __init__(self, root: str, mtime: Optional[int], plain: Sequence[str] = ()) -> None:
        os.makedirs(root, exist_ok=True)  # a context of no files has no directory either
        self.root, self.mtime = os.path.realpath(root), mtime
        self._plain = frozenset(map(to_bytes, plain))

    def find(self, source: str) -> Found:
        """What `source` leads to, links followed inside the context.

        :raises SourceNotInContextError: for nothing, and for what is neither a file nor a directory.
        """
        root = os.open(self.root, _FOUND | os.O_DIRECTORY)
        try:
            where = resolve(root, source)
        except OSError as error:
            raise _not_there(source, "the build context") from error
        finally:
            os.close(root)
        mode = os.fstat(where.fd).st_mode
        if where.missing or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            os.close(where.fd)
            raise _not_there(source, "the build context")
        path = "/".join(where.found)
        return Found(
            where.fd,
            path,
            tuple(settle(os.fsencode(self.root), to_bytes(path), self.mtime, self._plain)),
        )


def settle(
    root: bytes, path: bytes, mtime: Optional[int], plain: AbstractSet[bytes] = frozenset()
) -> Iterator[Tuple[bytes, int]]:
    """Give what is at `path` below `root` the metadata of context files.

    :param plain: paths below `root` that are not executable.
    :returns: the regular files that have other names elsewhere, left as they are, with the mode that they should have.
    """
    for relative in _below(root, path):
        full = os.path.join(root, relative)
        status = os.lstat(full)
        if stat.S_ISREG(status.st_mode):
            executable = status.st_mode & stat.S_IXUSR and relative not in plain
            mode = _EXECUTABLE if executable else _PLAIN
            if status.st_nlink > 1:
                yield relative, mode
                continue
            os.chmod(full, mode)
        elif stat.S_ISDIR(status.st_mode):
            os.chmod(full, _EXECUTABLE)
        os.chown(full, 0, 0, follow_symlinks=False)
        if mtime is not None:
            os.utime(full, ns=(mtime, mtime), follow_symlinks=False)


def _below(root: bytes, path: bytes) -> Iterator[bytes]:
    """`path` and all paths below it, relative to `root`; a directory comes after what is in it."""
    full = os.path.join(root, path)
    for directory, names, files in os.walk(full, topdown=False):
        linked = [name for name in names if os.path.islink(os.path.join(directory, name))]
        for name in (*files, *linked):
            yield os.path.relpath(os.path.join(directory, name), root)
        yield os.path.relpath(directory, root)
    if not os.path.isdir(full):
        yield path


def fill_from_context(files: ContextFiles, source: str, directory: str) -> None:
    """Copy a directory of the context into the empty directory `directory`.

    :raises SourceNotInContextError: where there is nothing of that name.
    :raises StepError: for a file.
    """
    import shutil

    found = files.find(source)
    os.close(found.fd)
    origin = os.path.join(files.root, found.path)
    if not os.path.isdir(origin):
        raise _no_directory(source)
    shutil.copytree(origin, directory, symlinks=True, dirs_exist_ok=True)
    linked = list(settle(os.fsencode(directory), b"", files.mtime))
    assert not linked, "a copy has one name"
    for name, mode in found.linked:
        os.chmod(
            os.path.join(directory, os.path.relpath(os.fsdecode(name), found.path or ".")), mode
        )


def fill_from_tree(store: Store, diff_ids: Sequence[Hash], source: str, directory: str) -> None:
    """As `fill_from_context`, from a stage or image; owners, modes and times come along."""
    lower = store.extracted(diff_ids)
    directories = directories_at(lower, to_bytes(resolved(store, diff_ids, source)))
    if not directories:
        raise _no_directory(source)
    copy_merged(directories, directory)


def resolved(store: Store, diff_ids: Sequence[Hash], source: str) -> str:
    """The path without links that `source` leads to in a tree whose layers are extracted.

    :raises SourceNotInContextError: where nothing is there.
    """
    tree = tree_of(store, diff_ids)
    assert tree is not None, "extracting a layer indexes it"
    path = tree.resolve(to_bytes(source.lstrip("/")))
    if tree.lookup(path) is None:
        raise _not_there(source, "the stage or image it is mounted from")
    return to_text(path)


def _not_there(source: str, where: str) -> SourceNotInContextError:
    return SourceNotInContextError(
        f'the source "{source}" of a mount is not in {where}',
        expected="a file or directory",
        hint="check its spelling, and that .dockerignore does not leave it out",
    )


def _no_directory(source: str) -> StepError:
    return StepError(
        f'a cache cannot begin with "{source}": it is a file',
        expected="a directory",
        hint="name the directory that it is in",
    )
