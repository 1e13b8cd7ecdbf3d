"""An image's layers, put on top of one another by plain reading: the tree that a container of it would see.

It shares no code with the builder that it judges, and reads both builders' images. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Tuple

SHOWN_BYTES = 120


@dataclass(eq=False)
class Node:
    """One inode: hard links of a file share it."""

    info: tarfile.TarInfo
    data: bytes = b""


@dataclass(frozen=True)
class Flat:
    """An image: a rendered line for each path, and the ``config`` member of its config.

    :param platform: "linux/amd64", with the variant where there is one.
    """

    tree: Dict[str, str]
    config: Dict[str, Any]
    platform: str


def flatten_dir(directory: Path) -> Flat:
    """An image as skopeo's and buildah's ``dir:`` transport writes it."""
    manifest = json.loads((directory / "manifest.json").read_text())
    return _flatten(manifest, lambda digest: directory / digest.partition(":")[2])


def flatten_layout(directory: Path) -> List[Flat]:
    """The images of an OCI image layout: one, or those of its index, in their order."""

    def blob(digest: str) -> Path:
        return directory / "blobs" / digest.replace(":", "/")

    [top] = json.loads((directory / "index.json").read_text())["manifests"]
    document = json.loads(blob(top["digest"]).read_text())
    manifests = [
        json.loads(blob(each["digest"]).read_text()) for each in document.get("manifests", ())
    ]
    return [_flatten(manifest, blob) for manifest in manifests or [document]]


def _flatten(manifest: Dict[str, Any], blob: Any) -> Flat:
    nodes: Dict[bytes, Node] = {}
    for layer in manifest["layers"]:
        with blob(layer["digest"]).open("rb") as file:
            apply(nodes, file)
    document = json.loads(blob(manifest["config"]["digest"]).read_text())
    platform = [document["os"], document["architecture"], document.get("variant", "")]
    return Flat(render(nodes), document.get("config") or {}, "/".join(filter(None, platform)))


def apply(nodes: Dict[bytes, Node], file: IO[bytes]) -> None:
    """Put a layer on top of `nodes`, as the image specification's "layer" page says."""
    with tarfile.open(fileobj=file, mode="r:*", errors="surrogateescape") as tar:
        members = [(_path(member.name), member) for member in tar]
        for path, _ in members:
            directory, _, name = path.rpartition(b"/")
            if name == b".wh..wh..opq":
                _remove_below(nodes, directory)
            elif name.startswith(b".wh."):
                _remove(nodes, b"/".join(filter(None, [directory, name[4:]])))
        for path, member in members:
            if not path.rpartition(b"/")[2].startswith(b".wh."):
                _put(nodes, tar, path, member)


def _put(
    nodes: Dict[bytes, Node], tar: tarfile.TarFile, path: bytes, member: tarfile.TarInfo
) -> None:
    if member.islnk():
        nodes[path] = nodes[_path(member.linkname)]
        return
    if path in nodes and not (member.isdir() and nodes[path].info.isdir()):
        _remove(nodes, path)
    stream = tar.extractfile(member) if member.isreg() else None
    nodes[path] = Node(member, stream.read() if stream else b"")


def _path(name: str) -> bytes:
    parts = name.encode("utf-8", "surrogateescape").split(b"/")
    return b"/".join(part for part in parts if part not in (b"", b"."))


def _remove(nodes: Dict[bytes, Node], path: bytes) -> None:
    nodes.pop(path, None)
    _remove_below(nodes, path)


def _remove_below(nodes: Dict[bytes, Node], path: bytes) -> None:
    for other in [other for other in nodes if other.startswith(path + b"/") or not path]:
        del nodes[other]


def render(nodes: Dict[bytes, Node]) -> Dict[str, str]:
    """Each path with all that is compared: type, mode, owner, content, link, device, xattrs; never times."""
    names: Dict[int, List[bytes]] = {}
    for path, node in nodes.items():
        names.setdefault(id(node), []).append(path)
    return {
        shown(path): " ".join(_facts(path, node, sorted(names[id(node)])))
        for path, node in sorted(nodes.items())
        if path
    }


def shown(path: bytes) -> str:
    """A path in one word: what is not plain ASCII, blanks and backslashes as \\xNN."""
    if len(path) > 300:
        return f"/{path[:40].decode()}...{len(path)} bytes,sha256:{hashlib.sha256(path).hexdigest()[:16]}"
    return "/" + "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in path
    )


def _facts(path: bytes, node: Node, names: List[bytes]) -> Iterator[str]:
    info = node.info
    kind = _kind(info)
    yield kind
    yield "0777" if kind == "link" else f"{info.mode & 0o7777:04o}"
    yield f"{info.uid}:{info.gid}"
    if kind == "file":
        yield _content(node.data)
    elif kind == "link":
        yield f"-> {info.linkname}"
    elif kind in ("char", "block"):
        yield f"{info.devmajor}:{info.devminor}"
    if len(names) > 1:
        yield "= " + " ".join(shown(name) for name in names if name != path)
    for key, value in _xattrs(info):
        yield f"{key}={value!r}"


def _kind(info: tarfile.TarInfo) -> str:
    for kind, holds in (
        ("file", info.isreg()),
        ("dir", info.isdir()),
        ("link", info.issym()),
        ("fifo", info.isfifo()),
        ("char", info.ischr()),
        ("block", info.isblk()),
    ):
        if holds:
            return kind
    raise AssertionError(f"{info.name} is of the unknown type {info.type!r}")


def _content(data: bytes) -> str:
    if len(data) <= SHOWN_BYTES:
        return json.dumps(data.decode("latin-1"))
    return f"{len(data)} bytes sha256:{hashlib.sha256(data).hexdigest()[:16]}"


def _xattrs(info: tarfile.TarInfo) -> Iterator[Tuple[str, bytes]]:
    for key, value in sorted(info.pax_headers.items()):
        if key.startswith("SCHILY.xattr."):
            yield key[len("SCHILY.xattr.") :], value.encode("utf-8", "surrogateescape")
