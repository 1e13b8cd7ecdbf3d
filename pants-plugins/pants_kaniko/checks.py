"""What `pants check` asks and answers with. Plain functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, FrozenSet, Iterable, Mapping, Sequence

from pants.core.goals.check import CheckRequest, CheckResult
from pants.engine.addresses import Address
from pants.engine.target import FieldSet, Target

from imagebuild.check.finding import ERROR
from imagebuild.check.run import Report
from imagebuild.check.subject import CheckInput
from imagebuild.dockerfile.parse import parse
from imagebuild.errors import ImageBuildError
from imagebuild.llb.plan import UnreadImage, WantedImage
from imagebuild.oci.descriptor import Platform
from pants_kaniko import build_fields, planning, targets
from pants_kaniko import target_types as fields
from pants_kaniko.plans import BuildContext, DockerfileSource, ResolvedBases
from pants_kaniko.subsystem import KanikoSubsystem

_BUILD_ARG = re.compile(r"\{build_args\.(\w+)")


@dataclass(frozen=True)
class KanikoCheckFieldSet(FieldSet):
    required_fields = (fields.KanikoSourceField, fields.KanikoInstructionsField)

    source: fields.KanikoSourceField

    @classmethod
    def opt_out(cls, target: Target) -> bool:
        return bool(target[fields.KanikoSkipCheckField].value)


class KanikoCheckRequest(CheckRequest[KanikoCheckFieldSet]):
    field_set_type = KanikoCheckFieldSet
    tool_name = KanikoSubsystem.options_scope


@dataclass(frozen=True)
class ImageCheckRequest:
    address: Address


@dataclass(frozen=True)
class ImageCheck:
    result: CheckResult


def given(
    target: Target,
    options: KanikoSubsystem,
    source: DockerfileSource,
    context: BuildContext,
    environ: Mapping[str, str],
    platform: Platform,
) -> CheckInput:
    """What is known without a look at base images."""
    own = target[fields.KanikoBuildArgsField].value or ()
    return CheckInput(
        source.text,
        source.path,
        target[build_fields.KanikoPlatformsField].platforms or (platform,),
        platform,
        context.entries,
        context.ignore_file,
        targets.build_args(options.build_args, own, environ),
        _stage(target, options, source),
        targets.shared_args(options.build_args, own),
        _used_args(target, options),
        options.check,
    )


def with_bases(given: CheckInput, looked_up: ResolvedBases) -> CheckInput:
    return replace(
        given,
        bases=(*given.bases, *looked_up.bases),
        unread=(*given.unread, *looked_up.unread),
    )


def none_read(wanted: Sequence[WantedImage], error: Exception) -> ResolvedBases:
    """What a look at base images comes to when there is no executor: a check goes on without."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ResolvedBases((), tuple(UnreadImage(image, reason) for image in wanted))


def _stage(target: Target, options: KanikoSubsystem, source: DockerfileSource) -> str:
    try:
        dockerfile = parse(source.text, source.path)
    except ImageBuildError:  # the check says why
        return ""
    return planning.target_stage(target, options, dockerfile)


def _used_args(target: Target, options: KanikoSubsystem) -> FrozenSet[str]:
    """The ARGs that the names and labels of an image are made of."""
    labels: Dict[str, str] = dict(target[fields.KanikoImageLabelsField].value or {})
    texts: Iterable[str] = (
        *labels.values(),
        *(target[fields.KanikoImageTagsField].value or ()),
        target[fields.KanikoRepositoryField].value or "",
        target[build_fields.KanikoCacheRepoField].value or "",
        options.default_repository,
        options.cache_repo,
        *(registry.repository for registry in options.registries.configured),
        *(tag for registry in options.registries.configured for tag in registry.extra_image_tags),
    )
    return frozenset(name for text in texts for name in _BUILD_ARG.findall(text))


def result(address: Address, report: Report) -> CheckResult:
    """As a linter prints it, what the check went on without, and a last line that counts."""
    errors = sum(finding.severity == ERROR for finding in report.findings)
    warnings = len(report.findings) - errors
    lines = [*map(str, report.findings), *report.notes]
    if report.findings:
        lines.append(f"Found {_counted(errors, 'error')} and {_counted(warnings, 'warning')}.")
    return CheckResult(int(report.failed), "".join(f"{line}\n" for line in lines), "", str(address))


def refused(address: Address, error: ImageBuildError) -> CheckResult:
    """There is no Dockerfile or no context to check."""
    return CheckResult(1, "", f"{error}\n", str(address))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
