"""What stages are made of, and which of them a target needs: the answer of ``stages.resolve_stages``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional, Sequence, Set, Tuple

from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.model import Dockerfile
from imagebuild.dockerfile.source import did_you_mean
from imagebuild.errors import SourceRange, UndefinedStageError
from imagebuild.llb.plan import WantedImage
from imagebuild.oci.descriptor import Platform


@dataclass(frozen=True)
class TreeRef:
    """A filesystem to start from or to copy from: a stage, an image by its full name, or (neither) nothing.

    :param platform: of the image, or of what starts from nothing.
    """

    stage: Optional[int] = None
    image: str = ""
    platform: Optional[Platform] = None

    @property
    def wanted(self) -> Optional[WantedImage]:
        return WantedImage(self.image, self.platform) if self.image and self.platform else None


@dataclass(frozen=True)
class Trigger:
    """An instruction that ONBUILD has left; :param origin: who left it, for errors."""

    instruction: Instruction
    origin: str


@dataclass(frozen=True)
class StageGraph:
    """Every stage's references, and what a target needs.

    :param bases: what each stage starts from.
    :param triggers: for each stage, those of what it starts from; they come before its own instructions.
    :param sources: for each stage, what its instructions read from, as they name it.
    :param needed: stages that `target` is made of, in the order of the file; `target` among them.
    :param platforms: what each stage's commands run on, as FROM --platform says, or else what is built for.
    :param images: the images that they are made of, in the order of their first use.
    :param places: for each image, what names it first.
    """

    global_args: Mapping[str, str]
    bases: Tuple[TreeRef, ...]
    triggers: Tuple[Tuple[Trigger, ...], ...]
    sources: Tuple[Mapping[str, TreeRef], ...]
    platforms: Tuple[Platform, ...]
    target: int
    needed: Tuple[int, ...]
    images: Tuple[WantedImage, ...]
    places: Tuple[SourceRange, ...]
    warnings: Tuple[str, ...]


def find_target(dockerfile: Dockerfile, target: str) -> int:
    """The stage that `target` names, by name or number; the last one for "".

    :raises UndefinedStageError: for no such stage.
    """
    if not target:
        return len(dockerfile.stages) - 1
    for stage in dockerfile.stages:
        if target.lower() == stage.name or target == str(stage.index):
            return stage.index
    names = [stage.label for stage in dockerfile.stages]
    close = did_you_mean(target.lower(), names)
    raise UndefinedStageError(
        f'{dockerfile.file}: there is no stage "{target}" to build',
        expected=f"one of {', '.join(names)}",
        hint=f"did you mean {close}?" if close else "correct the target stage",
    )


def needed_stages(
    target: int, bases: Sequence[TreeRef], sources: Sequence[Mapping[str, TreeRef]]
) -> Tuple[int, ...]:
    """`target` and what it is made of, in the order of the file."""
    needed: Set[int] = set()
    todo = [target]
    while todo:
        stage = todo.pop()
        if stage not in needed:
            needed.add(stage)
            refs = (bases[stage], *sources[stage].values())
            todo.extend(ref.stage for ref in refs if ref.stage is not None)
    return tuple(sorted(needed))
