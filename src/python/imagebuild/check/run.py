"""From a Dockerfile and what it is built with to a report: pure, nothing is built, no registry is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, Iterable, List, Sequence, Tuple

from imagebuild.check.bases import bases_of_stages, known_images, missing_platforms, notes
from imagebuild.check.copy_rules import missing_sources
from imagebuild.check.finding import ERROR, WARNING, Finding, shown
from imagebuild.check.options import CheckOptions
from imagebuild.check.rules import INVALID_CHECK_DIRECTIVE, RULE_OF_ERROR, RULES
from imagebuild.check.subject import CheckInput, Subject
from imagebuild.check.variables import Scope, global_scope, parents, views
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.lexer import lex
from imagebuild.dockerfile.model import Dockerfile
from imagebuild.dockerfile.parse import parse
from imagebuild.dockerfile.stages import resolve_stages
from imagebuild.errors import ImageBuildError, ManyErrors, SourceRange, UsageError
from imagebuild.llb.plan import ResolvedBase, WantedImage
from imagebuild.lower import base_refs, lower
from imagebuild.oci.config import Config, ConfigFile
from imagebuild.oci.descriptor import Descriptor
from imagebuild.oci.hash import Hash
from imagebuild.oci.media_types import OCI_MANIFEST

_CHECK_COMMENT = re.compile(r"check\s*=\s*(\S*)", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """:param findings: in the order of their lines; :param failed: whether they fail the check.
    :param notes: what the check went on without, a line each.
    """

    findings: Tuple[Finding, ...]
    failed: bool
    notes: Tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((*map(str, self.findings), *self.notes))


def check(given: CheckInput) -> Report:
    """Everything that is wrong or doubtful. Errors are always reported; warnings as the options of `given`, the check
    directive of the file and the comments above an instruction say. What is so on several platforms is reported once.
    """
    lexed = lex(given.text, given.file)
    of_text: List[Finding] = []
    dockerfile = None
    try:
        dockerfile = parse(given.text, given.file)
    except ImageBuildError as error:
        of_text.extend(_of_error(each, given.file) for each in _each(error))
    options = given.options
    try:
        options = CheckOptions.parse(lexed.directives.check).over(options)
    except UsageError as error:
        line = lexed.directives.check_line
        place = lexed.source.range(line, line)
        of_text.append(_of_error(error.at(place), given.file, INVALID_CHECK_DIRECTIVE))
    found: Dict[Finding, List[str]] = {}
    said: Dict[str, None] = {}
    for platform in given.platforms:
        subject = Subject(given, platform, lexed, Dockerfile(given.file, ()), Scope({}))
        if dockerfile is not None:
            subject = _with_model(subject, dockerfile)
        for finding in _findings(subject, of_text, options):
            found.setdefault(finding, []).append(str(platform))
        said.update((shown(note), None) for note in notes(subject))
    findings = [_on(finding, where, given) for finding, where in found.items()]
    warned = bool(options.error) and any(finding.severity == WARNING for finding in findings)
    failed = warned or any(finding.severity == ERROR for finding in findings)
    return Report(tuple(sorted(findings, key=_order)), failed, tuple(said))


def _on(finding: Finding, platforms: Sequence[str], given: CheckInput) -> Finding:
    if len(platforms) == len(given.platforms):
        return finding
    return replace(finding, platforms=", ".join(platforms))


def _order(finding: Finding) -> Tuple[str, int, str, str]:
    return finding.source.file, finding.source.start_line, finding.rule, finding.message


def _with_model(subject: Subject, dockerfile: Dockerfile) -> Subject:
    given, platform = subject.given, subject.platform
    args, target, build_platform = given.build_args, given.target, given.build_platform
    outer = global_scope(dockerfile, args, platform, target, build_platform)
    triggers: Sequence[Sequence[Instruction]] = [()] * len(dockerfile.stages)
    graph, bases = None, {}
    try:
        graph = resolve_stages(dockerfile, args, target, platform, given.bases, build_platform)
        triggers = [[item.instruction for item in found] for found in graph.triggers]
        bases = bases_of_stages(graph, known_images(given))
    except ImageBuildError:  # lowering raises it again
        pass
    configs = {number: base.config.config for number, base in bases.items()}
    seen = tuple(views(dockerfile, args, outer, triggers, configs))
    return replace(
        subject,
        dockerfile=dockerfile,
        outer=outer,
        parents=parents(dockerfile, outer),
        views=tuple(view for view in seen if not view.borrowed),
        borrowed=tuple(view for view in seen if view.borrowed),
        bases=bases,
        graph=graph,
    )


def _findings(
    subject: Subject, of_text: Sequence[Finding], options: CheckOptions
) -> Iterable[Finding]:
    """For the platform of `subject`, each once.

    :param of_text: what is wrong whatever is built for.
    """
    refused = _refused(subject) if subject.stages else ()
    findings = [*of_text, *(_of_error(error, subject.given.file) for error in refused)]
    said = {(found.rule, found.source, found.message) for found in findings}
    findings.extend(
        found
        for found in _warnings(subject, options)
        if (found.rule, found.source, found.message) not in said
    )
    return dict.fromkeys(findings)


def _refused(subject: Subject) -> Iterable[ImageBuildError]:
    """What lowering says; nothing of an instruction that uses variables whose values an image may define of which nothing is
    known."""
    given, known = subject.given, known_images(subject.given)
    try:
        images = base_refs(
            subject.dockerfile,
            build_args=given.build_args,
            target=given.target,
            platform=subject.platform,
            bases=given.bases,
            build_platform=given.build_platform,
        )
        lower(
            subject.dockerfile,
            bases=[known.get(image) or _unknown_image(image) for image in images],
            context=given.context,
            build_args=given.build_args,
            target=given.target,
            platform=subject.platform,
            build_platform=given.build_platform,
        )
    except ImageBuildError as raised:
        doubtful = {
            view.instruction.source for view in subject.views if not view.known and not view.broken
        }
        certain = [error for error in _each(raised) if error.origin not in doubtful]
        return (*certain, *missing_sources(subject), *missing_platforms(subject))
    return missing_platforms(subject)


def _unknown_image(image: WantedImage) -> ResolvedBase:
    manifest = Descriptor(OCI_MANIFEST, Hash.of(b""), 0)
    config = ConfigFile(image.platform, Config())
    return ResolvedBase(image.ref, image.ref, manifest, config, (), platform=image.platform)


def _each(error: ImageBuildError) -> Tuple[ImageBuildError, ...]:
    return error.errors if isinstance(error, ManyErrors) else (error,)


def _of_error(error: ImageBuildError, file: str, rule: str = "") -> Finding:
    names = (RULE_OF_ERROR[cls] for cls in type(error).__mro__ if cls in RULE_OF_ERROR)
    source, message = error.origin or SourceRange(file, 1, 1), error.message
    if message.startswith(f"{file}: "):
        message = message[len(file) + 2 :]
    return Finding(rule or next(names), ERROR, source, message, error.expected, error.hint)


def _warnings(subject: Subject, options: CheckOptions) -> Iterable[Finding]:
    local = _options_by_line(subject, options)
    for rule in RULES:
        for found in rule.find(subject):
            wanted = local.get(found.source.start_line, options)
            if wanted.report(rule.name, rule.experimental):
                yield Finding(rule.name, WARNING, found.source, found.message, "", found.hint)


def _options_by_line(subject: Subject, options: CheckOptions) -> Dict[int, CheckOptions]:
    """What a comment ``# check=skip=RULE`` right above an instruction says for its lines. As in BuildKit, the first such
    comment counts, up to its first blank, and one that makes no sense says nothing."""
    found: Dict[int, CheckOptions] = {}
    for raw in subject.lexed.instructions:
        matches = (_CHECK_COMMENT.match(text) for text in subject.comments_above(raw.source))
        said = next((match[1] for match in matches if match), None)
        if said is None:
            continue
        try:
            own = CheckOptions.parse(said)
        except UsageError:
            continue
        for number in range(raw.source.start_line, raw.source.end_line + 1):
            found[number] = own.over(options)
    return found
