"""The deny-list as a program: interpreted here for both machines, and asked of the kernel on this one."""

from __future__ import annotations

import struct
from typing import Any, Dict, Tuple

import pytest
from host.runtime.programs import elf

from imagebuild.runtime import seccomp

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003


def judge(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would answer: a machine of the five instructions that the filter uses."""
    data = struct.pack(
        "=iIQ6Q", number if number < 1 << 31 else -1, arch, 0, *(arguments + (0,) * 6)[:6]
    )
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }
            at += if_true if holds[code] else if_false


X86 = {
    "mount": 165,
    "clone": 56,
    "unshare": 272,
    "socket": 41,
    "ioctl": 16,
    "ptrace": 101,
    "read": 0,
    "bpf": 321,
}
ARM = {
    "mount": 40,
    "clone": 220,
    "unshare": 97,
    "socket": 198,
    "ioctl": 29,
    "ptrace": 117,
    "read": 63,
    "bpf": 280,
}
NUMBERS = {"x86_64": X86, "aarch64": ARM}

CASES: Tuple[Tuple[str, Tuple[int, ...], int], ...] = (
    ("read", (0,), ALLOW),
    ("mount", (), EPERM),
    ("bpf", (), EPERM),
    ("clone", (0x01200011,), ALLOW),  # fork
    ("clone", (0x003D0F00,), ALLOW),  # a thread
    ("clone", (0x10000011,), EPERM),  # CLONE_NEWUSER
    ("clone", (0x00020011,), EPERM),  # CLONE_NEWNS
    ("clone", (0x1_0000_0011 | 0x10000000,), EPERM),  # high half set as well
    ("unshare", (0x400,), ALLOW),  # CLONE_FILES
    ("unshare", (0x10000000,), EPERM),
    ("unshare", (0x80,), EPERM),  # CLONE_NEWTIME
    ("socket", (1, 1), ALLOW),
    ("socket", (2, 1), ALLOW),
    ("socket", (38, 5), EPERM),  # AF_ALG
    ("socket", (40, 1), EPERM),  # AF_VSOCK
    ("ioctl", (0, 0x5401), ALLOW),  # TCGETS
    ("ioctl", (0, 0x5412), EPERM),  # TIOCSTI
    (
        "ioctl",
        (0, 0xFFFFFFFF_00005412),
        EPERM,
    ),  # the kernel looks at the low half (CVE-2023-28840's like)
    ("ioctl", (0, 0x541C), EPERM),  # TIOCLINUX
    ("ptrace", (), ALLOW),
)


@pytest.mark.parametrize("machine", ARCH)
@pytest.mark.parametrize("name, arguments, verdict", CASES, ids=str)
def test_verdicts(machine: str, name: str, arguments: Tuple[int, ...], verdict: int) -> None:
    program = seccomp.deny_list(shared_processes=False, machine=machine)

    assert verdict == judge(program, ARCH[machine], NUMBERS[machine][name], *arguments)


@pytest.mark.parametrize("machine", ARCH)
def test_every_denied_call_is_denied_and_every_other_is_not(machine: str) -> None:
    program = seccomp.deny_list(shared_processes=False, machine=machine)
    column = list(ARCH).index(machine)
    denied = {numbers[column] for numbers in seccomp._ALWAYS.values()} - {-1}

    found = {n for n in range(600) if judge(program, ARCH[machine], n) == EPERM}

    assert denied == found
    assert ENOSYS == judge(program, ARCH[machine], 435)  # clone3: its flags are in memory


@pytest.mark.parametrize("machine", ARCH)
def test_other_processes_are_out_of_reach_where_they_are_shared(machine: str) -> None:
    program = seccomp.deny_list(shared_processes=True, machine=machine)

    assert EPERM == judge(program, ARCH[machine], NUMBERS[machine]["ptrace"])


def test_the_32_bit_interfaces_are_killed() -> None:
    program = seccomp.deny_list(shared_processes=False, machine="x86_64")

    assert KILL == judge(program, I386, 21)  # mount of i386
    assert KILL == judge(program, ARCH["x86_64"], 0x40000000 | 165)  # mount of x32


def test_an_unknown_machine_has_no_filter() -> None:
    assert b"" == seccomp.deny_list(shared_processes=False, machine="riscv64")


# number, arguments -> errno that the kernel gives: a static program tells it as its exit code
KERNEL: Dict[str, Tuple[int, Tuple[int, ...], int]] = {
    "keyctl": (250, (0, 0), 1),
    "bpf": (321, (0, 0, 0), 1),
    "perf_event_open": (298, (0, 0), 1),
    "userfaultfd": (323, (0,), 1),
    "unshare NEWUSER": (272, (0x10000000,), 1),
    "mount": (165, (0, 0, 0), 1),
    "open_by_handle_at": (304, (0, 0, 0), 1),
    "init_module": (175, (0, 0, 0), 1),
    "io_uring_setup": (425, (1, 0), 1),
    "socket AF_ALG": (41, (38, 5, 0), 1),
    "TIOCSTI": (16, (0, 0x5412, 0), 1),
    "clone3": (435, (0, 0), 38),
    "getpid": (39, (), 0),
    "unshare FILES": (272, (0x400,), 0),
}


@pytest.mark.parametrize("number, arguments, errno", KERNEL.values(), ids=KERNEL)
def test_what_the_kernel_answers(
    run: Any, tmp_path: Any, number: int, arguments: Tuple[int, ...], errno: int
) -> None:
    """Rows 38, 45 and the deny-list of SECURITY section 3, for root."""
    code = b"\xb8" + number.to_bytes(4, "little")  # eax = number; edi, esi, edx = arguments
    for load, value in zip((b"\xbf", b"\xbe", b"\xba"), (*arguments, 0, 0, 0)):
        code += load + value.to_bytes(4, "little")
    code += bytes.fromhex("0f05 4885c0 7f06 f7d8 89c7 eb02 31ff b83c000000 0f05".replace(" ", ""))
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "call").write_bytes(elf(code))
    (layer / "call").chmod(0o755)

    assert errno == run("/call", lower=[run.base, layer]).status.code


def test_a_32_bit_program_is_killed_and_told(run: Any, tmp_path: Any) -> None:
    """int 0x80 from a 64-bit program: exit of the other interface."""
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "old").write_bytes(elf(bytes.fromhex("b801000000bb00000000cd80")))
    (layer / "old").chmod(0o755)

    status = run("/old", lower=[run.base, layer]).status

    assert (159, 31) == (status.code, status.signal)
    assert "32-bit interface" in status.message
