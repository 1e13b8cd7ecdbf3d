"""The `namespace` runtime: root with CAP_SYS_ADMIN, overlayfs, and the same isolation as a container's.

Own mount, pid, ipc and uts namespaces, and a network namespace for ``network="none"``; overlayfs over the extracted
layers, so that the cost does not depend on how much they hold; Docker's capabilities, a seccomp deny-list, Landlock for
what files cannot express. See `rootfs` for what is mounted, `confine` for what is given up, `supervise` for who waits.
"""

from __future__ import annotations

import fcntl
import gc
import os
import struct
from typing import Callable, Dict, NoReturn, Optional, Sequence

from imagebuild.errors import NamespacesUnavailableError
from imagebuild.runtime import confine, mounts, overlay, rootfs, seccomp, syscalls
from imagebuild.runtime.hostfiles import check_single_threaded, give_pipes, host_files, own_program
from imagebuild.runtime.output import Output
from imagebuild.runtime.spec import ExitStatus, ProcessSpec
from imagebuild.runtime.supervise import supervise

_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
_SIOCSIFFLAGS, _IFF_UP, _AF_INET, _SOCK_DGRAM = 0x8914, 1, 2, 2


class NamespaceRuntime:
    """Runs a command on an overlay of layers, isolated by namespaces. See `spec.Runtime` for the contract."""

    name = "namespace"

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
        """:raises NamespacesUnavailableError: without CAP_SYS_ADMIN. :raises OverlayUnavailableError: no such mount."""
        check_single_threaded()
        rules = _rules(spec)
        files = host_files(spec)
        own = own_program()
        output = Output(stdout, stderr, spec.masked)

        def child(status: int) -> NoReturn:
            gc.disable()
            if not spec.terminal:
                os.setsid()
            root = _enter_namespaces(lower, upper, work, spec, files)
            own_stdin = stdin if stdin is not None else os.open("dev/null", os.O_RDWR, dir_fd=root)
            give_pipes(spec.uid, output.stdout, output.stderr)
            confine.forget_modules()
            rootfs.enter(root)
            confine.take_stdio(own_stdin, output.stdout, output.stderr, status)
            confine.default_signals()
            confine.enter_cwd(spec.cwd)
            confine.restrict(spec, rules)
            confine.execute(spec, own)

        return supervise(
            child,
            pid_namespace=True,
            terminal=spec.terminal,
            output=output,
            meanwhile=meanwhile,
        )


def _rules(spec: ProcessSpec) -> confine.Confinement:
    abi = syscalls.landlock_abi()
    return confine.Confinement(
        capabilities=confine.DOCKER_CAPABILITIES,
        no_new_privileges=bool(spec.no_new_privileges),
        seccomp=seccomp.deny_list(shared_processes=False),
        landlock_abi=abi if abi >= 2 else 0,  # ABI 1 forbids every rename between directories
        wall=False,
    )


def _enter_namespaces(
    lower: Sequence[str], upper: str, work: str, spec: ProcessSpec, files: Dict[str, bytes]
) -> int:
    """Build the root in namespaces of our own; a descriptor of it, not entered yet."""
    flags = _NAMESPACES | (syscalls.CLONE_NEWNET if spec.network == "none" else 0)
    try:
        syscalls.unshare(flags)
        syscalls.mount("", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    except OSError as error:
        raise NamespacesUnavailableError(
            f"cannot make namespaces: {os.strerror(error.errno or 0)}",
            hint="run the builder as root with CAP_SYS_ADMIN, or set [kaniko].runtime to chroot",
        ) from error
    syscalls.sethostname(spec.hostname)
    if spec.network == "none":
        _bring_up_loopback()
    layers = [overlay.open_directory(path) for path in overlay.distinct(lower)]
    upper_fd, work_fd = overlay.open_directory(upper), overlay.open_directory(work)
    syscalls.mount("scratch", overlay.fd_path(work_fd), "tmpfs", syscalls.MS_NOSUID, "mode=0700")
    scratch = overlay.open_directory(work)  # by name now: what is mounted there, not what it covers
    os.umask(0)
    below = overlay.mount_below(layers, scratch)
    rootfs.refuse_redirects(below)
    staged = mounts.stage(spec.mounts, scratch)
    needed = rootfs.mount_points(files) + mounts.points_of(staged)
    root = overlay.mount_merged(layers, below, upper_fd, work_fd, scratch, needed)
    rootfs.furnish(root, scratch, files, staged)
    return root


def _bring_up_loopback() -> None:
    fd = syscalls.socket(_AF_INET, _SOCK_DGRAM)
    fcntl.ioctl(fd, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    os.close(fd)
