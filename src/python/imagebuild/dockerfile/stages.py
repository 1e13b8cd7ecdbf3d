"""Which stages and images a target is made of: FROM, and the `from` of COPY and of mounts, before anything is looked at.

Triggers (ONBUILD) of a stage's base are instructions of the stage. Those of an image are known once it is resolved, and may
name further images, or need further stages: `resolve_stages` says more the more it is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from imagebuild.dockerfile.expand import expand
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.from_ import SCRATCH
from imagebuild.dockerfile.instructions.onbuild import Onbuild
from imagebuild.dockerfile.model import Dockerfile, Stage
from imagebuild.dockerfile.parse import parse_trigger
from imagebuild.dockerfile.platforms import check_platform, platform_args
from imagebuild.dockerfile.source import did_you_mean, printable, raise_all
from imagebuild.errors import DockerfileError, ImageBuildError, SourceRange, UndefinedStageError
from imagebuild.llb.plan import ResolvedBase
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.reference import ImageRef


@dataclass(frozen=True)
class TreeRef:
    """A filesystem to start from or to copy from: a stage, an image by its full name, or (neither) nothing."""

    stage: Optional[int] = None
    image: str = ""


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
    :param images: full names of the images that they are made of, in the order of their first use.
    :param places: for each image, what names it first.
    """

    global_args: Mapping[str, str]
    bases: Tuple[TreeRef, ...]
    triggers: Tuple[Tuple[Trigger, ...], ...]
    sources: Tuple[Mapping[str, TreeRef], ...]
    target: int
    needed: Tuple[int, ...]
    images: Tuple[str, ...]
    places: Tuple[SourceRange, ...]
    warnings: Tuple[str, ...]


def resolve_stages(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    target: str,
    platform: Platform,
    bases: Sequence[ResolvedBase] = (),
) -> StageGraph:
    """:param bases: images that are resolved; they keep their place at the front of `StageGraph.images`.
    :raises DockerfileError: for what a FROM, a `from` or a trigger gets wrong, in whatever stage; ManyErrors for several.
    """
    resolver = _Resolver(dockerfile, build_args, target, platform, bases)
    resolver.run()
    number = find_target(dockerfile, target)
    needed = _needed(number, resolver.bases, resolver.sources)
    places: Dict[str, SourceRange] = {}
    for stage in needed:
        for image, place in resolver.named[stage]:
            places.setdefault(image, place)
    known = [base.ref for base in bases if base.ref in places]
    images = (*known, *(image for image in places if image not in known))
    return StageGraph(
        resolver.global_args,
        tuple(resolver.bases),
        tuple(resolver.triggers),
        tuple(resolver.sources),
        number,
        needed,
        images,
        tuple(places[image] for image in images),
        tuple(resolver.warnings),
    )


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


def _needed(
    target: int, bases: List[TreeRef], sources: List[Dict[str, TreeRef]]
) -> Tuple[int, ...]:
    needed: Set[int] = set()
    todo = [target]
    while todo:
        stage = todo.pop()
        if stage not in needed:
            needed.add(stage)
            refs = (bases[stage], *sources[stage].values())
            todo.extend(ref.stage for ref in refs if ref.stage is not None)
    return tuple(sorted(needed))


class _Resolver:
    """One pass over the stages; a reference may only go up."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        build_args: Mapping[str, str],
        target: str,
        platform: Platform,
        bases: Sequence[ResolvedBase],
    ) -> None:
        self._file, self._build_args, self._platform = dockerfile, build_args, platform
        self._configs = {base.ref: base.config.config for base in bases}
        self._names: Dict[str, int] = {}
        self._errors: List[ImageBuildError] = []
        self.bases: List[TreeRef] = []
        self.triggers: List[Tuple[Trigger, ...]] = []
        self.named: List[List[Tuple[str, SourceRange]]] = []  # images of each stage
        self.sources: List[Dict[str, TreeRef]] = []
        self.warnings: List[str] = []
        automatic = platform_args(platform, target or dockerfile.stages[-1].name)
        self.global_args = {name: build_args.get(name, value) for name, value in automatic.items()}

    def run(self) -> None:
        for arg in self._file.global_args:
            for name, default in arg.args:
                try:
                    self._declare(name, default)
                except ImageBuildError as error:
                    self._errors.append(self._file.source.locate(error, arg.source, arg.KEYWORD))
        for stage in self._file.stages:
            try:
                self.bases.append(self._base(stage))
            except ImageBuildError as error:
                self._errors.append(self._file.source.locate(error, stage.base.source, "FROM"))
                self.bases.append(TreeRef())
            self.named.append([])
            self._name(self.bases[-1], stage.base)
            self.triggers.append(tuple(self._triggers(stage)))
            self.sources.append(dict(self._sources(stage)))
            if stage.name:
                self._names.setdefault(stage.name, stage.index)
        raise_all(self._errors)

    def _declare(self, name: str, default: Optional[str]) -> None:
        value = self._build_args.get(name)
        if value is None and default is not None:
            value = expand(default, self.global_args, self._file.escape)
        if value is not None:
            self.global_args[name] = value

    def _base(self, stage: Stage) -> TreeRef:
        base = stage.base
        if base.platform:
            check_platform(self._expand(base.platform, "the platform"), self._platform)
        image = self._expand(base.image, "the image")
        if image.lower() in self._names:
            return TreeRef(stage=self._names[image.lower()])
        if image == SCRATCH:
            return TreeRef()
        for later in self._file.stages[stage.index :]:
            if later.name and later.name == image.lower():
                self._warn(
                    base.source.start_line,
                    "FROM",
                    f'"{image}" is taken as an image; the stage comes later',
                )
        return TreeRef(image=_full_name(image))

    def _expand(self, text: str, what: str) -> str:
        unset: Set[str] = set()
        value = expand(text, self.global_args, self._file.escape, unset=unset)
        if value:
            return value
        names = ", ".join(sorted(unset))
        raise DockerfileError(
            f"{what} is empty: {text}" + (f" ({names} has no value here)" if names else ""),
            expected="a value from an ARG before the first FROM, or from a build argument",
            hint=f"give it a default: ARG {min(unset)}=... above the first FROM"
            if unset
            else "correct it",
        )

    def _name(self, ref: TreeRef, instruction: Instruction) -> None:
        if ref.image:
            self.named[-1].append((ref.image, instruction.source))

    def _triggers(self, stage: Stage) -> Iterator[Trigger]:
        """Those of its base: of an image that is resolved, or of the stage itself that it starts from."""
        ref = self.bases[stage.index]
        if ref.stage is not None:
            parent = self._file.stages[ref.stage]
            left = [item.trigger for item in parent.instructions if isinstance(item, Onbuild)]
            owner = f'the stage "{parent.label}"'
        else:
            left = list(self._configs[ref.image].on_build) if ref.image in self._configs else []
            owner = f'the image "{ref.image}"'
        for text in left:
            origin = f'the trigger "{printable(text[:100])}" of {owner}'
            try:
                yield Trigger(parse_trigger(text, stage.base.source), origin)
            except ImageBuildError as error:
                error.message = f"{origin}: {error.message}"
                self._errors.append(self._file.source.locate(error, stage.base.source, "FROM"))

    def _sources(self, stage: Stage) -> Iterator[Tuple[str, TreeRef]]:
        triggers = (trigger.instruction for trigger in self.triggers[stage.index])
        for instruction in (*triggers, *stage.instructions):
            for name in instruction.trees():
                try:
                    ref = self._source(stage, instruction, name)
                    self._name(ref, instruction)
                    yield name, ref
                except ImageBuildError as error:
                    place, keyword = instruction.source, instruction.KEYWORD
                    self._errors.append(self._file.source.locate(error, place, keyword))

    def _source(self, stage: Stage, instruction: Instruction, name: str) -> TreeRef:
        if name.lower() in self._names:
            return TreeRef(stage=self._names[name.lower()])
        if name.isascii() and name.isdigit():
            if len(name) < 9 and int(name) < stage.index:
                return TreeRef(stage=int(name))
            raise self._undefined(stage, name)
        if any(later.name == name.lower() for later in self._file.stages[stage.index :]):
            raise self._undefined(stage, name)
        if name == SCRATCH:
            return TreeRef()
        close = did_you_mean(name.lower(), self._names)
        if close:
            text = (
                f'"{name}" is no stage and is taken as an image (did you mean the stage "{close}"?)'
            )
            self._warn(instruction.source.start_line, instruction.KEYWORD, text)
        return TreeRef(image=_full_name(name))

    def _undefined(self, stage: Stage, name: str) -> UndefinedStageError:
        if name.lower() in (stage.name, str(stage.index)):
            return UndefinedStageError(
                f"--from={name} is this stage itself",
                expected="an earlier stage, or an image",
                hint="to copy within a stage, use cp in a RUN",
            )
        earlier = [other.label for other in self._file.stages[: stage.index]]
        return UndefinedStageError(
            f'--from={name} is not an earlier stage of this Dockerfile (this is stage "{stage.label}")',
            expected=f"one of {', '.join(earlier)}, or an image"
            if earlier
            else "an image: this is the first stage",
            hint="move the stage that it means above this one, or correct the name",
        )

    def _warn(self, line: int, keyword: str, text: str) -> None:
        self.warnings.append(f"{self._file.file}:{line}: {keyword}: {text}")


def _full_name(image: str) -> str:
    try:
        return str(ImageRef.parse(image))
    except ImageBuildError as error:
        raise DockerfileError(error.message, expected=error.expected, hint=error.hint) from None
