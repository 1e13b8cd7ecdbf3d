"""From a directory with a Dockerfile to plans, in this process: what `build` starts with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Optional, Tuple

from imagebuild.dockerfile.dockerignore import ignore_file_for, select_context
from imagebuild.dockerfile.model import Dockerfile
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ContextError, ImageBuildError
from imagebuild.execute.assemble import DEFAULT_EPOCH
from imagebuild.execute.credentials import ssh_for_remotes
from imagebuild.execute.effects import Effects
from imagebuild.execute.local_context import list_context
from imagebuild.execute.pure_requests import SecretSource, SshSource
from imagebuild.execute.requests import CacheOptions, RemotesRequest, ResolveRequest
from imagebuild.execute.resolve import resolve
from imagebuild.llb.plan import Plan, ResolvedBase
from imagebuild.llb.platforms import merged
from imagebuild.llb.remote import remote_base, step_of
from imagebuild.lower import base_refs, lower
from imagebuild.oci.descriptor import Platform
from imagebuild.registry.options import RegistryOptions

NO_CACHE = CacheOptions()


@dataclass(frozen=True)
class BuildOptions:
    """What a build depends on beside its Dockerfile and context.

    :param platform: of the machine that builds.
    :param platforms: to build for, each once; () for `platform`.
    :param epoch: seconds; None keeps real times.
    :param secrets: and `ssh`: where RUN mounts find their values and agents.
    """

    platform: Platform
    platforms: Tuple[Platform, ...] = ()
    target: str = ""
    build_args: Tuple[Tuple[str, str], ...] = ()
    labels: Tuple[Tuple[str, str], ...] = ()
    cache: CacheOptions = NO_CACHE
    use_cache: bool = True
    network: str = "host"
    runtime: str = "auto"
    compression: str = "gzip"
    epoch: Optional[int] = DEFAULT_EPOCH
    registries: Tuple[RegistryOptions, ...] = ()
    secrets: Tuple[SecretSource, ...] = ()
    ssh: Tuple[SshSource, ...] = ()


def plans_of(
    context: str, dockerfile: str, options: BuildOptions, effects: Effects
) -> Tuple[Plan, ...]:
    """One for each platform, put together, with all that they name resolved.

    :raises ImageBuildError: for whatever is wrong, with the line to blame where there is one.
    """
    listing = tuple(sorted(list_context(context), key=lambda entry: entry.path))
    if not os.path.isfile(os.path.join(context, dockerfile)):
        raise ContextError(f'there is no "{dockerfile}" in the context', expected="a Dockerfile")
    with open(os.path.join(context, dockerfile), "rb") as file:
        parsed = parse(file.read(), dockerfile)
    ignore = ignore_file_for(dockerfile, [entry.path for entry in listing])
    if ignore:
        with open(os.path.join(context, ignore), encoding="utf-8") as text:
            listing = select_context(listing, text.read(), ignore)
    plans = merged(
        [
            lower(
                parsed,
                bases=_bases(parsed, platform, options, effects),
                context=listing,
                build_args=dict(options.build_args),
                target=options.target,
                platform=platform,
                build_platform=options.platform,
                network=options.network,
                labels=options.labels,
            )
            for platform in options.platforms or (options.platform,)
        ]
    )
    return _with_remotes(plans, options, effects) if plans[0].remotes else plans


def _with_remotes(
    plans: Tuple[Plan, ...], options: BuildOptions, effects: Effects
) -> Tuple[Plan, ...]:
    plan = plans[0]
    from imagebuild.execute.remotes import pin_remotes

    try:
        ssh = ssh_for_remotes(plan.remotes, options.ssh)
        request = RemotesRequest(plan.remotes, options.epoch, ssh)
        sources = pin_remotes(request, effects).sources
    except ImageBuildError as error:
        number = step_of(plan, str(error))
        raise (error if number is None else error.at(plan.origins[number].source)) from None
    trees = [remote_base(source, plan.platform) for source in sources]
    return tuple(plan.with_remotes(trees) for plan in plans)


def _bases(
    parsed: Dockerfile, platform: Platform, options: BuildOptions, effects: Effects
) -> Tuple[ResolvedBase, ...]:
    """Images resolved, in rounds: the triggers of one may name others."""
    bases: Tuple[ResolvedBase, ...] = ()
    while True:
        images = base_refs(
            parsed,
            build_args=dict(options.build_args),
            target=options.target,
            platform=platform,
            build_platform=options.platform,
            bases=bases,
        )[len(bases) :]
        if not images:
            return bases
        bases += resolve(ResolveRequest(images, options.registries), effects).bases
