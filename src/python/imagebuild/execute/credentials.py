"""Secrets and ssh agents for the RUN that mounts them. Values stay in memory: no key, argument, log or file has them."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Iterator, Optional, Sequence, Tuple

from imagebuild.errors import UsageError
from imagebuild.execute.pure_requests import SecretSource, SshSource
from imagebuild.llb.ops import ExecOp, Op, SecretMount, SshMount

if TYPE_CHECKING:
    from imagebuild.llb.plan import RemoteSource

DEFAULT_SSH = "default"

MAX_SECRET = 500 << 10
"""Bytes; BuildKit's limit."""


def secrets_for(op: Op, secrets: Sequence[SecretSource]) -> Tuple[SecretSource, ...]:
    """Those of `secrets` that `op` mounts."""
    wanted = _ids(op, SecretMount)
    return tuple(source for source in secrets if source.id in wanted)


def ssh_for(op: Op, ssh: Sequence[SshSource]) -> Tuple[SshSource, ...]:
    """Those of `ssh` that `op` mounts."""
    wanted = _ids(op, SshMount)
    return tuple(source for source in ssh if source.id in wanted)


def ssh_for_remotes(
    sources: Sequence[RemoteSource], ssh: Sequence[SshSource]
) -> Tuple[SshSource, ...]:
    """The one of `ssh` that repositories of ADD are fetched with, where one of `sources` needs it: BuildKit's too."""
    from imagebuild.llb.remote import uses_ssh  # a step that mounts a secret needs no plan

    if not any(map(uses_ssh, sources)):
        return ()
    return tuple(source for source in ssh if source.id == DEFAULT_SSH)


def _ids(op: Op, kind: type) -> Tuple[str, ...]:
    mounts = op.mounts if isinstance(op, ExecOp) else ()
    return tuple(
        mount.id
        for mount in mounts
        if isinstance(mount, kind) and isinstance(mount, (SecretMount, SshMount))
    )


def secret_value(mount: SecretMount, secrets: Sequence[SecretSource]) -> Optional[bytes]:
    """The value, None where the build has no such secret and need not have it.

    :raises UsageError: where it is required and not there, or its file cannot be read.
    """
    source = next((source for source in secrets if source.id == mount.id), None)
    if source is None:
        if mount.required:
            raise UsageError(
                f'this RUN requires the secret "{mount.id}", and the build has none of that id',
                hint=f'name its file in the field `secrets`: secrets={{"{mount.id}": "path/of/the/file"}}',
            )
        return None
    value = _read(source)
    if len(value) > MAX_SECRET:
        raise UsageError(
            f'the secret "{mount.id}" has more than {MAX_SECRET} bytes',
            hint="mount a key to it rather than the data itself",
        )
    if mount.env and b"\0" in value:
        raise UsageError(
            f'the secret "{mount.id}" has a NUL byte, which no variable can have',
            hint="mount it as a file: leave `env` out of the mount",
        )
    return value


def _read(source: SecretSource) -> bytes:
    try:
        with open(source.path, "rb") as file:
            return file.read(MAX_SECRET + 1)
    except OSError as error:
        raise UsageError(
            f'the secret "{source.id}" cannot be read from {source.path}: {os.strerror(error.errno or 0)}',
            hint="correct its path in the field `secrets`, or make the file",
        ) from None


@contextmanager
def lent_socket(mount: SshMount, ssh: Sequence[SshSource], directory: str) -> Iterator[str]:
    """The path of a socket that an agent answers at, below the new `directory`; "" where there need be none.

    :raises UsageError: for an agent that is required and not there, or that is named and does not answer.
    """
    source = next((source for source in ssh if source.id == mount.id), None)
    if source is None or not source.paths:
        _refuse_missing(mount, source)
        yield ""
        return
    from imagebuild.runtime.agent import is_socket, key_agent, lent_agent

    os.mkdir(directory, 0o700)
    with ExitStack() as stack:
        sockets = [path for path in source.paths if is_socket(path)]
        if sockets and len(source.paths) > 1:
            raise UsageError(
                f'ssh "{mount.id}" names a socket beside something else',
                expected="the socket of one agent, or private keys",
            )
        keys = os.path.join(directory, "keys")
        if not sockets:
            os.mkdir(keys, 0o700)
            sockets = [stack.enter_context(key_agent(source.paths, keys))]
        path = os.path.join(directory, "socket")
        stack.enter_context(
            lent_agent(sockets[0], path, mode=mount.mode, uid=mount.uid, gid=mount.gid)
        )
        yield path


def _refuse_missing(mount: SshMount, source: Optional[SshSource]) -> None:
    if source is not None:
        raise UsageError(
            f'ssh "{mount.id}" stands for your ssh agent, and none is running: SSH_AUTH_SOCK is not set',
            hint=f'start one (ssh-agent, ssh-add), or name a key: ssh=["{mount.id}=path/of/the/key"]',
        )
    if mount.required:
        raise UsageError(
            f'this RUN requires ssh "{mount.id}", and the build has none of that id',
            hint=f'name it in the field `ssh`: ssh=["{mount.id}"] for your agent, or ["{mount.id}=path/of/the/key"]',
        )
