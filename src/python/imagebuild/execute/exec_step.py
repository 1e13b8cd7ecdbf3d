"""Run an ExecOp: the command over an overlay of the extracted layers; its layer is what the overlay's top holds then."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import Dict, Iterator, List, Tuple

from imagebuild import canonical
from imagebuild.errors import CommandFailedError
from imagebuild.execute.pure_requests import StepRequest
from imagebuild.execute.trees import text_of, tree_of
from imagebuild.layer.index import GROUP, PASSWD
from imagebuild.layer.tree import TreeView
from imagebuild.llb.ops import EnvVars, ExecOp
from imagebuild.oci.descriptor import Layer
from imagebuild.runtime.native import is_native
from imagebuild.runtime.probe import choose
from imagebuild.runtime.spec import ExitStatus, ProcessSpec
from imagebuild.store.store import Store
from imagebuild.users import home_of, resolve_user

TAIL_LINES = 50
CHROOT = "chroot"  # it moves what others could have mounted


def run_exec(request: StepRequest, store: Store, context: str) -> Layer:
    """:param context: the directory with the context files that the step's mounts select.
    :raises EmulatorMissingError: for a platform whose programs do not run here.
    :raises CommandFailedError: when the command ends with another code than 0; the error shows its last lines.
    """
    op = request.step.op
    assert isinstance(op, ExecOp)
    # First, for without root the extraction fails too, and says less.
    runtime = choose(request.runtime, store.root)
    if not is_native(request.step.platform):
        from imagebuild.runtime.emulation import require

        require(request.step.platform, store.work_dir)
    lower = store.extracted(request.step.parents)
    tree = tree_of(store, request.step.parents)
    assert tree is not None, "extracting a layer indexes it"
    env = request.proxy_env + op.env
    spec = process_spec(op.args, env, op.cwd, op.user, op.network, tree)
    log = store.log_path(canonical.fingerprint(request.step))
    with store.work_dir() as work:
        upper, scratch = os.path.join(work, "upper"), os.path.join(work, "scratch")
        os.mkdir(upper)
        os.mkdir(scratch)
        alone = runtime.name == CHROOT
        with mounted(spec, request, store, context, work, alone) as spec, open(
            log, "wb", buffering=0
        ) as output:
            status = runtime.run(
                lower,
                upper,
                scratch,
                spec,
                stdout=output.fileno(),
                stderr=output.fileno(),
                meanwhile=_load_capture,
            )
        if status.code:
            raise _failure(op, status, log, store)
        from imagebuild.execute.new_layer import layer_from_upper

        return layer_from_upper(store, upper, request, tree)


def _load_capture() -> None:
    """What makes a layer of the changes takes as long to load as a small command to run."""
    import imagebuild.execute.new_layer
    import imagebuild.layer.capture  # noqa: F401 - loaded for later


def process_spec(
    args: Tuple[str, ...], env: EnvVars, cwd: str, user: str, network: str, tree: TreeView
) -> ProcessSpec:
    """The process of a RUN or a container: the user by number, HOME as the image's passwd has it.

    :raises ImageBuildError: for a user that the image does not know.
    """
    passwd = text_of(tree, PASSWD)
    identity = resolve_user(user, passwd, text_of(tree, GROUP))
    variables: Dict[str, str] = {"HOME": home_of(identity.uid, passwd), **dict(env)}
    return ProcessSpec(
        args=args,
        env=tuple(sorted(variables.items())),
        cwd=cwd,
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
        network=network,
    )


@contextmanager
def mounted(
    spec: ProcessSpec, request: StepRequest, store: Store, context: str, work: str, alone: bool
) -> Iterator[ProcessSpec]:
    """`spec` with all that the step mounts, which lasts until the context ends.

    :param alone: no cache is shared meanwhile.
    """
    op = request.step.op
    if not (isinstance(op, ExecOp) and op.mounts):
        yield spec
        return
    from imagebuild.execute.mounts import opened  # most steps mount nothing

    with opened(request, store, context, work, alone=alone) as extra:
        env = {**extra.defaults, **dict(spec.env), **extra.env}
        yield replace(
            spec,
            env=tuple(sorted(env.items())),
            mounts=tuple(extra.mounts),
            masked=tuple(extra.masked),
        )


def _failure(op: ExecOp, status: ExitStatus, log: str, store: Store) -> CommandFailedError:
    """The command's last lines go to stderr as they are; the error says how it ended and where all of it is."""
    tail, left_out = _tail(log)
    if left_out:
        sys.stderr.write(f"... {left_out} lines before this are in the full log\n")
    sys.stderr.write("".join(tail))
    ended = f"was killed by signal {status.signal}" if status.signal else f"exited {status.code}"
    hint = f"see the output above; all of it is in {os.path.realpath(log)}"
    if _is_full(store.root):
        ended += f", and the file system of {store.root} is full"
        hint = f"free space there, or move the store; {hint}"
    return CommandFailedError(f"{show(op)} {ended}", command_exit_code=status.code, hint=hint)


def _is_full(path: str) -> bool:
    """Whether a file system has next to no room left for files."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize < 1 << 20


def show(op: ExecOp) -> str:
    """A command for people: a shell form without its shell, in one short line."""
    text = (
        op.args[2] if op.args[:2] == ("/bin/sh", "-c") and len(op.args) == 3 else " ".join(op.args)
    )
    line = " ".join(text.split())
    return f"RUN {line if len(line) <= 100 else line[:97] + '...'}"


def _tail(path: str) -> Tuple[List[str], int]:
    """The last lines of a log, and how many there are before them."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = 0
        tail: List[str] = []
        for line in file:
            lines += 1
            tail.append(line)
            del tail[:-TAIL_LINES]
    if tail and not tail[-1].endswith("\n"):
        tail[-1] += "\n"
    return tail, lines - len(tail)
