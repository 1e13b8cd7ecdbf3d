"""What we write, other tools read: GNU tar, umoci and skopeo; and what they write, we read (as root)."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any, List

import pytest

from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import NANOSECONDS, Entry
from imagebuild.layer.extract import extract_layer
from imagebuild.layer.tree import TreeView
from imagebuild.layer.writer import WrittenLayer, write_layer
from imagebuild.oci.hash import Hash
from support.layer_strategies import Item
from support.trees import tree_state
from support.views import assert_same_tree

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
LONG = b"long/" * 50 + b"name"
DEEP = [
    (Entry(LONG[: 5 * depth - 1], kinds.DIR, 0o755, mtime=depth * NANOSECONDS), None)
    for depth in range(1, 51)
]
TREE: List[Item] = [
    *DEEP,
    (Entry(LONG, kinds.FILE, 0o644, 1, 2, 4, 5 * NANOSECONDS), b"data"),
    (Entry(b"bin", kinds.SYMLINK, 0o777, mtime=NANOSECONDS, linkname=b"/usr/bin"), None),
    (Entry(b"big-id", kinds.FILE, 0o600, 3_000_000_000, 1 << 23, 0, NANOSECONDS), b""),
    (Entry(b"far", kinds.SYMLINK, 0o777, mtime=NANOSECONDS, linkname=b"../" * 60 + b"x"), None),
    (
        Entry(
            b"ping",
            kinds.FILE,
            0o755,
            0,
            0,
            2,
            NANOSECONDS,
            xattrs=(("security.capability", CAPABILITY), ("user.a", b"\0=\n")),
        ),
        b"#!",
    ),
    (Entry(b"null", kinds.CHAR, 0o666, mtime=NANOSECONDS, dev_major=1, dev_minor=3), None),
    (Entry(b"pipe", kinds.FIFO, 0o622, mtime=NANOSECONDS), None),
    (Entry(b"su", kinds.FILE, 0o4755, 0, 0, 300_000, NANOSECONDS), bytes(200_000) + b"x" * 100_000),
    (Entry(b"su2", kinds.HARDLINK, linkname=b"su"), None),
    (Entry(b"tmp", kinds.DIR, 0o1777, mtime=9 * NANOSECONDS), None),
    (Entry(b"\xff\xfe", kinds.FILE, 0o644, mtime=NANOSECONDS), b""),
    (Entry(b"\xfe" * 200, kinds.FILE, 0o644, mtime=NANOSECONDS), b""),
]


def run(*argv: Any, **options: Any) -> bytes:
    done = subprocess.run(
        [os.fspath(arg) for arg in argv], check=True, stdout=subprocess.PIPE, **options
    )
    return bytes(done.stdout)


def layout(where: Path, tree: List[Item], compression: str = "gzip") -> WrittenLayer:
    """An OCI image layout with one image of one layer, tagged ``one``."""
    out = io.BytesIO()
    written = write_layer(out, tree, compression=compression)
    blobs = where / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> Any:
        (blobs / Hash.of(data).hex).write_bytes(data)
        return {"mediaType": media_type, "digest": str(Hash.of(data)), "size": len(data)}

    layer = put(out.getvalue(), written.layer.descriptor.media_type)
    rootfs = {"type": "layers", "diff_ids": [str(written.layer.diff_id)]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [layer],
    }
    tagged = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    tagged["annotations"] = {"org.opencontainers.image.ref.name": "one"}
    (where / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [tagged]}))
    (where / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return written


def unpack(data: bytes, root: Path) -> Any:
    root.mkdir()
    fd = os.open(root, os.O_RDONLY)
    try:
        return extract_layer(io.BytesIO(data), fd)
    finally:
        os.close(fd)


def test_gnu_tar_reads_it(tmp_path: Path) -> None:
    out = io.BytesIO()
    index = write_layer(out, TREE).index
    (tmp_path / "root").mkdir()

    options = [
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--warning=no-unknown-keyword",
        "--delay-directory-restore",
    ]
    run(
        "tar",
        "-xpzf",
        "-",
        "-C",
        tmp_path / "root",
        *options,
        input=out.getvalue(),
        env={**os.environ, "LC_ALL": "C"},
    )

    assert_same_tree(TreeView([index]), tree_state(tmp_path / "root"))


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_umoci_reads_it(tmp_path: Path, compression: str) -> None:
    """umoci unpacks with Go's archive/tar, as containerd, docker and podman do."""
    written = layout(tmp_path / "image", TREE, compression)

    run("umoci", "raw", "unpack", "--image", f"{tmp_path}/image:one", tmp_path / "root")

    assert_same_tree(TreeView([written.index]), tree_state(tmp_path / "root"))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_skopeo_copies_it(tmp_path: Path, compression: str) -> None:
    written = layout(tmp_path / "image", TREE, compression)

    run("skopeo", "copy", "--insecure-policy", f"oci:{tmp_path}/image:one", f"dir:{tmp_path}/copy")
    blob = (tmp_path / "copy" / written.layer.descriptor.digest.hex).read_bytes()

    assert written.layer.descriptor.digest == Hash.of(blob)


def test_skopeo_makes_a_docker_archive_of_it(tmp_path: Path) -> None:
    """It reads the whole layer for that, and compares its diff_id."""
    layout(tmp_path / "image", TREE)

    target = f"docker-archive:{tmp_path}/copy.tar:one"
    run("skopeo", "copy", "--insecure-policy", f"oci:{tmp_path}/image:one", target)

    assert (tmp_path / "copy.tar").stat().st_size > 300_000


@pytest.mark.parametrize("dialect", ["gnu", "posix", "ustar", "oldgnu"])
@pytest.mark.parametrize(
    "sparse", [[], ["--sparse", "--hole-detection=raw"]], ids=["plain", "sparse"]
)
def test_we_read_gnu_tar(tmp_path: Path, dialect: str, sparse: List[str]) -> None:
    tree = tmp_path / "tree"
    (tree / "d" / ("n" * 90)).mkdir(parents=True)
    (tree / "d" / ("n" * 90) / "f").write_bytes(b"data")
    (tree / "holes").write_bytes(b"a" * 4096 + bytes(1 << 20) + b"b" * 4096 + bytes(1 << 20) + b"c")
    os.link(tree / "holes", tree / "other")
    os.symlink("/usr", tree / "l")
    os.mkfifo(tree / "p")
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, (1, 1), follow_symlinks=False)
    if sparse and dialect == "ustar":
        sparse = []  # it has no way to say so

    data = run("tar", "-cf", "-", "-C", tree, f"--format={dialect}", "--sort=name", *sparse, ".")
    unpack(data, tmp_path / "root")

    assert tree_state(tree) == tree_state(tmp_path / "root")


def test_we_read_umoci(tmp_path: Path) -> None:
    layout(tmp_path / "image", TREE)
    run("umoci", "unpack", "--image", f"{tmp_path}/image:one", tmp_path / "bundle")
    root = tmp_path / "bundle" / "rootfs"
    (root / "tmp" / "new").write_bytes(b"new")
    (root / "bin").unlink()
    run("umoci", "repack", "--image", f"{tmp_path}/image:two", tmp_path / "bundle")

    manifests = json.loads((tmp_path / "image" / "index.json").read_text())["manifests"]
    digest = next(
        m["digest"]
        for m in manifests
        if m["annotations"]["org.opencontainers.image.ref.name"] == "two"
    )
    manifest = json.loads((tmp_path / "image" / "blobs" / digest.replace(":", "/")).read_text())
    blob = (
        tmp_path / "image" / "blobs" / manifest["layers"][-1]["digest"].replace(":", "/")
    ).read_bytes()
    found = {entry.path: entry for entry in unpack(blob, tmp_path / "layer").index.scan()}

    assert kinds.WHITEOUT == found[b"bin"].kind
    assert Hash.of(b"new") == found[b"tmp/new"].sha256
