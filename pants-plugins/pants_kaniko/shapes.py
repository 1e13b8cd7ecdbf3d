"""Every process that rules run, as plain functions from values to values: no rule builds one itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Mapping, Optional, Sequence, Tuple

from pants.engine.fs import (
    EMPTY_DIGEST,
    Digest,
    Directory,
    FileEntry,
    SymlinkEntry,
)
from pants.engine.process import Process, ProcessCacheScope
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from imagebuild import canonical
from imagebuild.execute import pure_requests as pure
from imagebuild.execute import requests as wire
from imagebuild.execute.credentials import secrets_for, ssh_for, ssh_for_remotes
from imagebuild.execute.requests import LayerSource
from imagebuild.llb.ops import ExecOp
from imagebuild.llb.plan import WantedImage
from imagebuild.oci.hash import Hash
from imagebuild.registry.options import RegistryOptions
from imagebuild.store.scratch import WORK
from pants_kaniko import remotes
from pants_kaniko.calls import Daemon, Executor, ExecutorCall
from pants_kaniko.plans import Entry, PlanHandle, step_title
from pants_kaniko.ready import Ready
from pants_kaniko.requests import BuildStep, BuiltStep
from pants_kaniko.sandbox import context_paths, plain_files
from pants_kaniko.stack import parents_of, pushed_at_once
from pants_kaniko.subsystem import EFFECT_ENV

EXECUTOR_DIR = ".kaniko"
MAIN = "main.py"
STORE, PYTHONS = "kaniko_store", "kaniko_pythons"
CACHES = {STORE: STORE, PYTHONS: PYTHONS}
"""Named caches, which processes see under their own names."""
REQUEST, CONTEXT = "request.json", "context"

EXIT_OK = 0
EXIT_LAYER_MISSING = 74

PYTHON_FLAGS = ("-s", "-S", "-E", "-B", "-X", "utf8")
"""Nothing of the user's Python: no site-packages, no PYTHON* variables; and nothing is written beside the modules. No -W:
`warnings` would be loaded for it, and with that a fifth of what a small step loads."""

SERVER_FLAGS = ("-cp", EXECUTOR_DIR, "kaniko-executor")
"""How a command line that a server may run is split: in front what starts the server, behind what it is asked."""


def executor_argv(
    executor: Executor, subcommand: str, root: str = "", server: Tuple[str, ...] = ()
) -> Tuple[str, ...]:
    """:param root: the sandbox, with a slash at its end, where it is not the working directory.
    :param server: `SERVER_FLAGS` for what a server may run.
    """
    return (
        f"{root}{executor.link}" if executor.link else executor.python,
        *PYTHON_FLAGS,
        f"{root}{EXECUTOR_DIR}/{MAIN}",
        *server,
        subcommand,
        "--store",
        f"{root}{STORE}",
        "--request",
        f"{root}{REQUEST}",
    )


def alone(executor: Executor) -> Executor:
    """The executor, started for each call by its interpreter's own path."""
    return replace(executor, link="", resident=False)


def process(
    executor: Executor, call: ExecutorCall, digest: Digest, env: Mapping[str, str], daemon: Daemon
) -> Process:
    """A process that the resident executor serves, if there is one (see imagebuild.serve.server).

    Pants gives processes of other scopes than `SUCCESSFUL` a key that is never the same, and with that a server each. So
    what is for one run only ends with an exit code that nothing remembers, and what is for one daemon has its name.

    :param digest: the request and the files of `call`.
    :param env: for effects; a pure call gets none of it. What is in it goes to Pants' remote cache together with what the
        call answers, so with a secret in it nothing is remembered.
    """
    env = {} if call.pure else env
    once = call.scope == ProcessCacheScope.PER_SESSION or has_secrets(env)
    of_daemon = call.scope == ProcessCacheScope.PER_RESTART_SUCCESSFUL
    salt = " of ".join(filter(None, (call.salt, daemon.name if of_daemon else "")))
    patient = call.patient and executor.resident and daemon.hears
    options = (
        *(("--salt", salt) if salt else ()),
        *(("--aside", f"{STORE}/{WORK}") if patient else ()),
        *(("--once",) if once else ()),
    )
    return Process(
        (*executor_argv(executor, call.subcommand, server=SERVER_FLAGS), *options),
        description=call.description,
        level=LogLevel.DEBUG,
        input_digest=digest,
        immutable_input_digests={EXECUTOR_DIR: executor.digest},
        use_nailgun=(EXECUTOR_DIR,) if executor.resident else (),
        append_only_caches=CACHES,
        env=FrozenDict(env),
        output_files=call.outputs,
    )


def has_secrets(env: Mapping[str, str]) -> bool:
    """Whether there may be any: in a variable that we do not know, or in a proxy's URL."""
    return any(
        name not in EFFECT_ENV or (name.lower().endswith("_proxy") and "@" in value)
        for name, value in env.items()
    )


def resolve_call(
    images: Tuple[WantedImage, ...],
    registries: Tuple[RegistryOptions, ...],
    bucket: str,
    *,
    tolerant: bool = False,
) -> ExecutorCall:
    """Names that are digests are resolved once for all; tags in every run, or once per `bucket`."""
    refs = dict.fromkeys(image.ref for image in images)
    pinned = all("@" in ref for ref in refs)
    scope = ProcessCacheScope.SUCCESSFUL if pinned or bucket else ProcessCacheScope.PER_SESSION
    return ExecutorCall(
        "resolve",
        canonical.dumps(wire.ResolveRequest(images, registries, tolerant)),
        f"Resolve {', '.join(refs)}",
        pure=False,
        scope=scope,
        salt="" if pinned else bucket,
    )


def lookup_call(handle: PlanHandle) -> ExecutorCall:
    settings = handle.settings
    scope = ProcessCacheScope.PER_SESSION if settings.cache.ttl else ProcessCacheScope.SUCCESSFUL
    return ExecutorCall(
        "lookup",
        canonical.dumps(wire.LookupRequest(handle.graph, settings.cache, settings.registries)),
        f"Look up the steps of {handle.address}",
        pure=False,
        scope=scope,
    )


def prepare_call(
    request: BuildStep, below: Sequence[BuiltStep], cache: wire.CacheOptions
) -> ExecutorCall:
    """Make a step ready to run, or find that it need not.

    Remembered by the daemon: the engine asks again for what it needed the last time before it sees that it needs it no
    more. A layer that has gone since is noticed by the step, and the next attempt is remembered by nobody.
    """
    handle, planned = request.handle, request.handle.graph.steps[request.number]
    body = wire.PrepareRequest(
        op=planned.op,
        platform=handle.graph.platform_of(request.number),
        epoch=handle.graph.epoch,
        parents=parents_of(request, below),
        inputs=tuple(remotes.prepared_input(handle, item, below) for item in planned.inputs),
        cache=cache,
        look_up=handle.settings.use_cache,
        registries=handle.settings.registries,
        ssh=ssh_for_remotes(handle.plan.remotes_of(planned), handle.settings.ssh),
    )
    return ExecutorCall(
        "prepare",
        canonical.dumps(body),
        f"Prepare {step_title(handle.plan, request.number)}",
        pure=False,
        scope=_once(request) or _while_it_lasts(cache),
        salt=salt(request.attempt, request.run),
        patient=True,
    )


def step_call(
    request: BuildStep,
    ready: Ready,
    below: Sequence[BuiltStep],
    context: Digest,
    fetched: Sequence[Hash] = (),
    *,
    again: bool = False,
) -> ExecutorCall:
    """Run a step. Its input is what is hashed, the context files that it selects, and nothing else.

    :param fetched: diffIDs of what was fetched for it, in the order of its inputs.
    :param again: the same call was answered a moment ago, by one that lacked a layer.
    """
    handle, planned = request.handle, request.handle.graph.steps[request.number]
    trees = remotes.trees_of(request, below, fetched)
    settings = handle.settings
    body = pure.StepRequest(
        step=ready.step,
        trees=trees,
        unread=ready.unread,
        compression=settings.compression,
        runtime=settings.runtime,
        use_records=settings.use_cache,
        proxy_env=handle.plan.proxy_env if isinstance(planned.op, ExecOp) else (),
        plain=plain_files(handle, request.number),
        secrets=secrets_for(planned.op, settings.secrets),
        ssh=ssh_for(planned.op, settings.ssh),
    )
    # Our own records know a step with a secret by its content; Pants' cache is not to have its output.
    pure_enough = settings.use_cache and not (body.secrets or body.ssh)
    scope = ProcessCacheScope.SUCCESSFUL if pure_enough else ProcessCacheScope.PER_SESSION
    return ExecutorCall(
        "step",
        canonical.dumps(body),
        request.title,
        pure=True,
        scope=_once(request) or scope,
        files=context,
        salt=salt(request.attempt, request.run) or ("again" if again else ""),
        patient=isinstance(planned.op, ExecOp) and context == EMPTY_DIGEST,
    )


def context_entries(handle: PlanHandle, number: int) -> Tuple[Entry, ...]:
    """The context files that a step selects, as they lie in its sandbox. No bytes are touched."""
    paths = context_paths(handle, number)
    return tuple(_moved(handle.files[path], f"{CONTEXT}/{path}") for path in paths)


def record_call(
    handle: PlanHandle, steps: Sequence[BuiltStep], cache: wire.CacheOptions
) -> Optional[ExecutorCall]:
    """Push what the cache repository may not have; None when that is nothing. Done once per daemon, for it costs a
    process and the registry keeps what it is given. While steps run they are to have the slot that it would wait in.
    """
    entries = tuple(
        wire.RecordEntry(handle.input_steps[built.number], built.step, built.layer)
        for built in steps
        if built.step
    )
    if not entries or not handle.settings.use_cache or not cache.repository or cache.read_only:
        return None
    bases: Dict[object, LayerSource] = {
        layer.diff_id: LayerSource(layer, (base.repository,))
        for base in handle.graph.bases
        for layer in base.layers
    }
    body = wire.RecordRequest(entries, tuple(bases.values()), cache, handle.settings.registries)
    what = step_title(handle.plan, steps[0].number) if len(steps) == 1 else f"{len(steps)} layers"
    return ExecutorCall(
        "record",
        canonical.dumps(body),
        f"Cache {what}",
        pure=False,
        scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL,
        patient=all(map(pushed_at_once, steps)),
    )


def _while_it_lasts(cache: wire.CacheOptions) -> ProcessCacheScope:
    if cache.ttl:
        return ProcessCacheScope.PER_SESSION
    return ProcessCacheScope.PER_RESTART_SUCCESSFUL


def _once(request: BuildStep) -> Optional[ProcessCacheScope]:
    """What runs because layers were lost may be lost again: only the store knows, and the executor asks it."""
    return ProcessCacheScope.PER_SESSION if request.attempt else None


def salt(attempt: int, run: int = 0) -> str:
    """What makes the same call run again; and for `run` alone, whatever the engine asks of what an earlier run wanted."""
    return f"attempt {attempt}" + (f" of run {run}" if run else "") if attempt else ""


def _moved(entry: Entry, path: str) -> Entry:
    if isinstance(entry, FileEntry):
        return FileEntry(path, entry.file_digest, entry.is_executable)
    if isinstance(entry, SymlinkEntry):
        return SymlinkEntry(path, entry.target)
    return Directory(path)
