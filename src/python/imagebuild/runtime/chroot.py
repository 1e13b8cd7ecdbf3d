"""The `chroot` runtime: root without CAP_SYS_ADMIN, as in a container of Kubernetes or Docker with default rights.

The layers are copied into one directory, the command runs chrooted there, and what it changed is found by comparing
metadata. There is no /proc or /sys, and processes, network and hostname are the builder's own. What keeps the command
inside is Landlock (no file outside the root can be opened, no process outside signalled), a seccomp deny-list and
no_new_privs; on a kernel without Landlock it is only the lack of CAP_SYS_CHROOT and CAP_MKNOD.
"""

from __future__ import annotations

import gc
import os
import signal
import stat
from contextlib import suppress
from typing import Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

from imagebuild.errors import NamespacesUnavailableError
from imagebuild.runtime import confine, seccomp, syscalls
from imagebuild.runtime.failure import unexpected
from imagebuild.runtime.hostfiles import check_single_threaded, give_pipes, host_files, own_program
from imagebuild.runtime.inroot import resolve
from imagebuild.runtime.output import Output
from imagebuild.runtime.placed import Placed, open_made, refuse_others
from imagebuild.runtime.spec import ExitStatus, Inline, ProcessSpec
from imagebuild.runtime.supervise import supervise
from imagebuild.snapshot import compare, copying

_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)


class ChrootRuntime:
    """Runs a command in a copied root. See `spec.Runtime` for the contract.

    :param wall: False drops Landlock, seccomp and no_new_privs, so that set-user-ID programs work in a RUN; the command
        is then as free as the builder's container is.
    """

    name = "chroot"

    def __init__(self, *, wall: bool = True) -> None:
        self.wall = wall

    def run(
        self,
        lower: Sequence[str],
        upper: str,
        work: str,
        spec: ProcessSpec,
        *,
        stdout: int,
        stderr: int,
        stdin: Optional[int] = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> ExitStatus:
        """:raises NamespacesUnavailableError: for what only namespaces can do (mounts, ``network="none"``)."""
        check_single_threaded()
        refuse_others(spec.mounts, "the chroot runtime has none")
        root = os.path.join(work, "root")
        scripts = [mount for mount in spec.mounts if isinstance(mount, Inline)]
        try:
            os.mkdir(root, 0o755)
            copying.copy_merged(lower, root)
            placed = Placed(root, [mount for mount in spec.mounts if mount not in scripts])
        except OSError as error:
            raise unexpected(error, "copy the root of a RUN") from error
        try:
            injected = _inject(root, host_files(spec), scripts)
            before = compare.take(root)
            compare.settle(before, os.path.join(work, "clock"))
            status = self._supervise(root, spec, stdout, stderr, stdin, meanwhile)
            _withdraw(root, injected)
            ignored = frozenset(injected) | placed.paths | {b"dev"}
            compare.move_changes(root, before, upper, ignored)
        except OSError as error:
            raise unexpected(error, "copy the root of a RUN, or take its changes") from error
        finally:
            placed.take_back()
        return status

    def _supervise(
        self,
        root: str,
        spec: ProcessSpec,
        stdout: int,
        stderr: int,
        stdin: Optional[int],
        meanwhile: Callable[[], None],
    ) -> ExitStatus:
        rules, own = self._rules(spec), own_program()
        output = Output(stdout, stderr, spec.masked)

        def child(status: int) -> NoReturn:
            gc.disable()
            if not spec.terminal:
                os.setsid()
            if spec.network == "none":
                _leave_network()
            own_stdin = stdin if stdin is not None else os.open(os.devnull, os.O_RDWR)
            give_pipes(spec.uid, output.stdout, output.stderr)
            confine.forget_modules()
            os.chroot(root)
            os.chdir("/")
            confine.take_stdio(own_stdin, output.stdout, output.stderr, status)
            confine.default_signals()
            confine.enter_cwd(spec.cwd)
            confine.restrict(spec, rules)
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            confine.execute(spec, own)

        return supervise(
            child,
            pid_namespace=False,
            terminal=spec.terminal,
            output=output,
            meanwhile=meanwhile,
        )

    def _rules(self, spec: ProcessSpec) -> confine.Confinement:
        """Without the bits that would undo a chroot where Landlock cannot hold the command."""
        abi = syscalls.landlock_abi() if self.wall else 0
        landlock = abi if abi >= 2 else 0
        dangerous = confine.CAP_MKNOD | (0 if landlock else confine.CAP_SYS_CHROOT)
        walled = self.wall if spec.no_new_privileges is None else spec.no_new_privileges
        return confine.Confinement(
            capabilities=confine.DOCKER_CAPABILITIES & ~dangerous,
            no_new_privileges=walled,
            seccomp=seccomp.deny_list(shared_processes=True) if self.wall else b"",
            landlock_abi=landlock,
            wall=True,
        )


def _leave_network() -> None:
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
    except OSError as error:
        raise NamespacesUnavailableError(
            f"network=none needs a network namespace: {os.strerror(error.errno or 0)}",
            hint="give the builder CAP_SYS_ADMIN, or build with network=host",
        ) from error


#: path relative to the root -> device and inode of the file that was put there.
Injected = Dict[bytes, Tuple[int, int]]


def _inject(root: str, files: Dict[str, bytes], scripts: Sequence[Inline]) -> Injected:
    """Put devices, the host's resolver files and `scripts` into the copied root, in place of the image's."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    out: Injected = {}
    try:
        for name, major, minor in _DEVICES:
            _inject_device(root_fd, name, os.makedev(major, minor))
        for path, content in files.items():
            out.update(_inject_file(root_fd, path, content, 0o644))
        for script in scripts:
            out.update(_inject_file(root_fd, script.target, script.content, script.mode))
    finally:
        os.close(root_fd)
    return out


def _parent(root_fd: int, directory: str) -> Tuple[int, Tuple[str, ...]]:
    """A descriptor of a directory inside the root, made where it is missing, and its names."""
    where = resolve(root_fd, directory)
    os.close(where.fd)
    names = where.found + where.missing
    return open_made(root_fd, names), names


def _inject_device(root_fd: int, name: str, device: int) -> None:
    dev, _ = _parent(root_fd, "/dev")
    try:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=dev)
        with suppress(PermissionError):  # no CAP_MKNOD: the image's /dev is as good as it gets
            os.mknod(name, 0o666 | stat.S_IFCHR, device, dir_fd=dev)
            os.chmod(name, 0o666, dir_fd=dev)  # noqa: S103 - /dev/null is for everyone
    finally:
        os.close(dev)


def _inject_file(root_fd: int, path: str, content: bytes, mode: int) -> Injected:
    directory, _, name = path.rpartition("/")
    try:
        parent, names = _parent(root_fd, directory)
    except OSError:  # a file where /etc should be: then the image wants no such file
        return {}
    try:
        times = os.fstat(parent)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        fd = os.open(
            name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent
        )
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            os.fchmod(fd, mode)
            status = os.fstat(fd)
        os.utime(parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    finally:
        os.close(parent)
    return {os.fsencode("/".join((*names, name))): (status.st_dev, status.st_ino)}


def _withdraw(root: str, injected: Injected) -> None:
    """Remove what `_inject` put in where the command moved it, so that it cannot end in the layer."""
    base = os.fsencode(root)
    moved: List[Tuple[int, int]] = []
    for path, identity in injected.items():
        try:
            status = os.lstat(base + b"/" + path)
        except OSError:
            moved.append(identity)
            continue
        if (status.st_dev, status.st_ino) != identity:
            moved.append(identity)
    if moved:
        _unlink_inodes(base, moved)


def _unlink_inodes(base: bytes, identities: Sequence[Tuple[int, int]]) -> None:
    for directory, _, names in os.walk(base):
        for name in names:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if (status.st_dev, status.st_ino) in identities:
                os.unlink(path)
