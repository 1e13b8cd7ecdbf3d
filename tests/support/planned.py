"""A plan of four steps over one base image, for tests that need no engine."""

from __future__ import annotations

from typing import Dict

from pants.engine.addresses import Address
from pants.engine.fs import EMPTY_DIGEST, Directory, FileDigest, FileEntry, SymlinkEntry

from imagebuild.errors import SourceRange
from imagebuild.execute.requests import CacheOptions, LayerSource
from imagebuild.llb.keys import StepGraph, input_steps
from imagebuild.llb.ops import CopyAction, ExecOp, FileOp
from imagebuild.llb.plan import (
    ContextInput,
    Origin,
    Plan,
    PlannedStep,
    ResolvedBase,
    State,
    TreeInput,
)
from imagebuild.oci.config import Config, ConfigFile
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash
from imagebuild.registry.options import RegistryOptions
from pants_kaniko.calls import Executor
from pants_kaniko.plans import Entry, PlanHandle, Settings
from pants_kaniko.requests import (
    BUILT,
    BuiltStep,
)

HERE = Platform("linux", "amd64")
EXECUTOR = Executor(EMPTY_DIGEST, "/usr/bin/python3", resident=True)
SECRETS = {
    "HOME": "/home/canary",
    "DOCKER_CONFIG": "/home/canary/.docker",
    "HTTP_PROXY": "http://canary",
}
REGISTRY_HOST = "canary.example:5000"


def layer(name: str) -> Layer:
    return Layer(Hash.of(name.encode()), Descriptor("x", Hash.of(b"gz" + name.encode()), len(name)))


def run(command: str) -> ExecOp:
    return ExecOp(("/bin/sh", "-c", command), (), "/", "", "host")


COPY = FileOp((CopyAction(0, ("a",), "/a", False),))
CONTEXT = ContextInput(Hash.of(b"context"), ("dir", "dir/file", "link"))
BASE = ResolvedBase(
    "docker.io/library/debian:12",
    "docker.io/library/debian",
    Descriptor("m", Hash.of(b"manifest"), 8),
    ConfigFile(HERE, diff_ids=(layer("base").diff_id,)),
    (layer("base"),),
)
STEPS = (
    PlannedStep(run("make"), State(base=0)),
    PlannedStep(COPY, State(step=0), (CONTEXT,)),
    PlannedStep(run("test"), State(step=1)),
    PlannedStep(COPY, State(base=0), (TreeInput(State(step=2)),)),
)
TEXTS = ("RUN make", "COPY a /a", "RUN test", "COPY --from=build a /a")


def handle(*, repository: str = "", use_cache: bool = True, ttl: int = 0) -> PlanHandle:
    origins = tuple(
        Origin(
            SourceRange("app/Dockerfile", number + 2, number + 2),
            text,
            "build" if number < 3 else "1",
        )
        for number, text in enumerate(TEXTS)
    )
    plan = Plan((BASE,), STEPS, origins, State(step=3), 0, HERE, Config(), "", ())
    graph = StepGraph.of(plan, 0)
    settings = Settings(
        CacheOptions(repository, ttl=ttl),
        use_cache,
        (RegistryOptions(REGISTRY_HOST),),
        "auto",
        "gzip",
        0,
    )
    files: Dict[str, Entry] = {
        "dir": Directory("app/dir"),
        "dir/file": FileEntry("app/dir/file", FileDigest("0" * 64, 3), True),
        "link": SymlinkEntry("app/link", "dir"),
        "other": SymlinkEntry("app/other", "dir"),
    }
    return PlanHandle(
        "f", Address("app"), settings, plan, graph, input_steps(graph), files, (("excerpt",),) * 4
    )


def built(number: int, origin: str = BUILT, *, unpacked: bool = True) -> BuiltStep:
    names = ["base", *(f"step {done}" for done in range(number + 1))]
    chain = tuple(LayerSource(layer(name)) for name in names)
    return BuiltStep(number, chain, chain[-1].layer, origin, unpacked=unpacked)
