"""Make a small base image on the spot, from a package of the machine's own distribution, and push it to a registry.

    python3 tests/support/base_image.py --push localhost:5000/library/busybox:1

Plain standard library on purpose: what the builder is tested against must not be made by the builder. The image has one
layer: a static busybox with a link for each applet, a few users, and directories with the modes that real images have.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = b"root:x:0:\nstaff:x:50:app\napp:x:1000:\nnogroup:x:65534:\n"


class Image(NamedTuple):
    """An image in memory: blobs by digest, and which of them is the manifest."""

    manifest: bytes
    blobs: Dict[str, bytes]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def busybox() -> str:
    """The path of a static busybox (Debian: busybox-static)."""
    path = shutil.which("busybox")
    if path is None:
        sys.exit("busybox is not installed; install the package busybox-static")
    return path


def busybox_layer(binary: str) -> bytes:
    """A layer as an uncompressed tar."""
    applets = (
        subprocess.run([binary, "--list"], stdout=subprocess.PIPE, check=True)
        .stdout.decode()
        .split()
    )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode, owner in _DIRECTORIES:
            tar.addfile(_info(name, tarfile.DIRTYPE, mode, owner))
        with open(binary, "rb") as file:
            _file(tar, "bin/busybox", file.read(), 0o755)
        for applet in sorted(set(applets) - {"busybox"}):
            link = _info(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            tar.addfile(link)
        for name, content in (("etc/passwd", PASSWD), ("etc/group", GROUP)):
            _file(tar, name, content, 0o644)
        run = _info("var/run", tarfile.SYMTYPE, 0o777)
        run.linkname = "/run"
        tar.addfile(run)
    return out.getvalue()


_DIRECTORIES: Tuple[Tuple[str, int, int], ...] = (
    ("bin", 0o755, 0),
    ("etc", 0o755, 0),
    ("home", 0o755, 0),
    ("home/app", 0o750, 1000),
    ("root", 0o700, 0),
    ("run", 0o755, 0),
    ("tmp", 0o1777, 0),
    ("usr", 0o755, 0),
    ("var", 0o755, 0),
)


def image_of(
    layers: Sequence[bytes], config: Optional[Dict[str, object]] = None, architecture: str = ""
) -> Image:
    """An image of uncompressed layer tars.

    :param config: members of the image's ``config`` object.
    :param architecture: in GOARCH words; "" for this machine's.
    """
    packed = [gzip.compress(layer, 1, mtime=0) for layer in layers]
    document = {
        "architecture": architecture or MACHINES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": config or {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        "history": [{"created_by": "base"} for _ in layers],
    }
    raw = json.dumps(document, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, raw),
        "layers": [_descriptor(LAYER_TYPE, blob) for blob in packed],
    }
    blobs = {digest_of(blob): blob for blob in [raw, *packed]}
    return Image(json.dumps(manifest, sort_keys=True).encode(), blobs)


def push_index(images: Dict[str, Image], reference: str) -> str:
    """Push an image for each architecture, and their index as `reference`; its digest."""
    entries = []
    for architecture, image in images.items():
        push(image, f"{reference}-{architecture}")
        entry = _descriptor(MANIFEST_TYPE, image.manifest)
        entries.append({**entry, "platform": {"os": "linux", "architecture": architecture}})
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    return push(Image(json.dumps(index, sort_keys=True).encode(), {}), reference)


def push(image: Image, reference: str, headers: Optional[Dict[str, str]] = None) -> str:
    """Push over plain http to a registry on this machine.

    :param reference: ``localhost:5000/name:tag``.
    :param headers: sent with every request, e.g. Authorization.
    :returns: the manifest's digest.
    """
    registry, _, rest = reference.partition("/")
    name, _, tag = rest.rpartition(":")
    base = f"http://{registry}/v2/{name}"
    for digest, blob in image.blobs.items():
        if _request("HEAD", f"{base}/blobs/{digest}", headers, ok=(200, 404)).status == 200:
            continue
        place = _request("POST", f"{base}/blobs/uploads/", headers, b"", ok=(202,)).location
        place = place if place.startswith("http") else f"http://{registry}{place}"
        joint = "&" if "?" in place else "?"
        typed = {**(headers or {}), "Content-Type": "application/octet-stream"}
        _request("PUT", f"{place}{joint}digest={digest}", typed, blob, ok=(201,))
    media_type = json.loads(image.manifest)["mediaType"]
    typed = {**(headers or {}), "Content-Type": media_type}
    _request("PUT", f"{base}/manifests/{tag}", typed, image.manifest, ok=(201,))
    return image.digest


class _Answer(NamedTuple):
    status: int
    location: str


def _request(
    method: str,
    url: str,
    headers: Optional[Dict[str, str]],
    body: Optional[bytes] = None,
    ok: Sequence[int] = (200,),
) -> _Answer:
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            status, location = answer.status, answer.headers.get("Location", "")
    except urllib.error.HTTPError as error:
        status, location = error.code, ""
        error.close()
    if status not in ok:
        raise RuntimeError(f"{method} {url} answered {status}")
    return _Answer(status, location)


def _descriptor(media_type: str, blob: bytes) -> Dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}


def _info(name: str, kind: bytes, mode: int, owner: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, owner, owner, 1577836800
    return info


def _file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = _info(name, tarfile.REGTYPE, mode)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(description="Make a busybox base image and push it.")
    parser.add_argument("--push", required=True, metavar="REGISTRY/NAME:TAG")
    reference = parser.parse_args(arguments).push
    digest = push(image_of([busybox_layer(busybox())]), reference)
    print(f"{reference}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
