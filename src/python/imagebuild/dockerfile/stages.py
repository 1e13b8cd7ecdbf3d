"""Which stages and images a target is made of: FROM, and the `from` of COPY and of mounts, before anything is looked at.

Triggers (ONBUILD) of a stage's base are instructions of the stage. Those of an image are known once it is resolved, and may
name further images, or need further stages: `resolve_stages` says more the more it is told.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from imagebuild.dockerfile.expand import expand
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.from_ import SCRATCH
from imagebuild.dockerfile.instructions.onbuild import Onbuild
from imagebuild.dockerfile.model import Dockerfile, Stage
from imagebuild.dockerfile.parse import parse_trigger
from imagebuild.dockerfile.platforms import platform_args, read_platform
from imagebuild.dockerfile.source import did_you_mean, printable, raise_all
from imagebuild.dockerfile.stage_graph import (
    StageGraph,
    TreeRef,
    Trigger,
    find_target,
    needed_stages,
)
from imagebuild.errors import DockerfileError, ImageBuildError, SourceRange, UndefinedStageError
from imagebuild.llb.plan import ResolvedBase, WantedImage
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.reference import ImageRef


def resolve_stages(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    target: str,
    platform: Platform,
    bases: Sequence[ResolvedBase] = (),
    build_platform: Optional[Platform] = None,
) -> StageGraph:
    """:param platform: what is built for.
    :param bases: images that are resolved; they keep their place at the front of `StageGraph.images`.
    :param build_platform: what builds; None where that is the same.
    :raises DockerfileError: for what a FROM, a `from` or a trigger gets wrong, in whatever stage; ManyErrors for several.
    """
    automatic = platform_args(platform, target or dockerfile.stages[-1].name, build_platform)
    resolver = _Resolver(dockerfile, build_args, automatic, platform, bases)
    resolver.run()
    number = find_target(dockerfile, target)
    needed = needed_stages(number, resolver.bases, resolver.sources)
    places: Dict[WantedImage, SourceRange] = {}
    for stage in needed:
        for image, place in resolver.named[stage]:
            places.setdefault(image, place)
    known = [image for image in _images(bases, platform) if image in places]
    images = (*known, *(image for image in places if image not in known))
    return StageGraph(
        resolver.global_args,
        tuple(resolver.bases),
        tuple(resolver.triggers),
        tuple(resolver.sources),
        tuple(resolver.platforms),
        number,
        needed,
        images,
        tuple(places[image] for image in images),
        tuple(resolver.warnings),
    )


def _images(bases: Sequence[ResolvedBase], platform: Platform) -> Tuple[WantedImage, ...]:
    return tuple(WantedImage(base.ref, base.platform or platform) for base in bases)


class _Resolver:
    """One pass over the stages; a reference may only go up."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        build_args: Mapping[str, str],
        automatic: Mapping[str, str],
        platform: Platform,
        bases: Sequence[ResolvedBase],
    ) -> None:
        self._file, self._build_args, self._platform = dockerfile, build_args, platform
        configs = (base.config.config for base in bases)
        self._configs = dict(zip(_images(bases, platform), configs))
        self._names: Dict[str, int] = {}
        self._errors: List[ImageBuildError] = []
        self.bases: List[TreeRef] = []
        self.triggers: List[Tuple[Trigger, ...]] = []
        self.platforms: List[Platform] = []
        self.named: List[List[Tuple[WantedImage, SourceRange]]] = []  # images of each stage
        self.sources: List[Dict[str, TreeRef]] = []
        self.warnings: List[str] = []
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
            self.platforms.append(self._platform_of(self.bases[-1]))
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
        platform = self._platform
        if base.platform:
            platform = read_platform(self._expand(base.platform, "the platform"), platform)
        image = self._expand(base.image, "the image")
        if image.lower() in self._names:
            return TreeRef(stage=self._names[image.lower()])
        if image == SCRATCH:
            return TreeRef(platform=platform)
        for later in self._file.stages[stage.index :]:
            if later.name and later.name == image.lower():
                self._warn(
                    base.source.start_line,
                    "FROM",
                    f'"{image}" is taken as an image; the stage comes later',
                )
        return TreeRef(image=_full_name(image), platform=platform)

    def _platform_of(self, ref: TreeRef) -> Platform:
        """A stage on another one runs on what that runs on, whatever its own --platform says, as in BuildKit."""
        if ref.stage is not None:
            return self.platforms[ref.stage]
        return ref.platform or self._platform

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
        if ref.wanted:
            self.named[-1].append((ref.wanted, instruction.source))

    def _triggers(self, stage: Stage) -> Iterator[Trigger]:
        """Those of its base: of an image that is resolved, or of the stage itself that it starts from."""
        ref = self.bases[stage.index]
        if ref.stage is not None:
            parent = self._file.stages[ref.stage]
            left = [item.trigger for item in parent.instructions if isinstance(item, Onbuild)]
            owner = f'the stage "{parent.label}"'
        else:
            known = self._configs.get(ref.wanted) if ref.wanted else None
            left = list(known.on_build) if known else []
            owner = f'the image "{ref.image}"'
        for text in left:
            origin = f'the trigger "{printable(text[:100])}" of {owner}'
            try:
                yield Trigger(parse_trigger(text, stage.base.source), origin)
            except ImageBuildError as error:
                error.message = f"{origin}: {error.message}"
                self._errors.append(self._file.source.locate(error, stage.base.source, "FROM"))

    def _sources(self, stage: Stage) -> Iterator[Tuple[str, TreeRef]]:
        triggers = self.triggers[stage.index]
        origins = {number: f"FROM: {trigger.origin}" for number, trigger in enumerate(triggers)}
        instructions = (*(trigger.instruction for trigger in triggers), *stage.instructions)
        for number, instruction in enumerate(instructions):
            for name in instruction.trees():
                try:
                    ref = self._source(stage, instruction, name)
                    self._name(ref, instruction)
                    yield name, ref
                except ImageBuildError as error:
                    place, keyword = instruction.source, origins.get(number, instruction.KEYWORD)
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
        return TreeRef(image=_full_name(name), platform=self._platform)

    def _undefined(self, stage: Stage, name: str) -> UndefinedStageError:
        if name.lower() in (stage.name, str(stage.index)):
            return UndefinedStageError(
                f"from={name} is this stage itself",
                expected="an earlier stage, or an image",
                hint="to copy within a stage, use cp in a RUN",
            )
        earlier = [other.label for other in self._file.stages[: stage.index]]
        return UndefinedStageError(
            f'from={name} is not an earlier stage of this Dockerfile (this is stage "{stage.label}")',
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
