"""The seccomp deny-list of a RUN, as a hand-built BPF program.

It is a deny-list, not Docker's allow-list: it closes the calls through which containers were left before (mounts, new
namespaces, modules, keys, bpf, ...) and answers them with EPERM as Docker does. A process of the 32-bit ABI, whose
numbers differ, is killed. Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import os
import struct
from typing import Dict, List, Tuple

#: name -> (x86-64, arm64); -1 where the machine has no such call.
_ALWAYS: Dict[str, Tuple[int, int]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "setns": (308, 268),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "uselib": (134, -1),
    "_sysctl": (156, -1),
    "sysfs": (139, -1),
    "create_module": (174, -1),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "query_module": (178, -1),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "fanotify_init": (300, 262),
    "kcmp": (312, 272),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
#: Where the process namespace is shared with the builder, these reach other processes.
_SHARED_PROCESSES: Dict[str, Tuple[int, int]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
}
_CLONE, _UNSHARE, _SOCKET, _IOCTL = (56, 220), (272, 97), (41, 198), (16, 29)
_CLONE3 = 435

_NEW_NAMESPACES = (
    0x7E020000 | 0x80
)  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; 0x80: CLONE_NEWTIME
_NEW_BY_CLONE = 0x7E020000  # bits below 0x100 are the exit signal there
_AF_ALG, _AF_VSOCK = 38, 40
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into the user's own terminal

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument(index: int) -> bytes:
    """Load the low half of an argument (both machines are little-endian)."""
    return _instruction(_LOAD, 16 + 8 * index)


def _when(number: int, block: List[bytes]) -> List[bytes]:
    """``block``, which has to end in a return, for one system call number."""
    return [_instruction(_EQUAL, number, 0, len(block)), *block]


def _deny_if(argument: int, tests: List[Tuple[int, int]]) -> List[bytes]:
    """Deny when any (comparison, value) holds for the argument, else allow."""
    out = [_argument(argument)]
    for index, (comparison, value) in enumerate(tests):
        out.append(_instruction(comparison, value, len(tests) - index, 0))
    return [*out, _instruction(_RETURN, _ALLOW), _instruction(_RETURN, _ERRNO | _EPERM)]


def deny_list(*, shared_processes: bool, machine: str = "") -> bytes:
    """The filter for this machine (or ``machine``); b"" where its numbers are not known.

    :param shared_processes: the RUN shares the builder's pid namespace, so calls on other processes are denied too.
    """
    machine = machine or os.uname().machine
    if machine not in _AUDIT_ARCH:
        return b""
    column = 0 if machine == "x86_64" else 1
    program = [
        _instruction(_LOAD, 4),
        _instruction(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, 0),
    ]
    if machine == "x86_64":
        program += [_instruction(_GREATER_EQUAL, _X32_BIT, 0, 1), _instruction(_RETURN, _KILL)]
    denied = {**_ALWAYS, **(_SHARED_PROCESSES if shared_processes else {})}
    for numbers in denied.values():
        if numbers[column] >= 0:
            program += _when(numbers[column], [_instruction(_RETURN, _ERRNO | _EPERM)])
    # glibc falls back to clone, whose flags a filter can see
    program += _when(_CLONE3, [_instruction(_RETURN, _ERRNO | _ENOSYS)])
    program += _when(_CLONE[column], _deny_if(0, [(_ANY_BIT, _NEW_BY_CLONE)]))
    program += _when(_UNSHARE[column], _deny_if(0, [(_ANY_BIT, _NEW_NAMESPACES)]))
    program += _when(_SOCKET[column], _deny_if(0, [(_EQUAL, _AF_ALG), (_EQUAL, _AF_VSOCK)]))
    program += _when(_IOCTL[column], _deny_if(1, [(_EQUAL, _TIOCSTI), (_EQUAL, _TIOCLINUX)]))
    program.append(_instruction(_RETURN, _ALLOW))
    return b"".join(program)
