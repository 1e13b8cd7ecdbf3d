"""Run a FileOp: COPY, ADD of local files, WORKDIR.

Where the Dockerfile reference leaves room, BuildKit's behaviour holds: a source that is a link is followed, a directory's
contents are copied rather than the directory, what is copied from a context belongs to 0:0, what is copied from a tree
keeps its owner, and parents that have to be made belong to the ``--chown`` user.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import BinaryIO, Dict, Optional, Sequence

from imagebuild.errors import NotSupportedYetError
from imagebuild.execute.draft import DIR_MODE, Draft, OpenContent, Owner
from imagebuild.execute.sources import Inode, PushedBackFile, Source, has_content, walk
from imagebuild.execute.trees import text_of, to_bytes
from imagebuild.layer.archive import is_archive
from imagebuild.layer.entry import DIR, FILE, HARDLINK, NANOSECONDS, SYMLINK, Entry, join, shown
from imagebuild.layer.index import GROUP, PASSWD
from imagebuild.layer.pyc import HEAD_SIZE, retimed, source_path
from imagebuild.layer.tree import TreeView
from imagebuild.llb.ops import CopyAction, FileOp, MkdirAction
from imagebuild.users import resolve_owner

ROOT_OWNER: Owner = (0, 0)


def apply_file_op(op: FileOp, tree: TreeView, sources: Sequence[Source], mtime: int) -> Draft:
    """The layer that `op` makes over `tree`.

    :param sources: one for each input of the step.
    :param mtime: nanoseconds; what every new entry carries.
    :raises ContextError: for sources that are not there, and places that cannot be written.
    """
    draft = Draft(tree, mtime)
    for action in op.actions:
        owner = _owner(action.owner, tree)
        if isinstance(action, MkdirAction):
            draft.mkdir(draft.resolve(to_bytes(action.path)), action.mode, owner or ROOT_OWNER)
        else:
            _copy(draft, action, sources[action.input], owner)
    return draft


def _owner(owner: Optional[str], tree: TreeView) -> Optional[Owner]:
    if owner is None:
        return None
    return resolve_owner(owner, text_of(tree, PASSWD), text_of(tree, GROUP))


def _copy(draft: Draft, action: CopyAction, source: Source, owner: Optional[Owner]) -> None:
    copier = _Copier(draft, source, owner, action)
    for pattern in action.sources:
        for path in source.matches(pattern):
            copier.copy(to_bytes(path), to_bytes(action.dest), into=action.dest_is_dir)


class _Copier:
    """One COPY with its owner and mode settled; None keeps what the source has. Names of one file stay one file."""

    def __init__(
        self, draft: Draft, source: Source, owner: Optional[Owner], action: CopyAction
    ) -> None:
        self.draft, self.source, self.owner, self.unpack = draft, source, owner, action.unpack
        self.mode = None if action.mode is None else action.mode & 0o7777
        self.parents_owner: Owner = owner or ROOT_OWNER
        self._first_names: Dict[Inode, bytes] = {}

    def copy(self, path: bytes, dest: bytes, *, into: bool) -> None:
        """Copy what lies at `path` to `dest`, or into it when it is to be (or is) a directory."""
        real = self.source.follow(path)
        entry = self.source.entry(real)
        if self.unpack and has_content(entry):
            self._refuse_archive(real, path)
        dest = self.draft.resolve(dest)
        if entry.kind == DIR:
            self._directory(real, entry, dest)
            return
        if into or self.draft.is_dir(dest):
            self.draft.mkdir(dest, DIR_MODE, self.parents_owner)
            dest = self.draft.resolve(join(dest, path.rpartition(b"/")[2]))
        self._place(real, entry, dest)

    def _refuse_archive(self, real: bytes, path: bytes) -> None:
        with self.source.open(real) as content:
            if is_archive(content):
                raise NotSupportedYetError(
                    f"ADD of the archive {shown(path)} is not supported yet",
                    expected="a file that is no tar archive, compressed or not",
                    hint="use COPY to copy it as it is, and unpack it in a RUN where that is meant",
                )

    def _directory(self, real: bytes, entry: Entry, dest: bytes) -> None:
        """Merge a directory's contents into `dest`; a link to a directory on the way is followed, not replaced."""
        if not self.draft.is_dir(dest):
            self._place(real, entry, dest)
        places: Dict[bytes, bytes] = {b"": dest}
        for relative, child in walk(self.source, real):
            above, _, name = relative.rpartition(b"/")
            target = join(places[above], name)
            if child.kind == DIR:
                linked = self.draft.resolve(target)
                target = linked if self.draft.is_dir(linked) else target
                places[relative] = target
            self._place(join(real, relative), child, target)

    def _place(self, real: bytes, entry: Entry, dest: bytes) -> None:
        uid, gid = self.owner or (entry.uid, entry.gid)
        mode = entry.mode if self.mode is None or entry.kind == SYMLINK else self.mode
        made = replace(entry, path=dest, uid=uid, gid=gid, mode=mode, opaque=False, implied=False)
        content: Optional[OpenContent] = None
        if has_content(entry):
            first = self._first_name(real, entry, dest)
            made = replace(made, kind=FILE if first == dest else HARDLINK, foreign=False)
            made = replace(made, linkname=b"" if first == dest else first)
            content = partial(self._open, real) if first == dest else None
        self.draft.place(made, content, self.parents_owner)

    def _open(self, real: bytes) -> BinaryIO:
        """The bytes of a file; compiled Python is told of its source's new time, as it is in the layer of a RUN."""
        content = self.source.open(real)
        python = source_path(real)
        original = self.source.mtime(python) if python else None
        if original is None:
            return content
        head = content.read(HEAD_SIZE)
        return PushedBackFile(retimed(head, original, self.draft.mtime // NANOSECONDS), content)

    def _first_name(self, real: bytes, entry: Entry, dest: bytes) -> bytes:
        inode = self.source.inode(real, entry)
        return dest if inode is None else self._first_names.setdefault(inode, dest)
