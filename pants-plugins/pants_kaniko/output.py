"""Which files `package` writes, of what, and the calls that get their bytes. Plain functions."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, List, Sequence, Tuple, Union

from pants.engine.fs import Digest, FileContent, FileDigest, FileEntry
from pants.engine.process import ProcessCacheScope

from imagebuild import canonical
from imagebuild.errors import UsageError
from imagebuild.execute import pure_requests as pure
from imagebuild.execute import requests as wire
from imagebuild.execute.assemble import ImageSet, assemble, blob_path, layout_files
from imagebuild.execute.requests import LayerSource
from imagebuild.oci.hash import Hash
from pants_kaniko import report, targets
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from pants_kaniko.output_requests import ExportLayers, FetchLayers, FormatRequest, PackageImage
from pants_kaniko.package_types import BuiltKanikoImage
from pants_kaniko.plans import Entry, PlanHandle
from pants_kaniko.requests import REGISTRY, BuildImage, BuiltLayers
from pants_kaniko.shapes import EXIT_LAYER_MISSING, salt

REGISTRY_FORMAT, LAYOUT_FORMAT, ARCHIVE_FORMAT = "registry", "oci-layout", "docker-archive"
ENDINGS = {LAYOUT_FORMAT: ".oci", ARCHIVE_FORMAT: ".docker.tar"}
METADATA_ENDING = ".image.json"
BLOBS, LAYOUT, ARCHIVE = "blobs", "layout", "docker.tar"

EXPORTED_TOGETHER_BYTES = 16 << 20
"""Small layers that lie on each other are handed to Pants by one process, as long as they have no more bytes than this."""


def assembled(built: BuiltLayers) -> ImageSet:
    """What the steps make: configs and manifests, from metadata alone."""
    plans, epoch = built.build.plans, built.build.handle.settings.epoch
    images = [assemble(plan, built.layers, epoch) for plan in plans]
    return ImageSet.of(images, [plan.platform for plan in plans])


def check_formats(formats: Iterable[str], handle: PlanHandle) -> None:
    """:raises UsageError: for several platforms in a format that holds one image."""
    if ARCHIVE_FORMAT in formats and len(handle.plans) > 1:
        platforms = ", ".join(f'"{plan.platform}"' for plan in handle.plans)
        raise UsageError(
            f'{handle.address}: `formats` has "{ARCHIVE_FORMAT}", which holds the image of one platform, and `platforms` has '
            f"{len(handle.plans)}: {platforms}",
            hint=f'use formats=["{LAYOUT_FORMAT}"], or a target with one of these platforms for "{ARCHIVE_FORMAT}"',
        )


def export_request(formats: Iterable[str], built: BuiltLayers) -> ExportLayers:
    """The layers whose bytes the formats need; each blob once. After a hit in a registry some of them are not here."""
    registries = built.build.handle.settings.registries
    if all(name == REGISTRY_FORMAT for name in formats):
        return ExportLayers((), registries)
    unique = {source.layer.descriptor.digest: source for source in built.sources}
    far = any(step.origin == REGISTRY for step in built.steps)
    return ExportLayers(tuple(unique.values()), registries, far, built.build.attempt)


Batch = Tuple[LayerSource, ...]


def batches(sources: Sequence[LayerSource]) -> Tuple[Batch, ...]:
    """Layers as they are exported: many small ones together, a large one alone; a new top changes the last batch only."""
    made: List[List[LayerSource]] = []
    room = 0
    for source in sources:
        size = source.layer.descriptor.size
        if not made or size > room:
            made.append([])
            room = EXPORTED_TOGETHER_BYTES
        made[-1].append(source)
        room -= size
    return tuple(map(tuple, made))


def gone(exported: Sequence[Batch], answers: Sequence[ExecutorAnswer]) -> Batch:
    """The layers of those batches of which some were not in the local store.

    :raises ImageBuildFailed: when an export failed for another reason.
    """
    missing: List[LayerSource] = []
    for batch, answer in zip(exported, answers):
        if answer.exit_code == EXIT_LAYER_MISSING:
            missing.extend(batch)
        else:
            report.result_of(answer)
    return tuple(missing)


def diff_ids(sources: Iterable[LayerSource]) -> Tuple[Hash, ...]:
    return tuple(source.layer.diff_id for source in sources)


def layout_entries(request: FormatRequest) -> Tuple[Union[FileContent, FileEntry], ...]:
    """An OCI image layout. Layers are named by digest alone: an OCI digest is a Pants file digest."""
    tags = tuple(dict.fromkeys(targets.tag_of(ref) for ref in request.refs))
    small = tuple(FileContent(path, data) for path, data in layout_files(request.images, tags))
    blobs = {layer.descriptor.digest: layer.descriptor for layer in request.images.layers}
    return small + tuple(
        FileEntry(blob_path(digest), FileDigest(digest.hex, descriptor.size))
        for digest, descriptor in blobs.items()
    )


def renamed(entries: Sequence[Entry], path: str) -> FileEntry:
    """The one file of `entries`, under another name."""
    (entry,) = entries
    assert isinstance(entry, FileEntry), "the executor writes one file"
    return FileEntry(path, entry.file_digest)


def artifacts(
    request: PackageImage, images: ImageSet, built: BuiltLayers
) -> Tuple[BuiltKanikoImage, ...]:
    """One for each thing that is written; the last one, the metadata, speaks for the image."""
    names = request.planned.names
    files = tuple(
        BuiltKanikoImage(request.path + ENDINGS[name])
        for name in request.formats
        if name in ENDINGS
    )
    whole = BuiltKanikoImage(
        request.path + METADATA_ENDING,
        report.log_lines(
            built.build.handle,
            images,
            names,
            report.summary(built.steps, built.planned),
            request.lines,
        ),
        images,
    )
    return (*files, whole)


def retried(request: PackageImage, build: BuildImage) -> PackageImage:
    return replace(request, build=build, lines=())


def fetch_call(request: FetchLayers) -> ExecutorCall:
    """Bring layers into the store: once for each daemon, unless they turned out to be gone again."""
    layers, again = request.sources, request.attempt > 0
    total = sum(source.layer.descriptor.size for source in layers)
    return ExecutorCall(
        "fetch",
        canonical.dumps(wire.FetchRequest(layers, request.registries)),
        f"Fetch {len(layers)} layers ({total / 1e6:.1f} MB)",
        pure=False,
        scope=ProcessCacheScope.PER_SESSION if again else ProcessCacheScope.PER_RESTART_SUCCESSFUL,
        salt=salt(request.attempt),
    )


def export_call(batch: Batch, attempt: int) -> ExecutorCall:
    """Hand blobs to Pants. The key is their digests, so each batch is captured once."""
    blobs = tuple(
        (replace(descriptor, annotations=(), platform=None), f"{BLOBS}/{descriptor.digest.hex}")
        for descriptor in (source.layer.descriptor for source in batch)
    )
    total = sum(descriptor.size for descriptor, _ in blobs)
    return ExecutorCall(
        "export",
        canonical.dumps(pure.ExportRequest(blobs)),
        f"Export {len(blobs)} layers ({total / 1e6:.1f} MB)",
        pure=True,
        scope=ProcessCacheScope.SUCCESSFUL,
        outputs=tuple(path for _, path in blobs),
        salt=salt(attempt),
    )


def docker_archive_call(layout: Digest, tags: Tuple[str, ...]) -> ExecutorCall:
    """:param layout: an image layout, under LAYOUT."""
    return ExecutorCall(
        "docker-archive",
        canonical.dumps(pure.DockerArchiveRequest(LAYOUT, ARCHIVE, tags)),
        f"Write a docker archive of {', '.join(tags)}",
        pure=True,
        scope=ProcessCacheScope.SUCCESSFUL,
        files=layout,
        outputs=(ARCHIVE,),
    )
