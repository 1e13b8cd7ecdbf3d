"""The last steps of a child before the RUN's own program: what it may still do, who it is, and execve.

Order matters. Descriptors are closed before the working directory is entered (runc's CVE-2024-21626), the bounding set
shrinks while CAP_SETPCAP is there, Landlock and seccomp are installed while CAP_SYS_ADMIN is there (without
no_new_privs they need it), the identity changes last. Nothing is imported here: the root is the image's by now.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Dict, List, NoReturn, Tuple

from imagebuild.errors import StepError
from imagebuild.runtime import syscalls
from imagebuild.runtime.failure import CannotStartError
from imagebuild.runtime.spec import DEFAULT_PATH, ProcessSpec

#: CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
#: AUDIT_WRITE: Docker's and BuildKit's default set.
DOCKER_CAPABILITIES = 0xA80425FB
CAP_SYS_CHROOT, CAP_SYS_ADMIN, CAP_MKNOD = 1 << 18, 1 << 21, 1 << 27

_LL_EXECUTE, _LL_REFER, _LL_TRUNCATE, _LL_IOCTL_DEV = 1 << 0, 1 << 13, 1 << 14, 1 << 15
_LL_FILE = 0b111 | _LL_TRUNCATE  # execute, write, read, truncate
_LL_SCOPE_ABSTRACT_UNIX_SOCKET, _LL_SCOPE_SIGNAL = 1, 2

STATUS_FD = 3
_MAX_SHEBANGS = 5


@dataclass(frozen=True)
class Confinement:
    """What the command may not do.

    :param capabilities: bit mask of the bounding set, and of root's permitted set.
    :param seccomp: a BPF program, or b"".
    :param landlock_abi: 0 for no Landlock.
    :param wall: with Landlock, allow no file outside the root at all; False only keeps programs from being executed
        there, which is what overwriting the builder through /proc/self/exe (CVE-2019-5736) needs.
    """

    capabilities: int
    no_new_privileges: bool
    seccomp: bytes
    landlock_abi: int
    wall: bool


def forget_modules() -> None:
    """From now on an ``import`` fails instead of loading a file of the image (CVE-2019-14271)."""
    sys.path[:] = []
    sys.meta_path[:] = []
    sys.path_importer_cache.clear()


def take_stdio(stdin: int, stdout: int, stderr: int, status: int) -> None:
    """Move the four descriptors to 0, 1, 2 and `STATUS_FD` (closed by execve) and close all others."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (stdin, stdout, stderr, status)]
    for target, fd in enumerate(moved):
        os.dup2(fd, target, inheritable=target != STATUS_FD)
    syscalls.close_from(STATUS_FD + 1)


def default_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ, and a caller may ignore others; a program expects the defaults."""
    for number in range(1, signal.NSIG):
        with suppress(OSError, ValueError):  # SIGKILL, SIGSTOP, and what libc keeps for itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def enter_cwd(cwd: str) -> None:
    """:raises StepError: unless it is a directory inside the root."""
    try:
        os.chdir(cwd)
        os.getcwd()  # the kernel has no path for a directory outside the root
    except OSError as error:
        os.chdir("/")
        raise StepError(
            f'the working directory "{cwd}" cannot be entered: {os.strerror(error.errno or 0)}',
            expected="a directory of the image",
            hint=f"create it with `WORKDIR {cwd}` before the RUN",
        ) from error


def restrict(spec: ProcessSpec, rules: Confinement) -> None:
    """Give up privileges and take the identity of ``spec``. The root has been entered."""
    os.umask(0o022)
    with suppress(OSError):  # a kernel without keys: then there is nothing to inherit either
        syscalls.join_new_session_keyring()
    _, permitted = syscalls.capget()
    _shrink_bounding_set(rules.capabilities)
    if rules.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if rules.landlock_abi:
        _landlock(rules)
    if rules.seccomp:
        syscalls.install_seccomp(rules.seccomp)
    os.setgroups(spec.groups)
    os.setresgid(spec.gid, spec.gid, spec.gid)
    os.setresuid(spec.uid, spec.uid, spec.uid)
    syscalls.clear_ambient()
    syscalls.capset(rules.capabilities & permitted if spec.uid == 0 else 0)


def _shrink_bounding_set(keep: int) -> None:
    for number in range(64):
        if not keep >> number & 1:
            try:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno == errno.EINVAL:  # behind the kernel's last capability
                    return
                raise


def _landlock(rules: Confinement) -> None:
    abi = rules.landlock_abi
    allowed = _LL_EXECUTE | _LL_REFER
    if rules.wall:
        allowed = (1 << 14) - 1  # ABI 2: every right up to REFER
        allowed |= _LL_TRUNCATE if abi >= 3 else 0
        allowed |= _LL_IOCTL_DEV if abi >= 5 else 0
    scoped = 0
    if abi >= 6:
        scoped = _LL_SCOPE_ABSTRACT_UNIX_SOCKET | (_LL_SCOPE_SIGNAL if rules.wall else 0)
    ruleset = syscalls.landlock_ruleset(abi, allowed, scoped)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    syscalls.landlock_allow(ruleset, root, allowed)
    syscalls.landlock_restrict(ruleset)
    os.close(root)
    os.close(ruleset)


def execute(spec: ProcessSpec, own_exe: Tuple[int, int]) -> NoReturn:
    """Become the command.

    :param own_exe: device and inode of the builder's own program, which no command may lead to.
    :raises CannotStartError: 127 where nothing of that name exists, 126 where it cannot be executed.
    """
    name, environment = spec.args[0], dict(spec.env)
    denied = ""
    for path in _candidates(name, environment):
        _refuse_own_program(name, path, own_exe)
        try:
            os.execve(path, spec.args, environment)  # noqa: S606 - this is the point
        except OSError as error:
            reason = _reason(path, error)
            denied = reason or denied
        except ValueError as error:  # a NUL byte, or a variable without a name
            denied = str(error)
    if denied:
        raise CannotStartError(126, f'"{name}" cannot be executed: {denied}')
    where = "in the image" if "/" in name else "in PATH of the image"
    shell = " (the shell of RUN: see SHELL, or use the JSON form)" if _is_shell(spec) else ""
    raise CannotStartError(127, f'"{name}": not found {where}{shell}')


def _is_shell(spec: ProcessSpec) -> bool:
    return len(spec.args) > 2 and spec.args[1] == "-c"


def _candidates(name: str, environment: Dict[str, str]) -> List[str]:
    if "/" in name:
        return [name]
    if not name:
        return []
    directories = environment.get("PATH", DEFAULT_PATH).split(":")
    return [f"{directory or '.'}/{name}" for directory in directories]


def _reason(path: str, error: OSError) -> str:
    """Why an existing file was not executed; "" where there is no such file."""
    if error.errno == errno.ENOENT and _exists(path):
        interpreter = _shebang(path)
        missing = f'"{interpreter}"' if interpreter else "its program loader (ELF interpreter)"
        return f"{missing} that {path} asks for is not in the image"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ""
    if error.errno == errno.ENOEXEC:
        return f"{path} is for another machine, or a script without a #! line"
    return f"{path}: {os.strerror(error.errno or 0)}"


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _shebang(path: str) -> str:
    """The interpreter that a script names, or ""."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            first = os.read(fd, 256) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    words = first[2:].split(b"\n", 1)[0].split()
    return os.fsdecode(words[0]) if words else ""


def _refuse_own_program(name: str, path: str, own_exe: Tuple[int, int]) -> None:
    """A command, or a script's interpreter, that is /proc/self/exe would be the builder's own program."""
    for _ in range(_MAX_SHEBANGS):
        if not path:
            return
        try:
            status = os.stat(path)
        except OSError:
            return
        if (status.st_dev, status.st_ino) == own_exe:
            raise CannotStartError(
                126, f'"{name}" cannot be executed: it leads to the builder itself'
            )
        path = _shebang(path)
