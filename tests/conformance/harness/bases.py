"""The images that cases are built from. ``FROM base/NAME`` in a case is the image NAME of this table.

They are made by hand, as docker schema 2: the OCI config has no place for HEALTHCHECK, SHELL and ONBUILD, and buildah
drops from an OCI base what it has no place for.
"""

from __future__ import annotations

import io
import json
import tarfile
from functools import lru_cache
from typing import Any, Callable, Dict, List, Tuple

from conformance.harness.flatten import Flat, apply, render
from support.base_image import Image, busybox, busybox_layer, digest_of, image_of

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"

PLAIN = {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin"]}

# What an image on scratch has of its own, for BuildKit and buildah alike.
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

RICH = {
    "Cmd": ["--serve"],
    "Entrypoint": ["/bin/rich"],
    "Env": ["PATH=/usr/bin:/bin", "LANG=C", "GREETING=hello"],
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5000000000},
    "Labels": {"from": "base", "kept": "yes"},
    "Shell": ["/bin/sh", "-ec"],
    "StopSignal": "SIGINT",
    "User": "app",
    "Volumes": {"/data": {}},
    "WorkingDir": "/srv",
}

Layers = List[bytes]


def layer(*members: Tuple[str, Dict[str, Any]], data: bytes = b"x\n") -> bytes:
    """A layer as a tar: each member's name and what its header differs in from a plain file of root's."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, facts in members:
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = 1577836800, 0o644
            for key, value in facts.items():
                setattr(info, key, value)
            filled = info.isreg() and "/.wh." not in name
            info.size = len(data) if filled else 0
            tar.addfile(info, io.BytesIO(data) if filled else None)
    return out.getvalue()


def _dir(mode: int = 0o755, **facts: Any) -> Dict[str, Any]:
    return {"type": tarfile.DIRTYPE, "mode": mode, **facts}


def _link(target: str) -> Dict[str, Any]:
    return {"type": tarfile.SYMTYPE, "linkname": target, "mode": 0o777}


def _hard(target: str) -> Dict[str, Any]:
    return {"type": tarfile.LNKTYPE, "linkname": target}


# A file capability as the kernel keeps it: version 2, effective, cap_net_bind_service.
NET_BIND = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


def _odd_files() -> bytes:
    """One of each kind of file, and names and owners at their limits."""
    capability = {"SCHILY.xattr.security.capability": NET_BIND.decode("latin-1")}
    return layer(
        ("odd", _dir()),
        ("odd/setuid", {"mode": 0o4755}),
        ("odd/setgid", {"mode": 0o2755}),
        ("odd/sticky", _dir(0o1777)),
        ("odd/char", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3, "mode": 0o666}),
        ("odd/block", {"type": tarfile.BLKTYPE, "devmajor": 7, "devminor": 1, "mode": 0o660}),
        ("odd/fifo", {"type": tarfile.FIFOTYPE}),
        ("odd/first", {}),
        ("odd/second", _hard("odd/first")),
        ("odd/capable", {"mode": 0o755, "pax_headers": capability}),
        ("odd/user-xattr", {"pax_headers": {"SCHILY.xattr.user.note": "kept"}}),
        ("odd/high-owner", {"uid": 4294967294, "gid": 4294967293}),
        ("odd/latin-\udce9", {}),
        ("odd/" + "n" * 255, {}),
        ("odd/dangling", _link("nowhere")),
    )


def _linked() -> bytes:
    """Directories reached through links: absolute, relative, in a chain, and out of the root."""
    return layer(
        ("real", _dir()),
        ("real/sub", _dir()),
        ("real/old", {}),
        ("absolute", _link("/real")),
        ("relative", _link("real/sub")),
        ("chain", _link("absolute")),
        ("above", _link("../../../real")),
        ("tofile", _link("real/old")),
        ("dangling", _link("/not/there")),
    )


def _stacked() -> Layers:
    """Deleting, replacing and hiding, by layers that no builder of ours wrote."""
    return [
        layer(
            ("s", _dir()),
            ("s/deleted", {}),
            ("s/deleted-dir", _dir()),
            ("s/deleted-dir/inner", {}),
            ("s/file-to-dir", {}),
            ("s/dir-to-file", _dir()),
            ("s/dir-to-file/inner", {}),
            ("s/opaque", _dir()),
            ("s/opaque/hidden", {}),
            ("s/linked", {}),
            ("s/other", _hard("s/linked")),
        ),
        layer(
            ("s/.wh.deleted", {}),
            ("s/.wh.deleted-dir", {}),
            ("s/file-to-dir", _dir()),
            ("s/file-to-dir/new", {}),
            ("s/dir-to-file", {}),
            ("s/opaque", _dir(0o700)),
            ("s/opaque/.wh..wh..opq", {}),
            ("s/opaque/seen", {}),
            ("s/linked", {"mode": 0o600}),
        ),
    ]


def _many() -> Layers:
    return [
        layer(
            ("many", _dir()), (f"many/{number}", {}), ("many/last", {"mode": 0o600 + number % 64})
        )
        for number in range(123)
    ]


def _with_triggers(*triggers: str) -> Callable[[], Tuple[Layers, Dict[str, Any]]]:
    return lambda: ([], {**PLAIN, "OnBuild": list(triggers)})


BASES: Dict[str, Callable[[], Tuple[Layers, Dict[str, Any]]]] = {
    "busybox": lambda: ([], PLAIN),
    "rich": lambda: ([layer(("srv", _dir()))], RICH),
    "odd": lambda: ([_odd_files()], PLAIN),
    "linked": lambda: ([_linked()], PLAIN),
    "stacked": lambda: (_stacked(), PLAIN),
    "many": lambda: (_many(), PLAIN),
    "onbuild": _with_triggers("ENV TRIGGERED=yes", "RUN echo $TRIGGERED > /triggered", "COPY a /a"),
    "onbuildargs": _with_triggers("ARG WORD=none", "RUN echo $WORD > /word", "LABEL word=$WORD"),
    "onbuildpath": _with_triggers("WORKDIR /app", "COPY . .", "USER app"),
}


# ``base/multi`` is an index: an image for each of these, with nothing but a file that says which it is.
PLATFORMS = (("amd64", ""), ("arm64", ""), ("arm", "v7"))


def multi() -> List[Image]:
    """The images of ``base/multi`` and last their index, in the order in which they are to be pushed."""
    images, manifests = [], []
    for architecture, variant in PLATFORMS:
        said = layer(("arch", {}), data=f"{architecture}{variant}\n".encode())
        platform = {"architecture": architecture, "os": "linux"}
        platform.update({"variant": variant} if variant else {})
        images.append(_as_docker(image_of([said], {"Env": [f"ARCH={architecture}"]}), platform))
        manifest = images[-1].manifest
        described = {"mediaType": _MANIFEST, "digest": digest_of(manifest), "size": len(manifest)}
        manifests.append({**described, "platform": platform})
    index = {"schemaVersion": 2, "mediaType": _LIST, "manifests": manifests}
    return [*images, Image(json.dumps(index, sort_keys=True).encode(), {})]


@lru_cache(maxsize=None)
def image(name: str) -> Image:
    """The image of ``base/NAME``, with the busybox layer below its own."""
    layers, config = BASES[name]()
    return _as_docker(image_of([_busybox(), *layers], config), {})


def _as_docker(made: Image, platform: Dict[str, str]) -> Image:
    """The same as docker schema 2, for another platform where one is given."""
    manifest, blobs = json.loads(made.manifest), dict(made.blobs)
    config = json.loads(blobs.pop(manifest["config"]["digest"]))
    raw = json.dumps({**config, **platform}, sort_keys=True).encode()
    blobs[digest_of(raw)] = raw
    manifest["mediaType"] = _MANIFEST
    manifest["config"] = {"mediaType": _CONFIG, "digest": digest_of(raw), "size": len(raw)}
    for descriptor in manifest["layers"]:
        descriptor["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    return Image(json.dumps(manifest, sort_keys=True).encode(), blobs)


@lru_cache(maxsize=None)
def flat(over: str) -> Flat:
    """What a written expectation is compared against: ``base/NAME``, or nothing for "scratch"."""
    if over == "scratch":
        return Flat({}, {"Env": [DEFAULT_PATH]}, "")
    layers, config = BASES[over.partition("/")[2]]()
    nodes: Dict[bytes, Any] = {}
    for data in [_busybox(), *layers]:
        apply(nodes, io.BytesIO(data))
    return Flat(render(nodes), config, "")


@lru_cache(maxsize=None)
def _busybox() -> bytes:
    return busybox_layer(busybox())
