"""System calls that Python 3.9 has no function for. libc is loaded when this module is, never later.

Every function raises `OSError` with the call's errno. Numbers are those of x86-64 and arm64; calls newer than Linux 5.1
have one number on both.
"""

from __future__ import annotations

import ctypes
import os
from typing import Tuple, Union

_MACHINE = os.uname().machine
_X86 = _MACHINE == "x86_64"
#: Machines whose system call numbers this package knows.
KNOWN_MACHINE = _MACHINE in ("x86_64", "aarch64")

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 32, 4096, 8192, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP = 1, 4, 23, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_SYS_CAPGET = 125 if _X86 else 90
_SYS_CAPSET = 126 if _X86 else 91
_SYS_PIVOT_ROOT = 155 if _X86 else 41
_SYS_KEYCTL = 250 if _X86 else 219
_SYS_SECCOMP = 317 if _X86 else 277
_SYS_CLOSE_RANGE = 436
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_ADD_RULE, _SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446

_KEYCTL_JOIN_SESSION_KEYRING = 1
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1, 4
_LANDLOCK_CREATE_RULESET_VERSION, _LANDLOCK_RULE_PATH_BENEATH = 1, 1
_CAPABILITY_VERSION_3 = 0x20080522

CString = Union[str, bytes]


def _check(result: int, what: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}" if what else os.strerror(number))
    return int(result)


def _call(number: int, *arguments: object) -> int:
    """A raw system call; Python integers go in as longs."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(_syscall(ctypes.c_long(number), *wide))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            os.fsencode(kind) or None,
            ctypes.c_ulong(flags),
            os.fsencode(data) or None,
        ),
        f"mount {kind or 'bind'}",
    )


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), "umount")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    _check(_libc.setns(fd, kind), "setns")


def pivot_root(new: str, old: str) -> None:
    _call(_SYS_PIVOT_ROOT, os.fsencode(new), os.fsencode(old))


def filesystem_type(path: str) -> int:
    """statfs(2) f_type of the filesystem that ``path`` is on."""
    buffer = (ctypes.c_long * 32)()  # struct statfs has 120 bytes; its first word is f_type
    _check(_libc.statfs(os.fsencode(path), ctypes.byref(buffer)), "statfs")
    return int(buffer[0])


def sethostname(name: str) -> None:
    encoded = os.fsencode(name)
    _check(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), "sethostname")


def socket(family: int, kind: int) -> int:
    """socket(2): a descriptor (the `socket` module costs more to import than a whole RUN's set-up)."""
    return _check(_libc.socket(family, kind | 0o2000000, 0), "socket")


def prctl(option: int, *arguments: int) -> int:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _check(_libc.prctl(option, *(ctypes.c_ulong(a) for a in padded)), "prctl")


def clear_ambient() -> None:
    prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


def capget() -> Tuple[int, int]:
    """The (effective, permitted) capabilities of this thread, as bit masks."""
    header, data = _CapabilityHeader(_CAPABILITY_VERSION_3, 0), (_CapabilityData * 2)()
    _call(_SYS_CAPGET, ctypes.byref(header), ctypes.byref(data))
    return (
        data[0].effective | data[1].effective << 32,
        data[0].permitted | data[1].permitted << 32,
    )


def capset(mask: int) -> None:
    """Make effective and permitted exactly ``mask``, inheritable empty."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (_CapabilityData * 2)(_CapabilityData(low, low, 0), _CapabilityData(high, high, 0))
    _call(_SYS_CAPSET, ctypes.byref(header), ctypes.byref(data))


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on."""
    try:
        _call(_SYS_CLOSE_RANGE, first, 0xFFFFFFFF, 0)
    except OSError:  # before Linux 5.9, or a filter that does not know the call
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def join_new_session_keyring() -> None:
    _call(_SYS_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_seccomp(program: bytes) -> None:
    """Install a BPF program (8 bytes per instruction). Needs no_new_privs or CAP_SYS_ADMIN."""
    argument = ctypes.byref(_FilterProgram(len(program) // 8, program))
    try:  # without the flag, kernels before 5.16 slow the process down against speculative store bypass
        _call(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_SPEC_ALLOW, argument)
    except OSError:
        _call(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, 0, argument)


class _RulesetAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("handled_fs", "handled_net", "scoped"))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_abi() -> int:
    """The Landlock ABI version of the running kernel, or 0."""
    try:
        return _call(_SYS_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def landlock_ruleset(abi: int, handled_fs: int, scoped: int) -> int:
    """A ruleset descriptor. ``scoped`` must be 0 before ABI 6."""
    attributes = _RulesetAttributes(handled_fs, 0, scoped)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    return _call(_SYS_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, 0)


def landlock_allow(ruleset: int, parent_fd: int, allowed: int) -> None:
    rule = _PathBeneath(allowed, parent_fd)
    _call(_SYS_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, ctypes.byref(rule), 0)


def landlock_restrict(ruleset: int) -> None:
    _call(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)
