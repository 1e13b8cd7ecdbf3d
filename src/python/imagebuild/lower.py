"""From a Dockerfile to a plan: pure, and the same for everybody who has the same Dockerfile, arguments and files.

    bases = ()
    while len(refs := base_refs(dockerfile, bases=bases, ...)) > len(bases):   # ONBUILD of a base may name more
        bases += resolve(refs[len(bases):])
    plan = lower(dockerfile, bases=bases, context=..., ...)
    plan = plan.with_remotes(fetch(plan.remotes))                              # URLs and git repositories of ADD

Instructions know what they do to a stage (`Instruction.apply`); this module only walks the stages that the target needs,
numbers the steps, and keeps what is hashed apart from where it came from.
"""

from __future__ import annotations

from typing import AbstractSet, Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from imagebuild.dockerfile.context import Context
from imagebuild.dockerfile.instructions.base import Instruction
from imagebuild.dockerfile.instructions.variables import Arg
from imagebuild.dockerfile.model import Dockerfile, Stage
from imagebuild.dockerfile.mounts import CACHE_NAMESPACE
from imagebuild.dockerfile.source import raise_all
from imagebuild.dockerfile.stage_graph import StageGraph, TreeRef
from imagebuild.dockerfile.stages import resolve_stages
from imagebuild.errors import ImageBuildError
from imagebuild.llb.ops import EnvVars
from imagebuild.llb.plan import (
    ContextEntry,
    ContextInput,
    Origin,
    Plan,
    PlannedHistory,
    PlannedStep,
    RemoteSource,
    ResolvedBase,
    State,
    StepInput,
    TreeInput,
    WantedImage,
)
from imagebuild.llb.state import Build, Change, StageState, evolve, implicit_path
from imagebuild.oci.config import Config
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.platforms import distance

HISTORY_COMMENT = "pants-kaniko"
_PROXY_ARGS = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})


def base_refs(
    dockerfile: Dockerfile,
    *,
    build_args: Mapping[str, str],
    target: str,
    platform: Platform,
    bases: Sequence[ResolvedBase] = (),
    build_platform: Optional[Platform] = None,
) -> Tuple[WantedImage, ...]:
    """The images that `target` starts from or reads, unique: those of `bases`, and more where their triggers name more;
    otherwise in the order of their first use.

    :param target: a stage's name or number, "" for the last one.
    :param platform: what is built for.
    :param bases: those that are resolved already.
    :param build_platform: what builds; None where that is the same.
    :raises DockerfileError: for a FROM, a `from` or a trigger that is wrong, in whatever stage.
    """
    return resolve_stages(dockerfile, build_args, target, platform, bases, build_platform).images


def lower(
    dockerfile: Dockerfile,
    *,
    bases: Sequence[ResolvedBase],
    context: Sequence[ContextEntry],
    build_args: Mapping[str, str],
    target: str,
    platform: Platform,
    network: str = "host",
    labels: Sequence[Tuple[str, str]] = (),
    shared_args: AbstractSet[str] = frozenset(),
    build_platform: Optional[Platform] = None,
) -> Plan:
    """The plan for `target` on one platform; `llb.platforms` puts those for several together.

    :param bases: resolved, in the order of `base_refs`.
    :param context: without what .dockerignore excludes.
    :param network: "host" or "none", for a RUN that does not say.
    :param labels: set on top of those of the Dockerfile.
    :param shared_args: names of build arguments that are given to all Dockerfiles, so that one which declares them not is
        nothing to warn about.
    :param build_platform: as in `base_refs`.
    :raises DockerfileError: and ContextError, for what only shows with arguments and files; ManyErrors for several.
    """
    graph = resolve_stages(dockerfile, build_args, target, platform, bases, build_platform)
    if len(bases) != len(graph.images):
        raise ValueError(f"{len(bases)} bases for the images {graph.images}")
    build = Build(
        platform, network, dockerfile.escape, build_args, graph.global_args, Context(context)
    )
    lowering = _Lowering(dockerfile, graph, build, bases)
    for number in graph.needed:
        lowering.stage(dockerfile.stages[number])
    raise_all(lowering.errors)
    state = lowering.states[graph.target]
    return Plan(
        bases=tuple(bases),
        steps=tuple(lowering.steps),
        origins=tuple(lowering.origins),
        target=state.tree,
        target_base=state.base,
        platform=platform,
        config=_labelled(state.config, labels),
        author=state.author,
        history=state.history,
        warnings=(
            *dockerfile.warnings,
            *graph.warnings,
            *lowering.warnings,
            *_undeclared(dockerfile, build_args.keys() - shared_args, graph.global_args),
        ),
        proxy_env=_proxy_env(dockerfile, build_args),
        remotes=tuple(lowering.remotes),
        image_platform=_other(graph.platforms[graph.target], platform),
    )


class _Lowering:
    """Stages to steps; what is wrong is collected."""

    def __init__(
        self, dockerfile: Dockerfile, graph: StageGraph, build: Build, bases: Sequence[ResolvedBase]
    ) -> None:
        self._file, self._graph, self._build, self._bases = dockerfile, graph, build, bases
        self.steps: List[PlannedStep] = []
        self.origins: List[Origin] = []
        self.states: Dict[int, StageState] = {}
        self.warnings: List[str] = []
        self.errors: List[ImageBuildError] = []
        self.remotes: Dict[RemoteSource, int] = {}

    def stage(self, stage: Stage) -> None:
        try:
            state = self._start(stage)
        except ImageBuildError as error:
            self.errors.append(self._file.source.locate(error, stage.base.source, "FROM"))
            state = self._fresh(Config(), State())
        sources = self._graph.sources[stage.index]
        state = evolve(state, sources={name: self._tree(ref) for name, ref in sources.items()})
        for trigger in self._graph.triggers[stage.index]:
            state = self._apply(stage, trigger.instruction, state, trigger.origin)
        for instruction in stage.instructions:
            state = self._apply(stage, instruction, state)
        self.states[stage.index] = state

    def _start(self, stage: Stage) -> StageState:
        ref = self._graph.bases[stage.index]
        if ref.stage is not None:
            parent = self.states[ref.stage]
            env = {**parent.env, **dict(parent.config.env)}
            state = evolve(parent, env=env, cmd_set=False)
            return state.with_config(on_build=())
        if not ref.image:
            return self._fresh(Config(), State())
        number = self._number(ref)
        config = self._bases[number].config.config
        self._check_platform(stage, self._bases[number])
        config = evolve(config, on_build=())
        return evolve(self._fresh(config, State(base=number)), base=number)

    def _check_platform(self, stage: Stage, base: ResolvedBase) -> None:
        """A name that stands for one image gives that, whatever is asked for."""
        wanted, found = self._graph.platforms[stage.index], base.config.platform
        if distance(found, wanted) is None:
            text = f'the image "{base.ref}" is for {found}, and is taken for {wanted}: it is there for no other'
            self.warnings.append(f"{stage.base.source}: FROM: {text}")

    def _fresh(self, config: Config, tree: State) -> StageState:
        config = implicit_path(config)
        return StageState(self._build, config, tree, env=dict(config.env))

    def _tree(self, ref: TreeRef) -> State:
        if ref.stage is not None:
            return self.states[ref.stage].tree
        return State(base=self._number(ref)) if ref.image else State()

    def _number(self, ref: TreeRef) -> int:
        assert ref.wanted, "an image has a platform"
        return self._graph.images.index(ref.wanted)

    def _apply(
        self, stage: Stage, instruction: Instruction, state: StageState, trigger: str = ""
    ) -> StageState:
        """:param trigger: where `instruction` comes from, when it is not one of the Dockerfile."""
        keyword = f"FROM: {trigger}" if trigger else instruction.KEYWORD
        try:
            change = instruction.apply(state)
        except ImageBuildError as error:
            self.errors.append(self._file.source.locate(error, instruction.source, keyword))
            return state
        for text in change.warnings:
            self.warnings.append(f"{instruction.source}: {keyword}: {text}")
        return self._planned(stage, instruction, state.tree, change)

    def _planned(
        self, stage: Stage, instruction: Instruction, parent: State, change: Change
    ) -> StageState:
        news: Dict[str, Any] = {}
        number = None
        if change.op is not None:
            number = len(self.steps)
            inputs = tuple(map(self._input, change.inputs))
            platform = _other(self._graph.platforms[stage.index], self._build.platform)
            self.steps.append(PlannedStep(change.op, parent, inputs, platform))
            text = " ".join(instruction.text.split())
            self.origins.append(Origin(instruction.source, text, stage.label))
            news["tree"] = State(step=number)
        if change.created_by is not None:
            entry = PlannedHistory(change.created_by, number, HISTORY_COMMENT)
            news["history"] = (*change.state.history, entry)
        return evolve(change.state, **news) if news else change.state

    def _input(self, item: Union[StepInput, RemoteSource]) -> StepInput:
        """What is fetched is a tree behind those of the images."""
        if isinstance(item, (ContextInput, TreeInput)):
            return item
        number = self.remotes.setdefault(item, len(self.remotes))
        return TreeInput(State(base=len(self._bases) + number))


def _other(platform: Platform, usual: Platform) -> Optional[Platform]:
    return None if platform == usual else platform


def _labelled(config: Config, labels: Sequence[Tuple[str, str]]) -> Config:
    return evolve(config, labels=tuple(sorted({**dict(config.labels), **dict(labels)}.items())))


def _declared(dockerfile: Dockerfile) -> List[str]:
    instructions = [item for stage in dockerfile.stages for item in stage.instructions]
    args = (item for item in (*dockerfile.global_args, *instructions) if isinstance(item, Arg))
    return [name for arg in args for name, _ in arg.args]


def _proxy_env(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> EnvVars:
    given = {name for name in build_args if name.lower() in _PROXY_ARGS}
    return tuple(
        (name, build_args[name]) for name in sorted(given.difference(_declared(dockerfile)))
    )


def _undeclared(
    dockerfile: Dockerfile, names: AbstractSet[str], global_args: Mapping[str, str]
) -> Tuple[str, ...]:
    """Warnings for build arguments that nothing takes up."""
    known = {CACHE_NAMESPACE, *global_args, *_declared(dockerfile)}
    odd = {name for name in names - known if name.lower() not in _PROXY_ARGS}
    return tuple(
        f'{dockerfile.file}: the build argument "{name}" is declared by no ARG and has no effect'
        for name in sorted(odd)
    )
