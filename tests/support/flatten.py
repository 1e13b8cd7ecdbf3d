"""An image's files by another hand: its layers read with `tarfile` and merged in memory (image-spec layer.md).

It shares no code with the builder, needs no root, and holds whatever a disk of this machine might refuse. Paths are bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(eq=False)
class Node:
    """One inode: paths that share it are hard links. `content` is a file's sha256 and its first bytes."""

    kind: str
    mode: int
    owner: Tuple[int, int]
    mtime: float
    size: int = 0
    sha256: str = ""
    head: bytes = b""
    target: bytes = b""
    device: Tuple[int, int] = (0, 0)
    xattrs: Tuple[Tuple[str, bytes], ...] = ()

    def __str__(self) -> str:
        """All but the time, in one line: ``file 4755 0:0 'text' user.a='1'``."""
        parts = [self.kind, f"{self.mode:o}", f"{self.owner[0]}:{self.owner[1]}"]
        if self.kind == "link":
            parts = [f"-> {self.target.decode('utf-8', 'backslashreplace')}"]
        elif self.kind == "file":
            small = self.size <= len(self.head)
            parts.append(_quoted(self.head) if small else f"{self.size} bytes")
        elif self.kind in ("char", "block"):
            parts.append("{}:{}".format(*self.device))
        return " ".join([*parts, *(f"{name}={_quoted(value)}" for name, value in self.xattrs)])


Tree = Dict[bytes, Node]


def layer_tars(layout: Path) -> List[bytes]:
    """The layers of the one image in an OCI layout, uncompressed, lowest first."""
    (manifest,) = _json(layout / "index.json")["manifests"]
    layers = _json(_blob(layout, manifest["digest"]))["layers"]
    return [gzip.decompress(_blob(layout, layer["digest"]).read_bytes()) for layer in layers]


def members(tar: bytes) -> List[bytes]:
    """Names in the archive, in its order, as they stand there; a directory's ends in no slash."""
    return [_bytes(info.name) for info, _ in _read(tar)]


def flatten(layers: List[bytes]) -> Tree:
    """The merged tree: what a container of the image sees. The root is not in it where no layer has it."""
    tree: Tree = {}
    for tar in layers:
        _apply(tree, tar)
    return tree


def described(tree: Tree) -> Dict[bytes, str]:
    """Each path's node in words, with the other names of the same inode behind it."""
    names: Dict[int, List[bytes]] = {}
    for path, node in tree.items():
        names.setdefault(id(node), []).append(path)
    return {
        path: " = ".join([str(node), *sorted(map(repr, set(names[id(node)]) - {path}))])
        for path, node in tree.items()
    }


def _apply(tree: Tree, tar: bytes) -> None:
    """Whiteouts concern what is below, wherever they stand in the archive, so they come first."""
    entries = [(info, content, _clean(_bytes(info.name))) for info, content in _read(tar)]
    for _, _, path in entries:
        directory, _, name = path.rpartition(b"/")
        if name == b".wh..wh..opq":
            _remove_below(tree, directory)
        elif name.startswith(b".wh."):
            _remove(tree, _join(directory, name[4:]))
    for info, content, path in entries:
        if path.rpartition(b"/")[2].startswith(b".wh."):
            continue
        node = tree[_clean(_bytes(info.linkname))] if info.islnk() else _node(info, content)
        if not (node.kind == "dir" and path in tree and tree[path].kind == "dir"):
            _remove(tree, path)
        tree[path] = node


def _node(info: tarfile.TarInfo, content: bytes) -> Node:
    xattrs = {
        key[len("SCHILY.xattr.") :]: _bytes(value)
        for key, value in info.pax_headers.items()
        if key.startswith("SCHILY.xattr.")
    }
    is_device = info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE)
    return Node(
        KINDS[info.type],
        info.mode,
        (info.uid, info.gid),
        info.mtime,
        len(content),
        hashlib.sha256(content).hexdigest() if info.isreg() else "",
        content[:80],
        _bytes(info.linkname),
        (info.devmajor, info.devminor) if is_device else (0, 0),
        tuple(sorted(xattrs.items())),
    )


def _read(tar: bytes) -> Iterator[Tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(
        fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            yield info, file.read() if file else b""


def _remove(tree: Tree, path: bytes) -> None:
    tree.pop(path, None)
    _remove_below(tree, path)


def _remove_below(tree: Tree, directory: bytes) -> None:
    prefix = directory + b"/" if directory else b""
    for path in [path for path in tree if path.startswith(prefix)]:
        del tree[path]


def _clean(name: bytes) -> bytes:
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _quoted(data: bytes) -> str:
    return repr(data)[1:]


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())
