"""The base images of a check: which of them have to be looked up, and what is said of those that could not be."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Tuple

from imagebuild.check.subject import CheckInput, Subject
from imagebuild.dockerfile.parse import parse
from imagebuild.dockerfile.stage_graph import StageGraph
from imagebuild.errors import ImageBuildError, PlatformMissingError, SourceRange
from imagebuild.llb.plan import ResolvedBase, UnreadImage, WantedImage
from imagebuild.lower import base_refs


def wanted_images(given: CheckInput) -> Tuple[WantedImage, ...]:
    """The images that the target starts from or reads, on all its platforms, and that `given` says nothing of. Those that
    triggers (ONBUILD) name are among them once the images with the triggers are known. None where the Dockerfile is wrong:
    the check says why."""
    answered = {*known_images(given), *(item.image for item in given.unread)}
    try:
        dockerfile = parse(given.text, given.file)
        found: List[WantedImage] = []
        for platform in given.platforms:
            found += base_refs(
                dockerfile,
                build_args=given.build_args,
                target=given.target,
                platform=platform,
                bases=given.bases,
                build_platform=given.build_platform,
            )
    except ImageBuildError:
        return ()
    return tuple(dict.fromkeys(image for image in found if image not in answered))


def known_images(given: CheckInput) -> Dict[WantedImage, ResolvedBase]:
    return {WantedImage(base.ref, base.platform): base for base in given.bases if base.platform}


def bases_of_stages(
    graph: StageGraph, known: Mapping[WantedImage, ResolvedBase]
) -> Dict[int, ResolvedBase]:
    """For each stage that starts from an image that is known, that image."""
    wanted = ((number, ref.wanted) for number, ref in enumerate(graph.bases))
    return {number: known[image] for number, image in wanted if image and image in known}


def missing_platforms(subject: Subject) -> Iterable[ImageBuildError]:
    """What the build would refuse: images that are not there for the platform."""
    for place, item in _unread(subject):
        if item.offered:
            image = item.image
            error = PlatformMissingError(image.ref, str(image.platform), offered=item.offered)
            yield error.at(place)


def notes(subject: Subject) -> Iterable[str]:
    """A line for each image that the check goes on without."""
    for place, item in _unread(subject):
        if not item.offered:
            what = f'the image "{item.image.ref}"'
            yield f"{place}: note: {what} is not looked at: {_short(item, what)}"


def _short(item: UnreadImage, what: str) -> str:
    """The reason without the name, which is said already."""
    if item.reason.startswith(f"{what} "):
        return f"it{item.reason[len(what) :]}"
    return item.reason.partition(f'"{item.image.ref}": ')[2] or item.reason


def _unread(subject: Subject) -> Iterable[Tuple[SourceRange, UnreadImage]]:
    """With the first line that names each."""
    graph = subject.graph
    places = dict(zip(graph.images, graph.places)) if graph else {}
    for item in subject.given.unread:
        if item.image in places:
            yield places[item.image], item
