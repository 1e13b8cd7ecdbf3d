"""ADD of a local archive: what a tar holds goes into the draft of a layer, as BuildKit unpacks it.

The destination is the root of the archive: its names stay below it, absolute links lead to places in it, and a relative link
that leaves it is an error when something is to be written through it. A directory that exists takes the archive's owner, mode
and attributes, and a link to a directory is followed; anything else is replaced, a directory with all that is in it. Owners
are the archive's unless --chown says otherwise. Directories that the archive implies belong to 0:0.

The archive is hostile. Contents pass through one file on disk, because a layer is written in another order; everything else
is bounded by the reader's limits and by the number of entries.
"""

from __future__ import annotations

import posixpath
from functools import partial
from typing import BinaryIO, Dict, Hashable, Optional

from imagebuild.errors import ContextError, IntegrityError, MalformedError, UnsafePathError
from imagebuild.execute.draft import Draft, OpenContent, Owner
from imagebuild.execute.sources import PushedBackFile
from imagebuild.execute.spool import Spool
from imagebuild.layer.compression import decompress
from imagebuild.layer.entry import (
    CHAR,
    DIR,
    FILE,
    HARDLINK,
    NANOSECONDS,
    ROOT,
    SYMLINK,
    Entry,
    altered,
    join,
    parent_of,
    reject_reserved,
    shown,
    whole_seconds,
)
from imagebuild.layer.pyc import HEAD_SIZE, retimed, source_path
from imagebuild.layer.reader import read_archive
from imagebuild.layer.resolve import resolve
from imagebuild.layer.streams import ByteSource

MAX_ENTRIES = 1_000_000
IMPLIED_OWNER: Owner = (0, 0)


def unpack(
    archive: BinaryIO, name: bytes, draft: Draft, dest: bytes, owner: Optional[Owner], spool: Spool
) -> None:
    """Unpack `archive`, compressed or not, into the directory `dest` of `draft`.

    :param name: what errors call it.
    :param dest: without links.
    :param owner: of everything, None for the archive's own.
    :raises IntegrityError: for an archive that is damaged, breaks a bound, or wants out of `dest`.
    :raises ContextError: for an entry under something that is no directory.
    """
    unpacking = _Unpacking(draft, dest, owner, spool)
    try:
        for number, (entry, content) in enumerate(read_archive(decompress(archive))):
            if number >= MAX_ENTRIES:
                raise MalformedError(f"it has more than {MAX_ENTRIES} entries")
            unpacking.add(entry, content)
    except (IntegrityError, ContextError) as error:
        message = error.message.replace("a layer entry", "an entry").replace("layer entry", "entry")
        raise type(error)(
            f"the archive {shown(name)} cannot be unpacked: {message}",
            expected=error.expected,
            hint="repair the archive, or COPY it and unpack it in a RUN",
        ) from None


class _Unpacking:
    def __init__(self, draft: Draft, dest: bytes, owner: Optional[Owner], spool: Spool) -> None:
        self.draft, self.dest, self.owner, self.spool = draft, dest, owner, spool
        self._times: Dict[bytes, int] = {}  # of Python sources, as the archive has them
        self._places: Dict[bytes, bytes] = {}  # where directories of the archive lie

    def add(self, entry: Entry, content: ByteSource) -> None:
        if entry.path == ROOT:
            return  # the destination is what it was, or what ADD made it
        reject_reserved(entry.path)
        if entry.kind == CHAR and entry.dev_major == entry.dev_minor == 0:
            raise MalformedError(
                f"{shown(entry.path)} is the device 0:0, which means deletion in a layer"
            )
        path = self._place(entry.path, follow=entry.kind == DIR)
        if path == self.dest:
            return
        if entry.kind == HARDLINK:
            self._link(entry, path)
            return
        made = altered(entry, path=path, mtime=self._clamped(entry.mtime))
        if self.owner:
            made = altered(made, uid=self.owner[0], gid=self.owner[1])
        if entry.kind == FILE:
            self._file(made, entry.mtime, content)
        else:
            self._replace(made, None, None)

    def _file(self, made: Entry, original: int, content: ByteSource) -> None:
        if made.path.endswith(b".py"):
            self._times[made.path] = original
        opened = partial(self._open, made.path, self.spool.add(content), made.size)
        self._replace(made, opened, opened)

    def _link(self, entry: Entry, path: bytes) -> None:
        """Another name of what an earlier entry made, with the metadata that it has."""
        target = self._place(entry.linkname, follow=False)
        made = self.draft.lookup(target)
        if made is None or made.kind == DIR or not self.draft.is_new(target):
            raise MalformedError(
                f"{shown(entry.path)} is a hard link to {shown(entry.linkname)}, which the archive does not hold "
                "before it"
            )
        if target != path:
            opened, inode = self.draft.content(target)
            self._replace(altered(made, path=path), opened, inode)

    def _replace(
        self, made: Entry, content: Optional[OpenContent], inode: Optional[Hashable]
    ) -> None:
        present = self.draft.lookup(made.path)
        if SYMLINK in (made.kind, present and present.kind) or (
            present is not None and present.kind == DIR != made.kind
        ):
            self._places.clear()
        self.draft.replace(made, content, IMPLIED_OWNER, inode)

    def _place(self, path: bytes, *, follow: bool) -> bytes:
        """Where `path` of the archive lies, its parents' links followed, and its own too if `follow`."""
        head = self._resolve(parent_of(path))
        place = join(head, path.rpartition(b"/")[2]) if path != ROOT else head
        if follow and self.draft.readlink(join(self.dest, place)) is not None:
            place = self._resolve(place)
        return self.dest if place == ROOT else join(self.dest, place)

    def _resolve(self, path: bytes) -> bytes:
        if path not in self._places:
            self._places[path] = resolve(path, self._readlink)
        return self._places[path]

    def _readlink(self, path: bytes) -> Optional[bytes]:
        """:raises UnsafePathError: for a link that leaves the destination."""
        target = self.draft.readlink(join(self.dest, path))
        if target is None or target.startswith(b"/"):
            return target
        if posixpath.normpath(posixpath.join(parent_of(path), target)).split(b"/")[0] == b"..":
            raise UnsafePathError(
                f"{shown(path)} is a link to {shown(target)}, which leaves the directory that is unpacked into"
            )
        return target

    def _clamped(self, mtime: int) -> int:
        return max(0, min(whole_seconds(mtime), self.draft.mtime))

    def _open(self, path: bytes, offset: int, size: int) -> BinaryIO:
        """The bytes of a file; compiled Python is told of its source's new time."""
        content = self.spool.open(offset, size)
        python = source_path(path)
        original = self._times.get(python) if python else None
        if original is None:
            return content
        seconds = self._clamped(original) // NANOSECONDS
        return PushedBackFile(retimed(content.read(HEAD_SIZE), original, seconds), content)
