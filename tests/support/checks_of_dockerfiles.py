"""Dockerfiles checked with a context that exists only here: the one that docs/checks.md speaks of."""

from __future__ import annotations

from dataclasses import replace
from typing import AbstractSet, Any, List, Mapping, Sequence

from imagebuild.check.bases import wanted_images
from imagebuild.check.finding import Finding
from imagebuild.check.options import CheckOptions
from imagebuild.check.run import Report, check
from imagebuild.check.subject import CheckInput, IgnoreFile
from imagebuild.llb.plan import ResolvedBase, UnreadImage, WantedImage
from imagebuild.oci.descriptor import Layer, Platform
from imagebuild.oci.hash import Hash
from support.dockerfiles import PLATFORM, file_entry, resolved

FILES = ("app.py", "conf/app.ini")
IGNORE = "*.log\n"


def report(
    text: str,
    *,
    files: Sequence[str] = FILES,
    ignore: str = IGNORE,
    build_args: Mapping[str, str] = {},
    target: str = "",
    shared_args: AbstractSet[str] = frozenset(),
    used_args: AbstractSet[str] = frozenset(),
    options: str = "",
    images: Mapping[str, Any] = {},
    platforms: Sequence[Platform] = (PLATFORM,),
) -> Report:
    """:param images: what is known of those that a Dockerfile names: by full name the config as in an image's JSON, with its
    "Platform" where that is not the one that is asked for, or the reason why nothing is known."""
    given = CheckInput(
        text,
        "Dockerfile",
        tuple(platforms),
        PLATFORM,
        tuple(file_entry(path) for path in files),
        IgnoreFile(".dockerignore", ignore),
        build_args,
        target,
        frozenset(shared_args),
        frozenset(used_args),
        CheckOptions.parse(options),
    )
    return check(looked_up(given, images))


def looked_up(given: CheckInput, images: Mapping[str, Any]) -> CheckInput:
    """With all of `images` that it wants, in as many rounds as that takes."""
    while True:
        wanted = [image for image in wanted_images(given) if image.ref in images]
        if not wanted:
            return given
        answers = [(image, images[image.ref]) for image in wanted]
        given = replace(
            given,
            bases=(*given.bases, *(_base(*pair) for pair in answers if isinstance(pair[1], dict))),
            unread=(
                *given.unread,
                *(_unread(*pair) for pair in answers if isinstance(pair[1], str)),
            ),
        )


def _base(image: WantedImage, config: Mapping[str, Any]) -> ResolvedBase:
    found = resolved(image, {key: value for key, value in config.items() if key != "Platform"})
    platform = Platform.parse(config.get("Platform", str(image.platform)))
    layer = Layer(Hash.of(b"layer"), found.manifest)
    return replace(found, config=replace(found.config, platform=platform), layers=(layer,))


def _unread(image: WantedImage, reason: str) -> UnreadImage:
    """ "only: PLATFORM" for one that its registry has for others."""
    what, _, offered = reason.partition("only: ")
    return UnreadImage(image, what, offered)


def findings(
    text: str, *, build_args: Mapping[str, str] = {}, images: Mapping[str, Any] = {}
) -> List[Finding]:
    return list(report(text, build_args=build_args, images=images).findings)
