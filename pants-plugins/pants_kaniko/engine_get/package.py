"""`pants package`: the files of an image."""

from __future__ import annotations

import logging
from typing import Any, Iterable

from pants.core.goals.package import BuiltPackage, PackageFieldSet
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestEntries,
    FileContent,
    MergeDigests,
)
from pants.engine.internals.session import RunId
from pants.engine.rules import Get, MultiGet, _uncacheable_rule, collect_rules, rule
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from imagebuild import canonical
from imagebuild.execute.requests import FetchResult
from pants_kaniko import output, report, stack
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from pants_kaniko.output_requests import (
    AvailableLayers,
    ExportLayers,
    FetchLayers,
    FormatFiles,
    FormatRequest,
    PackageImage,
)
from pants_kaniko.package_types import KanikoPackageFieldSet
from pants_kaniko.plans import PlannedImage, PlanRequest
from pants_kaniko.requests import BuildImage, BuiltLayers, LookupCall, StandingSteps
from pants_kaniko.standing import in_run

logger = logging.getLogger(__name__)


@_uncacheable_rule(level=LogLevel.DEBUG)
async def package_target(field_set: KanikoPackageFieldSet, run: RunId) -> BuiltPackage:
    """In its own order in every run, as `plan_image`: what another run asked for is of no interest to this one."""
    planned = await Get(PlannedImage, PlanRequest(field_set.address))
    path = field_set.output_path.value_or_default(file_ending=None)
    formats = field_set.formats.value or ()
    output.check_formats(formats, planned.handle)
    found = await Get(StandingSteps, LookupCall(planned.handle))
    build = in_run(BuildImage(planned.handle, 0), found.steps, run)
    request = PackageImage(planned, build, formats, path, () if build.run else found.lines)
    return await Get(BuiltPackage, PackageImage, request)


@rule(level=LogLevel.DEBUG)
async def package_image(request: PackageImage) -> BuiltPackage:
    """An image some of whose layers turn out to be gone is built once more, those layers anew."""
    built = await Get(BuiltLayers, BuildImage, request.build)
    handle, names = request.planned.handle, request.planned.names
    exports = output.export_request(request.formats, built)
    missing = (await Get(AvailableLayers, ExportLayers, exports)).missing
    if missing:
        retry = stack.again(built.build, missing, built.steps, await Get(RunId))
        logger.info(report.making_anew(handle.address, missing))
        return await Get(BuiltPackage, PackageImage, output.retried(request, retry))
    images = output.assembled(built)
    files = await MultiGet(
        Get(FormatFiles, FormatRequest(name, images, request.path, names))
        for name in request.formats
    )
    document = report.image_json(handle, images, names, built.steps)
    metadata = FileContent(request.path + output.METADATA_ENDING, document)
    small = await Get(Digest, CreateDigest([metadata]))
    digest = await Get(Digest, MergeDigests([small, *(item.digest for item in files)]))
    return BuiltPackage(digest, output.artifacts(request, images, built))


@rule(level=LogLevel.DEBUG)
async def fetch_layers(request: FetchLayers) -> AvailableLayers:
    answer = await Get(ExecutorAnswer, ExecutorCall, output.fetch_call(request))
    return AvailableLayers(canonical.loads(FetchResult, report.result_of(answer)).missing)


@rule(level=LogLevel.DEBUG)
async def export_layers(request: ExportLayers) -> AvailableLayers:
    first = 2 * request.attempt
    if request.far:
        await Get(AvailableLayers, FetchLayers(request.sources, request.registries, first))
    batches = output.batches(request.sources)
    answers = await MultiGet(
        Get(ExecutorAnswer, ExecutorCall, output.export_call(batch, first)) for batch in batches
    )
    gone = output.gone(batches, answers)
    if not gone:
        return AvailableLayers()
    fetched = await Get(AvailableLayers, FetchLayers(gone, request.registries, first + 1))
    if fetched.missing:
        return fetched
    batches = output.batches(gone)
    answers = await MultiGet(
        Get(ExecutorAnswer, ExecutorCall, output.export_call(batch, first + 1)) for batch in batches
    )
    return AvailableLayers(output.diff_ids(output.gone(batches, answers)))


@rule(level=LogLevel.DEBUG)
async def format_files(request: FormatRequest) -> FormatFiles:
    if request.format == output.REGISTRY_FORMAT:
        return FormatFiles(await Get(Digest, CreateDigest([])))
    layout = await Get(Digest, CreateDigest(output.layout_entries(request)))
    path = request.path + output.ENDINGS[request.format]
    if request.format == output.LAYOUT_FORMAT:
        return FormatFiles(await Get(Digest, AddPrefix(layout, path)))
    moved = await Get(Digest, AddPrefix(layout, output.LAYOUT))
    call = output.docker_archive_call(moved, request.refs)
    answer = await Get(ExecutorAnswer, ExecutorCall, call)
    report.result_of(answer)
    entries = await Get(DigestEntries, Digest, answer.output)
    return FormatFiles(await Get(Digest, CreateDigest([output.renamed(entries, path)])))


def rules() -> Iterable[Any]:
    return (*collect_rules(), UnionRule(PackageFieldSet, KanikoPackageFieldSet))
