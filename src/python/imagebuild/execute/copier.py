"""One COPY or ADD: its sources into the draft of a layer.

Where the Dockerfile reference leaves room, BuildKit's behaviour holds: a source that is a link is followed, a directory's
contents are copied rather than the directory, what is copied from a context belongs to 0:0, what is copied from a tree
keeps its owner, and directories that have to be made belong to the ``--chown`` user and have mode 0755. Where BuildKit gives
up, on a directory that meets a link to a directory, the link is followed.
"""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from typing import BinaryIO, Dict, Hashable, Optional

from imagebuild.execute.draft import DIR_MODE, Draft, Owner
from imagebuild.execute.selection import NO_LAYER, Found, Selected, selection
from imagebuild.execute.sources import PLAIN_MODE, PushedBackFile, Source
from imagebuild.execute.spool import Spool
from imagebuild.execute.trees import to_bytes
from imagebuild.execute.unpack import unpack
from imagebuild.layer.archive import is_archive
from imagebuild.layer.entry import (
    DIR,
    FILE,
    HARDLINK,
    NANOSECONDS,
    SYMLINK,
    Entry,
    altered,
    has_content,
    join,
)
from imagebuild.layer.pyc import HEAD_SIZE, retimed, source_path
from imagebuild.llb.ops import CopyAction, InlineFile
from imagebuild.symbolic_mode import apply_symbolic_mode

ROOT_OWNER: Owner = (0, 0)


class Copier:
    """One action with its owner settled. Names of one file stay one file where one source has them, as in BuildKit.

    :param owner: of --chown, None where it is not given.
    :param spool: where archives are unpacked to.
    """

    def __init__(
        self, draft: Draft, action: CopyAction, owner: Optional[Owner], spool: Spool
    ) -> None:
        self.draft, self.action, self.owner, self.spool = draft, action, owner, spool
        self.made_owner: Owner = owner or ROOT_OWNER
        self.dest = to_bytes(action.dest)
        self._names: object = None

    def copy(self, source: Source) -> None:
        """:raises ContextError: for sources that are not there, and places that cannot be written."""
        for pattern in self.action.sources:
            self._names = object()
            for selected in selection(source, replace(self.action, sources=(pattern,))):
                self._copy(source, selected)

    def _copy(self, source: Source, selected: Selected) -> None:
        if selected.is_dir:
            self._directory(source, selected)
        elif self.action.unpack and self._is_archive(source, selected):
            self._unpack(source, selected)
        else:
            dest = self._file_place(selected.name)
            self._place(source, selected.real, selected.found, dest)

    def write(self, file: InlineFile) -> None:
        """A here-document: like a file of the context, mode 0644."""
        content = to_bytes(file.content)
        dest = self._file_place(to_bytes(file.name).rpartition(b"/")[2])
        uid, gid = self.made_owner
        entry = Entry(dest, FILE, PLAIN_MODE, uid, gid, size=len(content))
        entry = altered(entry, mode=self._mode(entry))
        self.draft.place(entry, partial(io.BytesIO, content), self.made_owner)

    def _file_place(self, name: bytes) -> bytes:
        dest = self.draft.resolve(self.dest)
        if not self.action.dest_is_dir and not self.draft.is_dir(dest):
            return dest
        self.draft.mkdir(dest, DIR_MODE, self.made_owner)
        return self.draft.resolve(join(dest, name))

    def _directory(self, source: Source, selected: Selected) -> None:
        """Merge a directory's contents into the destination; a link to a directory on the way is followed, not replaced."""
        dest = self.draft.resolve(self.dest)
        self.draft.mkdir(dest, DIR_MODE, self.made_owner)
        places: Dict[bytes, bytes] = {b"": dest}
        for item in selected.below:
            above, _, name = item.name.rpartition(b"/")
            target = join(places[above], name)
            if item.found[0].kind == DIR:
                linked = self.draft.resolve(target)
                target = linked if self.draft.is_dir(linked) else target
                places[item.name] = target
                if item.made and self.draft.is_dir(target):
                    continue
            self._place(source, join(selected.real, item.name), item.found, target)

    def _place(self, source: Source, real: bytes, found: Found, dest: bytes) -> None:
        entry, layer = found
        own = (entry.uid, entry.gid) if self.action.keep_owner else ROOT_OWNER
        uid, gid = self.owner or own
        made = altered(
            entry,
            path=dest,
            uid=uid,
            gid=gid,
            mode=self._mode(entry),
            opaque=False,
            implied=False,
            foreign=False,
        )
        if not has_content(entry):
            self.draft.place(made, None, self.made_owner)
            return
        made = altered(made, kind=FILE, linkname=b"")
        leader = entry.linkname if entry.kind == HARDLINK else real
        inode: Optional[Hashable] = None if layer == NO_LAYER else (self._names, layer, leader)
        self.draft.place(made, partial(self._open, source, real), self.made_owner, inode)

    def _mode(self, entry: Entry) -> int:
        if entry.kind == SYMLINK:
            return entry.mode
        if self.action.symbolic_mode:
            return apply_symbolic_mode(self.action.symbolic_mode, entry.mode, entry.kind == DIR)
        return entry.mode if self.action.mode is None else self.action.mode & 0o7777

    def _open(self, source: Source, real: bytes) -> BinaryIO:
        """The bytes of a file; compiled Python is told of its source's new time, as it is in the layer of a RUN."""
        content = source.open(real)
        python = source_path(real)
        original = source.mtime(python) if python and not self.draft.keeps_times else None
        if original is None:
            return content
        head = content.read(HEAD_SIZE)
        return PushedBackFile(retimed(head, original, self.draft.mtime // NANOSECONDS), content)

    def _is_archive(self, source: Source, selected: Selected) -> bool:
        if not has_content(selected.found[0]):
            return False
        with source.open(selected.real) as content:
            return is_archive(content)

    def _unpack(self, source: Source, selected: Selected) -> None:
        """--chmod and --exclude do not concern what is in an archive, as in BuildKit."""
        dest = self.draft.resolve(self.dest)
        self.draft.mkdir(dest, DIR_MODE, self.made_owner)
        with source.open(selected.real) as content:
            unpack(content, selected.name, self.draft, dest, self.owner, self.spool)
