"""From a Dockerfile and what it is built with to a report: pure, nothing is built, no base image is looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence, Tuple

from imagebuild.check.copy_rules import missing_sources
from imagebuild.check.finding import ERROR, WARNING, Finding
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
    """:param findings: in the order of their lines; :param failed: whether they fail the check."""

    findings: Tuple[Finding, ...]
    failed: bool

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)


def check(given: CheckInput) -> Report:
    """Everything that is wrong or doubtful. Errors are always reported; warnings as the options of `given`, the check
    directive of the file and the comments above an instruction say."""
    lexed = lex(given.text, given.file)
    errors: List[ImageBuildError] = []
    subject = Subject(given, lexed, Dockerfile(given.file, ()), Scope({}))
    try:
        dockerfile = parse(given.text, given.file)
        subject = _with_model(subject, dockerfile)
        errors.extend(_refused(subject))
    except ImageBuildError as error:
        errors.extend(_each(error))
    findings = [_of_error(error, given.file) for error in errors]
    options = given.options
    try:
        options = CheckOptions.parse(lexed.directives.check).over(options)
    except UsageError as error:
        place = subject.line(lexed.directives.check_line)
        findings.append(_of_error(error.at(place), given.file, INVALID_CHECK_DIRECTIVE))
    said = {(found.rule, found.source, found.message) for found in findings}
    findings.extend(
        found
        for found in _warnings(subject, options)
        if (found.rule, found.source, found.message) not in said
    )
    warned = bool(options.error) and any(found.severity == WARNING for found in findings)
    failed = warned or any(found.severity == ERROR for found in findings)
    return Report(tuple(sorted(set(findings), key=_order)), failed)


def _order(finding: Finding) -> Tuple[str, int, str, str]:
    return finding.source.file, finding.source.start_line, finding.rule, finding.message


def _with_model(subject: Subject, dockerfile: Dockerfile) -> Subject:
    given = subject.given
    outer = global_scope(dockerfile, given.build_args, given.platform, given.target)
    triggers: Sequence[Sequence[Instruction]] = [()] * len(dockerfile.stages)
    graph = None
    try:
        graph = resolve_stages(dockerfile, given.build_args, given.target, given.platform)
        triggers = [[item.instruction for item in found] for found in graph.triggers]
    except ImageBuildError:  # lowering raises it again
        pass
    seen = tuple(views(dockerfile, given.build_args, outer, triggers))
    return Subject(given, subject.lexed, dockerfile, outer, parents(dockerfile, outer), seen, graph)


def _refused(subject: Subject) -> Iterable[ImageBuildError]:
    """What lowering says, with base images of which nothing is known; nothing of an instruction that uses variables
    whose values such an image may define."""
    given = subject.given
    args, target, platform = given.build_args, given.target, given.platform
    try:
        refs = base_refs(subject.dockerfile, build_args=args, target=target, platform=platform)
        lower(
            subject.dockerfile,
            bases=[_unknown_image(image) for image in refs],
            context=given.context,
            build_args=args,
            target=target,
            platform=platform,
        )
    except ImageBuildError as raised:
        doubtful = {
            view.instruction.source for view in subject.views if not view.known and not view.broken
        }
        certain = [error for error in _each(raised) if error.origin not in doubtful]
        return (*certain, *missing_sources(subject))
    return ()


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
