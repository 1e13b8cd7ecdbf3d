"""Rules about FROM, and about what names a stage."""

from __future__ import annotations

import re
from collections import Counter
from typing import Iterable, Set, Tuple

from imagebuild.check.bases import known_images
from imagebuild.check.finding import Found
from imagebuild.check.likeness import near
from imagebuild.check.subject import Subject
from imagebuild.check.variables import Scope, global_scope, value
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.model import Dockerfile, Stage
from imagebuild.dockerfile.stage_graph import TreeRef
from imagebuild.errors import ImageBuildError, SourceRange
from imagebuild.oci.platforms import normalised
from imagebuild.oci.reference import ImageRef

_TARGET_PLATFORM = re.compile(r"\$(?:TARGETPLATFORM|\{TARGETPLATFORM\})\Z")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")  # no registry, path, tag or digest


def undefined_arg_in_from(subject: Subject) -> Iterable[Found]:
    names = subject.outer.env.keys() | subject.outer.declared
    for stage in subject.stages:
        for name in sorted(_undefined(subject.dockerfile, subject.outer, stage)):
            close = near(name, names)
            yield Found(
                stage.base.source,
                f"FROM argument '{name}' is not declared" + _did_you_mean(close),
                f"write ${{{close}}}" if close else f"add `ARG {name}=...` before the first FROM",
            )


def invalid_default_arg_in_from(subject: Subject) -> Iterable[Found]:
    """Whether the file can be built as it is, with no build argument."""
    dockerfile = subject.dockerfile
    given = subject.given
    scope = global_scope(dockerfile, {}, subject.platform, given.target, given.build_platform)
    for stage in dockerfile.stages:
        if "$" not in stage.base.image or _undefined(dockerfile, scope, stage):
            continue
        image = value(stage.base.image, scope.env, dockerfile.escape)
        if image is not None and not _is_image(image):
            yield Found(
                stage.base.source,
                f"Default value for ARG {stage.base.image} results in empty or invalid base image name",
                "give the ARG before the first FROM a default that makes an image name",
            )


def redundant_target_platform(subject: Subject) -> Iterable[Found]:
    for stage in subject.stages:
        if _TARGET_PLATFORM.match(stage.base.platform.strip("\"'")):
            yield Found(
                stage.base.source,
                "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
                "remove --platform",
            )


def from_platform_flag_const_disallowed(subject: Subject) -> Iterable[Found]:
    """A stage whose name tells the system or the architecture is meant for it."""
    for stage in subject.stages:
        platform = stage.base.platform
        parts = platform.lower().split("/")[:2]
        if not platform or "$" in platform or any(part in stage.name for part in parts if part):
            continue
        yield Found(
            stage.base.source,
            f'FROM --platform flag should not use constant value "{platform}"',
            "use $BUILDPLATFORM, remove --platform, or name the architecture in the stage's name",
        )


def invalid_base_image_platform(subject: Subject) -> Iterable[Found]:
    """What is pulled for the name is for another system or processor. As in BuildKit, variants are left alone, which many
    images do not name; and an image without layers has nothing that could not run."""
    known = known_images(subject.given)
    for name, ref, source in _named_images(subject):
        base = known.get(ref.wanted) if ref.wanted else None
        if base is None or not base.layers or ref.platform is None:
            continue
        found, wanted = normalised(base.config.platform), normalised(ref.platform)
        if (found.os, found.architecture) != (wanted.os, wanted.architecture):
            message = f'Base image {name} was pulled with platform "{found}", expected "{wanted}" for current build'
            yield Found(source, message, f"use an image that is for {wanted}")


def _named_images(subject: Subject) -> Iterable[Tuple[str, TreeRef, SourceRange]]:
    """The images that the target starts from or reads: each as it is named, and where."""
    graph = subject.graph
    if graph is None:
        return
    for number in graph.needed:
        stage = subject.stages[number]
        name = value(stage.base.image, subject.outer.env, subject.dockerfile.escape)
        yield name or stage.base.image, graph.bases[number], stage.base.source
        for name, ref in graph.sources[number].items():
            yield name, ref, _place(stage, name).source


def unknown_stage(subject: Subject) -> Iterable[Found]:
    """What is taken as an image and looks like a stage. (A number or a later stage in COPY --from is an error.)"""
    earlier: Set[str] = set()
    used = Counter(stage.base.image for stage in subject.stages)
    lines = {stage.name: stage.base.source.start_line for stage in subject.stages}
    for stage in subject.stages:
        image = stage.base.image.lower()
        if image not in earlier and _BARE.match(image):
            if lines.get(image, 0) > stage.base.source.start_line:
                message = f'"{image}" is taken as an image: the stage of this name comes later, in line {lines[image]}'
                hint = "move that stage above this one, or rename it"
                yield Found(stage.base.source, message, hint)
            elif used[stage.base.image] == 1:
                yield from _slip(stage.base, image, earlier)
        sources = subject.graph.sources[stage.index] if subject.graph else {}
        for name, ref in sources.items():
            if ref.image and _BARE.match(name):
                yield from _slip(_place(stage, name), name, earlier)
        earlier.update([stage.name] if stage.name else ())


def _slip(item: Instruction, name: str, stages: Set[str]) -> Iterable[Found]:
    close = near(name.lower(), stages)
    if close:
        message = f'"{name}" is no stage and is taken as an image' + _did_you_mean(close)
        yield Found(item.source, message, f"write {close}")


def _place(stage: Stage, name: str) -> Instruction:
    """The instruction that reads files of `name`; the FROM for one that a trigger has brought."""
    return next((item for item in stage.instructions if name in item.trees()), stage.base)


def _undefined(dockerfile: Dockerfile, scope: Scope, stage: Stage) -> Set[str]:
    words = (stage.base.image, stage.base.platform)
    return set(scope.undefined(words, dockerfile.escape))


def _is_image(text: str) -> bool:
    try:
        ImageRef.parse(text)
    except ImageBuildError:
        return False
    return True


def _did_you_mean(name: str) -> str:
    return f" (did you mean {name}?)" if name else ""
