"""Whether programs of another platform run here: by trying one, as BuildKit does.

The kernel hands a foreign program to what binfmt_misc has for it. Whether that works inside an image cannot be read anywhere
reliably (a container seldom sees ``/proc/sys/fs/binfmt_misc``, and the flag F decides whether the emulator is found in another
root), so a program of a few bytes that only exits is executed in an empty root, under the filter of a RUN.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
from typing import Callable, ContextManager, Dict, NamedTuple, NoReturn, Optional, Tuple

from imagebuild.errors import EmulatorMissingError
from imagebuild.oci.descriptor import Platform
from imagebuild.runtime import syscalls
from imagebuild.runtime.native import own_platform
from imagebuild.runtime.seccomp import deny_list


class _Target(NamedTuple):
    """An architecture in ELF (generic ABI and processor supplements), and code that calls ``exit(0)``."""

    machine: int
    code: str
    flags: int = 0
    bits: int = 64
    order: str = "<"


_TARGETS: Dict[str, _Target] = {
    "386": _Target(3, "31db b801000000 cd80", bits=32),
    "amd64": _Target(62, "31ff b83c000000 0f05"),
    "arm": _Target(40, "0000a0e3 0170a0e3 000000ef", 0x5000400, 32),
    "arm64": _Target(183, "000080d2 a80b80d2 010000d4"),
    "loong64": _Target(258, "04008002 0b748102 00002b00", 0x43),
    "mips64le": _Target(8, "c2130224 00000424 0c000000", 0x80000000),
    "ppc64le": _Target(21, "01000038 00006038 02000044", 2),
    "riscv64": _Target(243, "13050000 9308d005 73000000", 5),
    "s390x": _Target(22, "a7290000 0a01", order=">"),
}
_BASE = 0x400000
_NO_VERDICT = -1


def require(platform: Platform, work_dir: Callable[[], ContextManager[str]]) -> None:
    """Make sure that programs of `platform`, which is not this machine's own, run in an image's root.

    :param work_dir: makes an empty directory for a while, on a file system with room for layers.
    :raises EmulatorMissingError: when they do not, with what to install.
    """
    if platform.os != "linux":
        raise EmulatorMissingError(
            f"programs of {platform} do not run here: this is Linux",
            hint=_WITHOUT.format(platform=platform),
        )
    target = _TARGETS.get(platform.architecture)
    problem = None
    if target:
        with work_dir() as root:
            problem = _try(_program(target), root)
    if problem:
        architecture = platform.architecture
        raise EmulatorMissingError(
            f"programs of {platform} do not run on this machine ({own_platform()}): {problem}",
            expected=f"an emulator for {architecture} in binfmt_misc, registered with the flag F (fix binary)",
            hint="on Debian and Ubuntu, apt-get install qemu-user-static binfmt-support; elsewhere, "
            f"docker run --privileged --rm tonistiigi/binfmt --install {architecture} (once, on the machine itself); "
            f"or {_WITHOUT.format(platform=platform)}",
        )


_WITHOUT = "do without RUN in stages for {platform}: FROM --platform=$BUILDPLATFORM runs on this machine's own"


def _program(target: _Target) -> bytes:
    """The smallest ELF executable that does nothing."""
    code, wide = bytes.fromhex(target.code), target.bits == 64
    head, entry = (64, 56) if wide else (52, 32)
    at, size = head + entry, head + entry + len(code)
    ident = struct.pack(
        "4s5B7x", b"\x7fELF", 2 if wide else 1, 1 if target.order == "<" else 2, 1, 0, 0
    )
    word = "Q" if wide else "I"
    header = struct.pack(
        f"{target.order}HHI3{word}I6H",
        *(2, target.machine, 1, _BASE + at, head, 0, target.flags, head, entry, 1, 0, 0, 0),
    )
    segment: Tuple[int, ...] = (1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    if not wide:
        segment = (1, 0, _BASE, _BASE, size, size, 5, 0x10000)
    table = struct.pack(f"{target.order}{'II6Q' if wide else '8I'}", *segment)
    return ident + header + table + code


def _try(program: bytes, root: str) -> Optional[str]:
    """What is wrong with executing `program`, None for nothing (or where we may not even try)."""
    path = os.path.join(root, "probe")
    with open(path, "wb") as file:
        file.write(program)
    os.chmod(path, 0o500)
    failed, status = _execute(root)
    if failed == _NO_VERDICT:
        return None
    if failed == errno.ENOEXEC:
        return "no emulator is registered for them"
    if failed == errno.ENOENT:
        return (
            "the emulator that is registered is not found inside an image, for it lacks the flag F"
        )
    if failed:
        return os.strerror(failed)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        return "they are of the 32-bit ABI of its processor, which RUN is kept from, and no emulator is registered"
    return None if status == 0 else "the emulator that is registered does not work"


def _execute(root: str) -> Tuple[int, int]:
    """Execute ``/probe`` in `root`: the errno of what failed (0 for nothing) and the wait status."""
    rules = deny_list(shared_processes=False)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _become(root, rules, writing)
    os.close(writing)
    with open(reading, "rb") as answer:
        said = answer.read(4)
    _, status = os.waitpid(child, 0)
    return (struct.unpack("i", said)[0] if said else 0), status


def _become(root: str, rules: bytes, writing: int) -> NoReturn:
    """In the child. Once the root is another, nothing is imported any more."""
    code = _NO_VERDICT
    try:
        os.chroot(root)
        os.chdir("/")
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.install_seccomp(rules)
        code = 0
        os.execve("/probe", ["/probe"], {})  # noqa: S606 - this is the point
    except OSError as error:
        code = code or error.errno or errno.EIO
    finally:
        os.write(writing, struct.pack("i", code))
        os._exit(1)
