"""From fields, options, a Dockerfile and its context to a plan that rules can pass around. Plain functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Mapping, Optional, Tuple

from pants.engine.addresses import Address
from pants.engine.target import Target

from imagebuild import canonical
from imagebuild.dockerfile.model import Dockerfile
from imagebuild.dockerfile.parse import parse
from imagebuild.dockerfile.stage_graph import StageGraph
from imagebuild.dockerfile.stages import resolve_stages
from imagebuild.execute.assemble import DEFAULT_EPOCH
from imagebuild.execute.requests import CacheOptions
from imagebuild.llb.keys import StepGraph, keyed_steps
from imagebuild.llb.plan import Plan, ResolvedBase, WantedImage
from imagebuild.llb.platforms import merged
from imagebuild.lower import lower
from imagebuild.oci.descriptor import Platform
from pants_kaniko import build_fields, remotes, targets
from pants_kaniko import target_types as fields
from pants_kaniko.credentials import Credentials, credentials, variables
from pants_kaniko.durations import seconds_of
from pants_kaniko.naming import NameTemplates, Placeholders, cache_repository, image_names
from pants_kaniko.plans import (
    BuildContext,
    DockerfileSource,
    PinnedRemotes,
    Place,
    PlanHandle,
    PlannedImage,
    RemotesRequest,
    Settings,
)
from pants_kaniko.subsystem import KanikoSubsystem


@dataclass(frozen=True)
class Draft:
    """A build up to the point where its base images have to be known.

    :param text: the Dockerfile's.
    :param platforms: to build for, each once.
    :param build_platform: what this machine is.
    :param images: those base images, of all platforms.
    :param places: for each of them, what names it first.
    :param values: and `base_tags`: what placeholders in names and labels can mean.
    """

    target: Target
    options: KanikoSubsystem
    text: str
    dockerfile: Dockerfile
    build_args: Mapping[str, str]
    stage: str
    platforms: Tuple[Platform, ...]
    build_platform: Platform
    images: Tuple[WantedImage, ...]
    places: Tuple[Place, ...]
    values: Mapping[str, str]
    base_tags: Mapping[str, str]
    templates: NameTemplates
    credentials: Credentials


@dataclass(frozen=True)
class InContext:
    """A draft with its build context, and what placeholders mean then."""

    draft: Draft
    context: BuildContext
    placeholders: Placeholders


@dataclass(frozen=True)
class LowerRequest:
    """Plan the image of a target.

    :param bases: what the images of its draft are.
    :param remotes: what its remote sources mean; None before that was asked for.
    """

    address: Address
    bases: Tuple[ResolvedBase, ...]
    remotes: Optional[PinnedRemotes] = None


@dataclass(frozen=True)
class LoweredImage:
    """:param asked: without a plan, what has to be asked for before there can be one."""

    planned: Optional[PlannedImage] = None
    asked: Optional[RemotesRequest] = None


def environment_names(target: Target, options: KanikoSubsystem) -> Tuple[str, ...]:
    """The variables that build args, secrets and agents want from the environment."""
    names = targets.names_from_environment(options.build_args, _extra_build_args(target))
    return tuple(sorted({*names, *variables(target)}))


def draft(
    target: Target,
    options: KanikoSubsystem,
    source: DockerfileSource,
    environ: Mapping[str, str],
    platform: Platform,
) -> Draft:
    """:raises DockerfileError: for what is wrong with the Dockerfile by itself.
    :raises RegistriesError: for an unknown alias.
    """
    dockerfile = parse(source.text, source.path)
    build_args = targets.build_args(options.build_args, _extra_build_args(target), environ)
    stage = target_stage(target, options, dockerfile)
    platforms = target[build_fields.KanikoPlatformsField].platforms or (platform,)
    graph = resolve_stages(dockerfile, build_args, stage, platforms[0], (), platform)
    refs = {item.label: ref.image for item, ref in zip(dockerfile.stages, graph.bases) if ref.image}
    first = Draft(
        target,
        options,
        source.text,
        dockerfile,
        build_args,
        stage,
        platforms,
        platform,
        (),
        (),
        {**_declared(dockerfile, graph.global_args), **build_args},
        targets.base_tags(dockerfile, refs),
        NameTemplates(
            target[fields.KanikoRepositoryField].value,
            options.default_repository,
            target[fields.KanikoImageTagsField].value or (),
            tuple(options.registries.get(target[fields.KanikoRegistriesField].value or ())),
        ),
        credentials(target, environ),
    )
    return further(first, ())


def further(draft: Draft, bases: Tuple[ResolvedBase, ...]) -> Draft:
    """The draft with the images that the triggers (ONBUILD) of `bases` name, behind those of `bases`.

    :raises DockerfileError: for a trigger that is wrong.
    """
    known = draft.images[: len(bases)]
    places: Dict[WantedImage, Place] = {}
    for platform in draft.platforms:
        graph = _stages(draft, platform, bases)
        for image, source in zip(graph.images, graph.places):
            places.setdefault(image, Place(source, draft.dockerfile.source.excerpt(source)))
    images = (*known, *(image for image in places if image not in known))
    return replace(draft, images=images, places=tuple(places[image] for image in images))


def _stages(draft: Draft, platform: Platform, bases: Tuple[ResolvedBase, ...]) -> StageGraph:
    return resolve_stages(
        draft.dockerfile, draft.build_args, draft.stage, platform, bases, draft.build_platform
    )


def in_context(draft: Draft, context: BuildContext) -> InContext:
    """``{pants.hash}`` is of the Dockerfile, the context and the build arguments."""
    arguments = sorted(draft.build_args.items())
    content = [draft.text, context.digest.fingerprint, context.root, arguments]
    placeholders = Placeholders.of(
        draft.target.address, draft.values, draft.base_tags, canonical.fingerprint(content).hex
    )
    return InContext(draft, context, placeholders)


def lowered(whole: InContext, bases: Tuple[ResolvedBase, ...]) -> Tuple[Plan, ...]:
    """The plans for all platforms, put together.

    :raises DockerfileError: and ContextError, for what shows only with arguments, files and base images.
    """
    return merged([_lowered(whole, platform, bases) for platform in whole.draft.platforms])


def _lowered(whole: InContext, platform: Platform, bases: Tuple[ResolvedBase, ...]) -> Plan:
    draft = whole.draft
    if len(draft.platforms) > 1:
        by_image = dict(zip(draft.images, bases))
        bases = tuple(by_image[image] for image in _stages(draft, platform, bases).images)
    return lower(
        draft.dockerfile,
        bases=bases,
        context=whole.context.entries,
        build_args=draft.build_args,
        target=draft.stage,
        platform=platform,
        build_platform=draft.build_platform,
        network=draft.target[build_fields.KanikoNetworkField].value or draft.options.network,
        labels=tuple(sorted(_labels(whole).items())),
        shared_args=targets.shared_args(draft.options.build_args, _extra_build_args(draft.target)),
    )


def lowered_image(draft: Draft, context: BuildContext, request: LowerRequest) -> LoweredImage:
    draft = further(draft, request.bases)
    whole = in_context(draft, context)
    plans = lowered(whole, request.bases)
    how = settings(whole)
    if plans[0].remotes:
        asked = remotes.wanted(plans[0], draft.dockerfile, how.epoch, how.ssh)
        if request.remotes is None:
            return LoweredImage(asked=asked)
        answered = request.remotes
        plans = tuple(remotes.with_remotes(plan, asked, answered) for plan in plans)
    names = image_names(draft.templates, whole.placeholders)
    return LoweredImage(PlannedImage(_handle(whole, plans, how), names))


def settings(whole: InContext) -> Settings:
    """How to build: the target's fields, and the options where those are silent."""
    draft = whole.draft
    target, options = draft.target, draft.options
    ttl = target[build_fields.KanikoCacheTtlField].value
    cache = CacheOptions(
        cache_repository(
            target[build_fields.KanikoCacheRepoField].value,
            options.cache_repo,
            draft.templates,
            whole.placeholders,
        ),
        options.cache_read_only,
        options.cache_ttl if ttl is None else seconds_of(ttl) or 0,
    )
    return Settings(
        cache,
        options.cache and target[build_fields.KanikoCacheField].value,
        options.registries.options,
        options.runtime,
        target[build_fields.KanikoCompressionField].value or options.compression,
        DEFAULT_EPOCH if target[build_fields.KanikoReproducibleField].value else None,
        draft.credentials.secrets,
        draft.credentials.ssh,
    )


def _handle(whole: InContext, plans: Tuple[Plan, ...], how: Settings) -> PlanHandle:
    (plan, *others), draft = plans, whole.draft
    graph = StepGraph.of(plan, how.epoch)
    steps = keyed_steps(graph)
    rest = [replace(each, steps=()) for each in plans]  # of these, the keys know all
    address = draft.target.address
    return PlanHandle(
        canonical.fingerprint([[key for _, key in steps], *rest, how]).hex,
        address,
        how,
        plan,
        graph,
        tuple(preimage for preimage, _ in steps),
        whole.context.files,
        tuple(draft.dockerfile.source.excerpt(origin.source) for origin in plan.origins),
        tuple(others),
    )


def _extra_build_args(target: Target) -> Tuple[str, ...]:
    return target[fields.KanikoBuildArgsField].value or ()


def _declared(dockerfile: Dockerfile, values: Mapping[str, str]) -> Dict[str, str]:
    """Global ARGs of the Dockerfile that have a value, and not those of the platform, which every Dockerfile has."""
    names = (name for arg in dockerfile.global_args for name, _ in arg.args)
    return {name: values[name] for name in names if name in values}


def target_stage(target: Target, options: KanikoSubsystem, dockerfile: Dockerfile) -> str:
    """The stage to build; "" for the last one."""
    named = {stage.name for stage in dockerfile.stages}
    overriding = options.build_target_stage or ""
    if overriding and overriding.lower() in named:
        return overriding
    return target[fields.KanikoTargetStageField].value or ""


def _labels(whole: InContext) -> Dict[str, str]:
    labels: Mapping[str, str] = whole.draft.target[fields.KanikoImageLabelsField].value or {}
    return {name: whole.placeholders.fill(text, "image_labels") for name, text in labels.items()}
