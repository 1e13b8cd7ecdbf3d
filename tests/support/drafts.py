"""FileOps without a store: over a tree and sources that are tars in memory, to a layer that is read back by tarfile."""

from __future__ import annotations

import io
import tarfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Dict, NamedTuple, Optional, Sequence, Tuple

from imagebuild.execute.file_step import apply_file_op
from imagebuild.execute.sources import ContextSource, Source, TreeFiles
from imagebuild.execute.spool import Spool
from imagebuild.layer.extract import index_layer
from imagebuild.layer.tree import TreeView
from imagebuild.layer.writer import LayerWriter
from imagebuild.llb.ops import CopyAction, FileOp
from support.tars import make_tar

EPOCH = 1_000_000_000


class Made(NamedTuple):
    """One entry of the new layer: content of a file, target of a link, device numbers, or None."""

    kind: str
    mode: int
    owner: Tuple[int, int]
    content: Any
    mtime: int = EPOCH
    xattrs: Tuple[Tuple[str, str], ...] = ()


_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}


def tree(*layers: Sequence[Any]) -> TreeView:
    """The merged view of layers, each given as its tar's members."""
    return TreeView([index_layer(io.BytesIO(make_tar(*layer)))[2] for layer in layers])


class TarSource(TreeFiles):
    """A stage or image of one layer."""

    def __init__(self, *members: Any) -> None:
        self._data = make_tar(*members)
        super().__init__(tree(members))

    def open(self, path: bytes) -> BinaryIO:
        with tarfile.open(fileobj=io.BytesIO(self._data), errors="surrogateescape") as archive:
            file = archive.extractfile(path.decode("utf-8", "surrogateescape"))
            assert file is not None
            return io.BytesIO(file.read())


def context(directory: Path, files: Dict[str, Any]) -> ContextSource:
    """:param files: bytes by path, None for a directory, "->target" for a link; executable where the path ends in "*"."""
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        path = directory / name.rstrip("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str):
            path.symlink_to(content[2:])
        else:
            path.write_bytes(content)
            path.chmod(0o755 if name.endswith("*") else 0o644)
    return ContextSource(str(directory))


def made(
    op: FileOp, sources: Sequence[Source], spool: Path, below: Optional[TreeView] = None
) -> Dict[str, Made]:
    """The layer that `op` makes, by path."""
    spool.mkdir(exist_ok=True)
    out = io.BytesIO()
    with Spool(str(spool)) as spooled:
        draft = apply_file_op(op, below or TreeView(()), sources, EPOCH * 10**9, spooled)
        writer = LayerWriter(out, compression="none")
        for entry, content in draft.entries():
            with content() if content else nullcontext() as file:
                writer.add(entry, file)
        writer.finish()
    return read_back(out.getvalue())


def read_back(data: bytes) -> Dict[str, Made]:
    found: Dict[str, Made] = {}
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        for info in archive:
            kind = _KINDS[info.type]
            content: Any = None
            if kind == "file":
                file = archive.extractfile(info)
                content = file.read() if file else b""
            elif kind in ("link", "hardlink"):
                content = info.linkname
            elif kind in ("char", "block"):
                content = info.devmajor, info.devminor
            prefix = "SCHILY.xattr."
            xattrs = [
                (key[len(prefix) :], value)
                for key, value in sorted(info.pax_headers.items())
                if key.startswith(prefix)
            ]
            name = info.name or "."
            found[name] = Made(
                kind, info.mode, (info.uid, info.gid), content, int(info.mtime), tuple(xattrs)
            )
    return found


def copy(*sources: str, dest: str = "/d", into: bool = False, **fields: Any) -> FileOp:
    link = fields.pop("link", False)
    return FileOp((CopyAction(0, sources, dest, into, **fields),), link)
