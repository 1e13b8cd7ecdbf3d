"""What a stage has come to, instruction by instruction: the image's config so far, its variables, its filesystem."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Mapping, Optional, Tuple, TypeVar, Union

from imagebuild.llb.ops import Op
from imagebuild.llb.plan import PlannedHistory, RemoteSource, State, StepInput
from imagebuild.oci.config import Config
from imagebuild.oci.descriptor import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


_V = TypeVar("_V")


def evolve(value: _V, **members: Any) -> _V:
    """As `dataclasses.replace`, ten times as fast: for values whose fields are all there is to them.

    A plan of 80 instructions makes hundreds of states, and waits in a Pants rule.
    """
    new = object.__new__(type(value))
    new.__dict__.update(value.__dict__, **members)
    return new


@dataclass(frozen=True)
class Build:
    """What all stages of a build share.

    :param global_args: values in scope before the first FROM: the platform's and those of ARG.
    :param context: the files that a COPY may select (a `dockerfile.context.Context`).
    :param network: "host" or "none", for a RUN that does not say.
    """

    platform: Platform
    network: str
    escape: str
    build_args: Mapping[str, str]
    global_args: Mapping[str, str]
    context: Any


@dataclass(frozen=True)
class StageState:
    """A value; every ``with_*`` returns a new one.

    :param env: what a RUN sees and what is substituted: ENV and ARG, the later declaration wins.
    :param args: ARGs declared so far, with None for those without a value.
    :param sources: filesystems that COPY --from and mounts name, as written there.
    :param cmd_set: a CMD of this stage, so that ENTRYPOINT does not reset it.
    """

    build: Build
    config: Config
    tree: State
    base: Optional[int] = None
    env: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, Optional[str]] = field(default_factory=dict)
    sources: Mapping[str, State] = field(default_factory=dict)
    author: str = ""
    history: Tuple[PlannedHistory, ...] = ()
    cmd_set: bool = False
    workdir_set: bool = False

    @property
    def cwd(self) -> str:
        return absolute(self.config.working_dir, "/")

    @property
    def shell(self) -> Tuple[str, ...]:
        return self.config.shell or DEFAULT_SHELL

    def with_config(self, **members: Any) -> StageState:
        return evolve(self, config=evolve(self.config, **members))

    def with_variable(self, name: str, value: str) -> StageState:
        """A variable for what follows; not a part of the image's config."""
        return evolve(self, env={**self.env, name: value})

    def with_env(self, name: str, value: str) -> StageState:
        """ENV: a variable for what follows and for the image; a known name keeps its place."""
        env = dict(self.config.env)
        env[name] = value
        return self.with_config(env=tuple(env.items())).with_variable(name, value)

    def with_arg(self, name: str, value: Optional[str]) -> StageState:
        state = evolve(self, args={**self.args, name: value})
        return state if value is None else state.with_variable(name, value)


@dataclass(frozen=True)
class Change:
    """What one instruction does to a stage.

    :param created_by: its line in the image's history, None for none.
    :param op: the step that makes its layer, if it makes one; `inputs` are what the step reads, also from elsewhere.
    """

    state: StageState
    created_by: Optional[str]
    op: Optional[Op] = None
    inputs: Tuple[Union[StepInput, RemoteSource], ...] = ()
    warnings: Tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def absolute(path: str, cwd: str) -> str:
    """`path` against `cwd`, cleaned: absolute, no trailing slash, and ".." at the root stays there."""
    joined = posixpath.normpath(posixpath.join("/", cwd, path))
    return "/" + joined.lstrip("/")


def implicit_path(config: Config) -> Config:
    """`config` with the default PATH where it has none."""
    if any(name == "PATH" for name, _ in config.env):
        return config
    return evolve(config, env=(*config.env, ("PATH", DEFAULT_PATH)))
