"""What rules look at: a Dockerfile as text, as a model and as stages with their variables, and what it is built with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import FrozenSet, Iterable, Iterator, List, Mapping, Optional, Tuple

from imagebuild.check.options import CheckOptions
from imagebuild.check.variables import Scope, View, value
from imagebuild.dockerfile.lexer import LexedFile, RawInstruction
from imagebuild.dockerfile.model import Dockerfile, Stage
from imagebuild.dockerfile.stage_graph import StageGraph
from imagebuild.errors import SourceRange
from imagebuild.llb.plan import ContextEntry, ResolvedBase, UnreadImage
from imagebuild.oci.descriptor import Platform

_COMMENT = re.compile(r"\s*#\s*(.*?)\s*\Z")


@dataclass(frozen=True)
class IgnoreFile:
    """The `.dockerignore` that counts; :param name: as messages name it."""

    name: str
    text: str


@dataclass(frozen=True)
class CheckInput:
    """A Dockerfile and all that it would be built with.

    :param file: its path as the user knows it.
    :param platforms: what is built for, each once.
    :param build_platform: what builds.
    :param context: without what `ignore` excludes.
    :param target: a stage's name or number, "" for the last one.
    :param shared_args: names of build arguments that are given to all Dockerfiles.
    :param used_args: names of build arguments that are used outside of the Dockerfile.
    :param options: what the user wants checked in all Dockerfiles.
    :param bases: images that were looked up; nothing is known of those that are not among them (see `bases`).
    :param unread: images that could not be.
    """

    text: str
    file: str
    platforms: Tuple[Platform, ...]
    build_platform: Platform
    context: Tuple[ContextEntry, ...] = ()
    ignore: Optional[IgnoreFile] = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    shared_args: FrozenSet[str] = frozenset()
    used_args: FrozenSet[str] = frozenset()
    options: CheckOptions = field(default_factory=CheckOptions)
    bases: Tuple[ResolvedBase, ...] = ()
    unread: Tuple[UnreadImage, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What is built for one platform.

    :param dockerfile: without stages where the text does not parse.
    :param outer: the variables that a FROM sees.
    :param parents: for each stage, the earlier one that it starts from.
    :param views: what each instruction sees, stage by stage.
    :param borrowed: the same of the triggers that base images have left, which are not the Dockerfile's to mend.
    :param bases: for each stage that starts from an image that is known, that image.
    :param graph: None where a FROM or a COPY --from is wrong.
    """

    given: CheckInput
    platform: Platform
    lexed: LexedFile
    dockerfile: Dockerfile
    outer: Scope
    parents: Tuple[Optional[int], ...] = ()
    views: Tuple[View, ...] = ()
    borrowed: Tuple[View, ...] = ()
    bases: Mapping[int, ResolvedBase] = field(default_factory=dict)
    graph: Optional[StageGraph] = None

    @property
    def stages(self) -> Tuple[Stage, ...]:
        return self.dockerfile.stages

    def value(self, view: View, word: str) -> Optional[str]:
        """`word` of an instruction, substituted; None where its variables have no known value."""
        if not view.scope.knows((word,)):
            return None
        return value(word, view.scope.env, self.dockerfile.escape)

    def lineage(self, stage: int) -> Iterator[int]:
        """A stage and all that it is built on."""
        at: Optional[int] = stage
        while at is not None:
            yield at
            at = self.parents[at]

    def raw(self, *keywords: str) -> Iterable[RawInstruction]:
        return (item for item in self.lexed.instructions if item.keyword in keywords)

    def line(self, number: int) -> SourceRange:
        return self.lexed.source.range(number, number)

    def comments_above(self, source: SourceRange) -> Tuple[str, ...]:
        """The comment lines right above an instruction; an empty one or a blank line parts them from those further up."""
        found: List[str] = []
        for number in range(source.start_line - 1, 0, -1):
            match = _COMMENT.match(self.lexed.source.lines[number - 1])
            if match is None or not match[1]:
                break
            found.insert(0, match[1])
        return tuple(found)
