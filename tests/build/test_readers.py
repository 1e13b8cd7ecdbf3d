"""Others read what we write: skopeo and umoci, and buildah as an oracle of what an image should hold."""

from __future__ import annotations

import json
import os
from typing import Any, Dict

import pytest

from imagebuild.execute.docker_archive import docker_archive
from imagebuild.execute.effects import Effects
from imagebuild.execute.pure_requests import DockerArchiveRequest
from imagebuild.execute.push import push
from imagebuild.execute.requests import PushRequest
from support.builds import Machine, run, skopeo_inspect, tree_of

DOCKERFILE = """FROM BASE AS tools
RUN mkdir -p /opt/tools && echo '#!/bin/sh' > /opt/tools/hello && chmod 750 /opt/tools/hello \\
 && ln /opt/tools/hello /opt/tools/linked && ln -s hello /opt/tools/soft
FROM BASE
LABEL title="all of it" version=1
ENV GREETING="hello world" PATH=/opt/tools:$PATH
WORKDIR /srv/app
COPY --chown=app:staff --chmod=640 config/*.ini ./etc/
COPY src ./src
COPY --from=tools /opt/tools /opt/tools
RUN rm /etc/group && mkdir /data && chmod 1777 /data && chown 1000:50 src && rm -r src/old
USER app
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
ENTRYPOINT ["/opt/tools/hello"]
CMD ["a", "b"]
"""
FILES = {
    "config/a.ini": "a",
    "config/b.ini": "b",
    "config/c.txt": "not this one",
    "src/main*": "#!/bin/sh\n",
    "src/lib/x": "x",
    "src/link": "->lib/x",
    "src/old/y": "y",
    "src/empty": None,
}


def test_skopeo_reads_the_layout_and_copies_it_to_a_docker_archive(here: Machine) -> None:
    built = here.build(DOCKERFILE, FILES)
    layout = here.layout(built)

    inspected = skopeo_inspect(f"oci:{layout}:test:1")
    archive = here.directory / "image.tar"
    run("skopeo", "copy", f"oci:{layout}:test:1", f"docker-archive:{archive}:test:1")

    assert str(built.image.digest) == inspected["Digest"]
    assert {"title": "all of it", "version": "1"} == inspected["Labels"]
    assert len(built.image.layers) == len(skopeo_inspect(f"docker-archive:{archive}")["Layers"])


def test_a_pushed_image_is_pulled_with_the_same_digest(here: Machine) -> None:
    built = here.build(DOCKERFILE, FILES)
    refs = tuple(f"{here.registry.address}/pushed/{name}" for name in ("one:1", "one:2", "two:1"))
    image = built.image

    push(
        PushRequest(
            (image.manifest_bytes.decode(),), (image.config_bytes.decode(),), built.sources, refs
        ),
        Effects(here.store, {}),
        lambda line: None,
    )

    digests = {skopeo_inspect(f"docker://{ref}")["Digest"] for ref in refs}
    assert {str(image.digest)} == digests
    copied = here.directory / "copied"
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{refs[0]}", f"oci:{copied}:x")
    assert str(image.digest) == skopeo_inspect(f"oci:{copied}:x")["Digest"]


def test_a_push_mounts_what_the_registry_has(here: Machine) -> None:
    built = here.build(DOCKERFILE, FILES)
    before = len(here.registry.accesses())

    lines: list[str] = []
    push(
        PushRequest(
            (built.image.manifest_bytes.decode(),),
            (built.image.config_bytes.decode(),),
            built.sources,
            (f"{here.registry.address}/mounted/image:1",),
        ),
        Effects(here.fresh("pusher").store, {}),
        lines.append,
    )

    asked = here.registry.accesses(before)
    uploads = [item for item in asked if item.method == "PATCH"]
    assert [] == uploads
    assert f"{len(built.image.layers)} layers mounted" in lines[0]
    downloads = [item for item in asked if item.method == "GET" and "/blobs/sha256" in item.path]
    assert [] == downloads


def test_our_docker_archive_is_one_that_skopeo_reads(here: Machine) -> None:
    built = here.build(DOCKERFILE, FILES)
    here.layout(built, "image")

    request = DockerArchiveRequest("image.oci", "image.docker.tar", ("test:1", "test:2"))
    docker_archive(request, str(here.directory))
    archive = here.directory / "image.docker.tar"
    unpacked = here.directory / "from-archive"
    run("skopeo", "copy", f"docker-archive:{archive}:test:2", f"oci:{unpacked}:x")

    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{unpacked}:x"))
    assert [str(layer.diff_id) for layer in built.image.layers] == config["rootfs"]["diff_ids"]


def test_umoci_unpacks_what_buildah_builds(here: Machine) -> None:
    """The same Dockerfile, base and context, built by buildah: the same tree and the same configuration."""
    built = here.build(DOCKERFILE, FILES)
    ours = here.unpack(built)

    theirs = buildah(here)

    tree = tree_of(theirs["root"])
    expected = {path: entry for path, entry in tree.items() if path not in MOUNT_POINTS}
    assert expected == tree_of(ours)
    config = json.loads(built.image.config_bytes)["config"]
    assert theirs["config"] == compared(config)


COMPARED = (
    "User",
    "Env",
    "Entrypoint",
    "Cmd",
    "WorkingDir",
    "Labels",
    "ExposedPorts",
    "Volumes",
    "StopSignal",
)


# What buildah mounts over and leaves behind in the image; we leave nothing.
MOUNT_POINTS = {"dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf"}


def buildah(here: Machine) -> Dict[str, Any]:
    """Build the machine's last context with buildah; its tree (copied) and config."""
    root = here.directory / "buildah"
    common = [
        "--root",
        str(root / "store"),
        "--runroot",
        str(root / "run"),
        "--storage-driver",
        "vfs",
    ]
    layout = root / "layout"
    root.mkdir()
    # In a mount namespace of its own: buildah mounts, and must leave nothing behind.
    private = ["unshare", "--mount", "--propagation", "private", "buildah", *common]
    run(
        *private,
        "bud",
        "--isolation",
        "chroot",
        "--format",
        "docker",
        "--tls-verify=false",
        "--layers=false",
        "--tag",
        "theirs",
        str(here.directory / "context"),
        env={**os.environ, "BUILDAH_FORMAT": "docker"},
    )
    run(*private, "push", "--format", "oci", "theirs", f"oci:{layout}:theirs")
    bundle = root / "bundle"
    run("umoci", "unpack", "--image", f"{layout}:theirs", str(bundle))
    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{layout}:theirs"))["config"]
    labels = {k: v for k, v in config.get("Labels", {}).items() if not k.startswith("io.buildah")}
    return {"root": bundle / "rootfs", "config": compared({**config, "Labels": labels})}


def compared(config: Dict[str, Any]) -> Dict[str, Any]:
    """The members that both write; buildah moves a variable that is set again to the end, BuildKit and we do not."""
    members = {name: config.get(name) for name in COMPARED}
    return {**members, "Env": sorted(members["Env"] or ())}


@pytest.mark.parametrize(
    "compression, media_type", [("gzip", "tar+gzip"), ("zstd", "tar+zstd"), ("none", "tar")]
)
def test_each_compression_is_read_by_umoci_or_skopeo(
    here: Machine, compression: str, media_type: str
) -> None:
    built = here.build("FROM BASE\nRUN echo hello > /hello\n", compression=compression)

    assert built.image.layers[-1].descriptor.media_type.endswith(media_type)
    copied = here.directory / "copied"
    run("skopeo", "copy", f"oci:{here.layout(built)}:test:1", f"dir:{copied}")
    assert (copied / built.image.layers[-1].descriptor.digest.hex).exists()
