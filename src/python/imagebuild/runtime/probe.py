"""What this host can do for a RUN, and why not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NoReturn, Optional, Tuple

from imagebuild.errors import (
    HostError,
    ImageBuildError,
    NamespacesUnavailableError,
    OverlayUnavailableError,
    UsageError,
)
from imagebuild.runtime import overlay, syscalls
from imagebuild.runtime.confine import CAP_SYS_ADMIN, CAP_SYS_CHROOT
from imagebuild.runtime.fallback import FallbackRuntime
from imagebuild.runtime.namespaces import NamespaceRuntime
from imagebuild.runtime.output import Output
from imagebuild.runtime.spec import Runtime
from imagebuild.runtime.supervise import supervise

#: statfs(2) magic numbers of ext4, xfs, btrfs, tmpfs and f2fs, which take upper directories.
_CARRY_OVERLAYS = frozenset((0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010))

RUNTIMES = ("auto", "namespace", "chroot")


@dataclass(frozen=True)
class HostCapabilities:
    """What was found; ``missing`` says for each thing that is not there what it is and what to do.

    :param overlay: overlayfs could be mounted, writable, on the store's filesystem.
    :param landlock_abi: 0 where the kernel has no Landlock.
    """

    root: bool
    sys_admin: bool
    sys_chroot: bool
    user_namespaces: bool
    overlay: bool
    landlock_abi: int
    missing: Tuple[str, ...] = ()


def probe(store_root: str) -> HostCapabilities:
    """Find out by trying, in a process and a mount namespace of its own. Costs some milliseconds.

    :param store_root: an existing directory on the filesystem where upper directories will be.
    """
    effective, _ = syscalls.capget()
    root = os.geteuid() == 0
    sys_admin = bool(effective & CAP_SYS_ADMIN)
    failure = _overlay_failure(store_root) if root and sys_admin else None
    missing = []
    if not root:
        missing.append("root: the builder runs as another user; run it as root")
    if root and not sys_admin:
        missing.append("CAP_SYS_ADMIN: add it to the builder's container (or run it privileged)")
    if failure is not None:
        missing.append(f"overlayfs: {failure.message}; {failure.hint}")
    return HostCapabilities(
        root=root,
        sys_admin=sys_admin,
        sys_chroot=bool(effective & CAP_SYS_CHROOT),
        user_namespaces=_number("/proc/sys/user/max_user_namespaces") > 0,
        overlay=root and sys_admin and failure is None,
        landlock_abi=syscalls.landlock_abi(),
        missing=tuple(missing),
    )


def choose(runtime: str, store_root: str) -> Runtime:
    """The runtime of that name, or for "auto" the strongest that works here.

    Cheap where the store is on a filesystem known to carry overlays; elsewhere it tries, as `probe` does. What only
    shows when a RUN starts makes "auto" fall back then, with a note.

    :raises UsageError: for another name.
    :raises NamespacesUnavailableError: without the privileges that the runtime needs.
    :raises OverlayUnavailableError: where the store's filesystem cannot carry an overlay.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f'unknown runtime "{runtime}"', expected=", ".join(RUNTIMES))
    if not syscalls.KNOWN_MACHINE:
        raise HostError(f"RUN works on x86-64 and arm64, not on {os.uname().machine}")
    effective, _ = syscalls.capget()
    privileged = os.geteuid() == 0 and effective & CAP_SYS_ADMIN
    if runtime != "chroot" and privileged and _surely_carries_overlays(store_root):
        return _namespace_or(runtime)
    found = probe(store_root)
    if runtime != "chroot" and found.overlay:
        return _namespace_or(runtime)
    if runtime == "namespace":
        _refuse_namespace(found)
    if not (found.root and found.sys_chroot):
        raise NamespacesUnavailableError(
            "no runtime for RUN works here",
            expected="root with CAP_SYS_ADMIN (namespace), or root with CAP_SYS_CHROOT (chroot)",
            hint="; ".join(found.missing),
        )
    return _chroot()


def _namespace_or(runtime: str) -> Runtime:
    if runtime == "namespace":
        return NamespaceRuntime()
    return FallbackRuntime(NamespaceRuntime(), _chroot)


def _chroot() -> Runtime:
    from imagebuild.runtime.chroot import (
        ChrootRuntime,
    )

    return ChrootRuntime()


def _surely_carries_overlays(store_root: str) -> bool:
    """Whether a trial mount would tell nothing new."""
    try:
        with open("/proc/filesystems", "rb") as file:
            known = b"\toverlay\n" in file.read()
        return known and syscalls.filesystem_type(store_root) in _CARRY_OVERLAYS
    except OSError:
        return False


def _refuse_namespace(found: HostCapabilities) -> NoReturn:
    hint = "; ".join((*found.missing, "or set [kaniko].runtime to auto"))
    if found.sys_admin and found.root:
        raise OverlayUnavailableError("the namespace runtime does not work here", hint=hint)
    raise NamespacesUnavailableError("the namespace runtime does not work here", hint=hint)


def _number(path: str) -> int:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _overlay_failure(store_root: str) -> Optional[ImageBuildError]:
    """Mount an empty overlay in a child; what it said, or None."""
    directory = os.path.join(store_root, f".probe-{os.getpid()}")

    def child(_status: int) -> NoReturn:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        overlay.try_mount(directory)
        os._exit(0)

    try:
        os.mkdir(directory, 0o700)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return OverlayUnavailableError(
            f'cannot write in the store "{store_root}": {reason}',
            hint="make it writable for the builder",
        )
    try:
        for name in ("lower", "upper", "work", "root"):
            os.mkdir(os.path.join(directory, name))
        supervise(child, pid_namespace=True, terminal=False, output=Output(2, 2))
    except ImageBuildError as error:
        return error
    finally:
        _remove_tree(directory)
    return None


def _remove_tree(directory: str) -> None:
    """Remove a directory of directories (overlayfs makes some of mode 0 in its work directory)."""
    for here, directories, files in os.walk(directory, topdown=False):
        for name in files:
            os.unlink(os.path.join(here, name))
        for name in directories:
            os.rmdir(os.path.join(here, name))
    os.rmdir(directory)
