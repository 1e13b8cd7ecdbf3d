"""Steps whose keys are golden: every op, mount and flag by hand, each member with another value than its default."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from imagebuild import canonical
from imagebuild.llb.keys import GraphBase, StepGraph, content_step, input_steps
from imagebuild.llb.ops import (
    BindMount,
    CacheMount,
    CopyAction,
    ExecOp,
    FileOp,
    InlineFile,
    MkdirAction,
    Mount,
    Op,
    ScriptMount,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from imagebuild.llb.plan import ContextInput, PlannedStep, State, StepInput, TreeInput
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash

EPOCH = 1_577_836_800
AMD64 = Platform("linux", "amd64")
DIFF_ID = Hash.of(b"layer")
_BLOB = Descriptor(media_types.OCI_LAYER_GZIP, Hash.of(b"blob"), 10)
_BASE = GraphBase("example.com/base", Hash.of(b"manifest"), (Layer(DIFF_ID, _BLOB),))
_CONTEXT = ContextInput(Hash.of(b"context"), ("a", "b"))
_ON_BASE = State(base=0)
_TREE = TreeInput(State(step=0))
_FIRST = PlannedStep(FileOp((MkdirAction("/first", 0o755),)), State())


def graph(*steps: PlannedStep, platform: Platform = AMD64, epoch: Any = EPOCH) -> StepGraph:
    return StepGraph((_BASE,), (_FIRST, *steps), platform, epoch)


def one(op: Op, *inputs: StepInput, over: State = _ON_BASE, **options: Any) -> StepGraph:
    """A graph whose last step is `op`; what it copies from is the first."""
    return graph(PlannedStep(op, over, inputs), **options)


def run(*mounts: Mount, **members: Any) -> ExecOp:
    given = {"args": ("/bin/sh", "-c", "make"), "env": (("PATH", "/bin"),), "cwd": "/", "user": ""}
    return ExecOp(**{**given, "network": "host", "mounts": mounts, **members})


def copy(*sources: str, link: bool = False, **members: Any) -> FileOp:
    given: Dict[str, Any] = {"input": 0, "sources": sources, "dest": "/dest", "dest_is_dir": True}
    return FileOp((CopyAction(**{**given, **members}),), link)


OPS: Dict[str, StepGraph] = {
    "exec": one(run()),
    "exec-over-scratch": one(run(), over=State()),
    "exec-over-a-step": one(run(), over=State(step=0)),
    "exec-argv": one(run(args=("make", "all", ""))),
    "exec-argv-not-ascii": one(run(args=("echo", "é\u2028\udcff\n\0\\"))),
    "exec-env": one(run(env=(("EMPTY", ""), ("PATH", "/bin:/sbin")))),
    "exec-cwd": one(run(cwd="/srv")),
    "exec-user": one(run(user="app:staff")),
    "exec-network-none": one(run(network="none")),
    "exec-platform": one(run(), platform=Platform("linux", "arm", "v7")),
    "exec-real-times": one(run(), epoch=None),
    "exec-epoch-0": one(run(), epoch=0),
    "bind": one(run(BindMount("/src", 0)), _CONTEXT),
    "bind-all": one(run(BindMount("/src", 0, "/lib", True)), _TREE),
    "cache": one(run(CacheMount("/cache", "id"))),
    "cache-all": one(
        run(CacheMount("/cache", "id", "locked", True, 0, "/lib", 0o700, 1000, 50)), _TREE
    ),
    "cache-private": one(run(CacheMount("/cache", "id", "private"))),
    "tmpfs": one(run(TmpfsMount("/tmp"))),
    "tmpfs-all": one(run(TmpfsMount("/tmp", 1 << 20))),
    "secret": one(run(SecretMount("token", "/run/secrets/token"))),
    "secret-all": one(run(SecretMount("token", "/t", "TOKEN", True, 0o440, 1000, 50))),
    "ssh": one(run(SshMount("/run/buildkit/ssh_agent.0"))),
    "ssh-all": one(run(SshMount("/agent", "other", True, 0o666, 1000, 50))),
    "script": one(run(ScriptMount("/dev/pipes/EOF", "#!/bin/sh\nmake\n"))),
    "mounts-in-their-order": one(run(TmpfsMount("/a"), CacheMount("/a/b", "x"), TmpfsMount("/c"))),
    "copy": one(copy("a", "b"), _CONTEXT),
    "copy-to-a-name": one(copy("a", dest_is_dir=False), _CONTEXT),
    "copy-from-a-tree": one(copy("a", keep_owner=True), _TREE),
    "copy-owner": one(copy("a", owner="app:staff"), _CONTEXT),
    "copy-mode": one(copy("a", mode=0o4755), _CONTEXT),
    "copy-mode-0": one(copy("a", mode=0), _CONTEXT),
    "copy-symbolic-mode": one(copy("a", symbolic_mode="u=rwX,go="), _CONTEXT),
    "copy-unpack": one(copy("a.tar", unpack=True), _CONTEXT),
    "copy-files": one(copy(files=(InlineFile("EOF", "é\udcff\n"), InlineFile("b", "")))),
    "copy-exclude": one(copy("a", exclude=("*.pyc", "!b")), _CONTEXT),
    "copy-parents": one(copy("a/./b", parents=True), _CONTEXT),
    "copy-link": one(copy("a", link=True), _CONTEXT),
    "exec-over-a-link": graph(
        PlannedStep(copy("a", link=True), _ON_BASE, (_CONTEXT,)),
        PlannedStep(run(), State(step=1)),
    ),
    "copy-several-actions": one(
        FileOp((CopyAction(0, ("a",), "/x", False), CopyAction(1, ("b",), "/y", True))),
        _CONTEXT,
        _TREE,
    ),
    "mkdir": one(FileOp((MkdirAction("/srv", 0o755),))),
    "mkdir-owner": one(FileOp((MkdirAction("/srv", 0o700, "app"),))),
}


def keys_of(graph: StepGraph) -> Dict[str, Any]:
    """Both keys of every step, and what they are the hashes of. Trees are one layer each."""
    steps = []
    for number, preimage in enumerate(input_steps(graph)):
        inputs = tuple(
            item.digest if isinstance(item, ContextInput) else Hash.of(b"files")
            for item in graph.steps[number].inputs
        )
        content = content_step(graph, number, _parents(graph.steps[number].over), inputs)
        steps.append(
            {
                "input_key": str(canonical.fingerprint(preimage)),
                "input": canonical.encode(preimage),
                "content_key": str(canonical.fingerprint(content)),
                "content": canonical.encode(content),
            }
        )
    return {"steps": steps}


def _parents(over: State) -> Tuple[Hash, ...]:
    return () if over == State() else (DIFF_ID,)
