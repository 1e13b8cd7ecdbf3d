"""From the mounts of an ExecOp to those of the runtime: files found, caches locked, secrets read, agents lent.

All of it lasts as long as the RUN does. A secret's value is read here, at the last moment, and goes nowhere but into the
RUN's memory.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Type

from imagebuild import canonical
from imagebuild.execute.binds import ContextFiles, fill_from_context, fill_from_tree, resolved
from imagebuild.execute.credentials import lent_socket, secret_value
from imagebuild.execute.new_layer import mtime_of
from imagebuild.execute.pure_requests import StepRequest
from imagebuild.execute.trees import to_bytes
from imagebuild.llb.ops import (
    BindMount,
    CacheMount,
    ExecOp,
    ScriptMount,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from imagebuild.oci.hash import Hash
from imagebuild.runtime.spec import Bind, Inline, Merged, Mount, Tmpfs
from imagebuild.store.cache_dirs import LOCKED, PRIVATE, SHARED, Fill, cache_dir
from imagebuild.store.store import Store

SSH_AUTH_SOCK = "SSH_AUTH_SOCK"
_SCRIPT_MODE = 0o755
_NOT_CHOSEN = (0o755, 0, 0)
_STRICTEST = (SHARED, PRIVATE, LOCKED)


@dataclass
class Opened:
    """What a RUN gets besides its root.

    :ivar env: variables that override those of the op.
    :ivar defaults: variables that those of the op override.
    :ivar masked: values that its log must not show.
    """

    mounts: List[Mount] = field(default_factory=list)
    env: Dict[str, str] = field(default_factory=dict)
    defaults: Dict[str, str] = field(default_factory=dict)
    masked: List[bytes] = field(default_factory=list)


@contextmanager
def opened(
    request: StepRequest, store: Store, context: str, work: str, *, alone: bool
) -> Iterator[Opened]:
    """:param context: the directory with the context files that the step selects.
    :param alone: hold every cache alone, for a runtime that has to move it.
    :param work: an existing directory on the store's file system, for what is thrown away.
    :raises SourceNotInContextError: for a source that is not there.
    :raises UsageError: for a secret or agent that is required and not there.
    """
    op = request.step.op
    assert isinstance(op, ExecOp)
    with ExitStack() as stack:
        epoch = request.step.epoch
        mtime = None if epoch is None else mtime_of(epoch)
        files = ContextFiles(context, mtime, request.plain)
        opener = _Opener(request, store, files, work, stack, alone)
        opener.hold_caches([mount for mount in op.mounts if isinstance(mount, CacheMount)])
        for number, mount in enumerate(op.mounts):
            _OPENERS[type(mount)](opener, number, mount)
        yield opener.result


def cache_key(mount: CacheMount, inputs: Sequence[Hash]) -> Hash:
    """What names a cache directory on this machine: the id, and what a new one is made like (as in BuildKit)."""
    begin = None if mount.input is None else [inputs[mount.input], mount.source]
    return canonical.fingerprint([mount.id, mount.mode, mount.uid, mount.gid, begin])


class _Opener:
    """One RUN's mounts while they are opened."""

    def __init__(
        self,
        request: StepRequest,
        store: Store,
        files: ContextFiles,
        work: str,
        stack: ExitStack,
        alone: bool,
    ) -> None:
        self.request, self.store, self.files, self.work = request, store, files, work
        self.stack, self.alone, self.result = stack, alone, Opened()
        self.caches: Mapping[Hash, str] = {}

    def hold_caches(self, mounts: Sequence[CacheMount]) -> None:
        """All caches of a RUN at once, in one order for everybody: two RUNs never wait for each other. One that is
        mounted twice is held once."""
        inputs = self.request.step.inputs
        wanted: Dict[Hash, List[CacheMount]] = {}
        for mount in mounts:
            wanted.setdefault(cache_key(mount, inputs), []).append(mount)
        self.caches = {
            key: self.stack.enter_context(
                cache_dir(
                    self.store, key, self._sharing(wanted[key]), self._filling(wanted[key][0])
                )
            )
            for key in sorted(wanted)
        }

    def _sharing(self, mounts: Sequence[CacheMount]) -> str:
        """The strictest of what is asked for."""
        sharing = max((mount.sharing for mount in mounts), key=_STRICTEST.index)
        return LOCKED if self.alone and sharing == SHARED else sharing

    def _filling(self, mount: CacheMount) -> Fill:
        def fill(directory: str) -> None:
            tree = () if mount.input is None else self.request.trees[mount.input]
            if tree:
                fill_from_tree(self.store, tree, mount.source, directory)
            elif mount.input is not None:
                fill_from_context(self.files, mount.source, directory)
            chosen = (mount.mode, mount.uid, mount.gid)
            if mount.input is None or chosen != _NOT_CHOSEN:  # else as the source has it
                os.chown(directory, mount.uid, mount.gid)
                os.chmod(directory, mount.mode & 0o7777)

        return fill

    def bind(self, number: int, mount: BindMount) -> None:
        tree, readonly = self.request.trees[mount.input], not mount.writable
        scratch = self._scratch(number) if mount.writable else ""
        if tree:
            lower, source = self.store.extracted(tree), resolved(self.store, tree, mount.source)
            self.add(Merged(mount.target, lower, source, scratch, readonly))
            return
        found = self.files.find(mount.source)
        self.stack.callback(os.close, found.fd)
        if readonly and not found.linked:
            self.add(Bind(mount.target, found.fd, readonly=True))
            return
        lower, scratch = (self.files.root,), scratch or self._scratch(number)
        settled, mtime = found.linked, self.files.mtime
        self.add(Merged(mount.target, lower, found.path, scratch, readonly, settled, mtime))

    def cache(self, _number: int, mount: CacheMount) -> None:
        directory = self.caches[cache_key(mount, self.request.step.inputs)]
        self.add(Bind(mount.target, directory, mount.readonly, self.alone))

    def tmpfs(self, _number: int, mount: TmpfsMount) -> None:
        self.add(Tmpfs(mount.target, mount.size))

    def script(self, _number: int, mount: ScriptMount) -> None:
        self.add(Inline(mount.target, to_bytes(mount.content), _SCRIPT_MODE, private=False))

    def secret(self, _number: int, mount: SecretMount) -> None:
        value = secret_value(mount, self.request.secrets)
        if value is None:
            return
        self.result.masked.append(value)
        if mount.target:
            self.add(Inline(mount.target, value, mount.mode, mount.uid, mount.gid))
        if mount.env:
            self.result.env[mount.env] = os.fsdecode(value)

    def ssh(self, number: int, mount: SshMount) -> None:
        directory = os.path.join(self.work, f"ssh-{number}")
        socket = self.stack.enter_context(lent_socket(mount, self.request.ssh, directory))
        if socket:
            self.add(Bind(mount.target, socket))
            self.result.defaults.setdefault(SSH_AUTH_SOCK, mount.target)

    def add(self, mount: Mount) -> None:
        self.result.mounts.append(mount)

    def _scratch(self, number: int) -> str:
        path = os.path.join(self.work, f"mount-{number}")
        for name in ("upper", "work"):
            os.makedirs(os.path.join(path, name), 0o755)
        return path


_OPENERS: Mapping[Type[object], Callable[[_Opener, int, Any], None]] = {
    BindMount: _Opener.bind,
    CacheMount: _Opener.cache,
    TmpfsMount: _Opener.tmpfs,
    ScriptMount: _Opener.script,
    SecretMount: _Opener.secret,
    SshMount: _Opener.ssh,
}
