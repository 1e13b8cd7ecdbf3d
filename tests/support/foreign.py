"""Programs of another platform, and the emulator that runs them, registered for as long as a test wants it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Iterator

MACHINE = 183
"""arm64 in ELF."""

# uname(&sp); fd = openat(AT_FDCWD, "/made", O_WRONLY | O_CREAT, 0644); write(fd, machine, 7); exit(0)
_CODE = (
    0xD10803FF,  # sub sp, sp, #512
    0x910003E0,  # mov x0, sp
    0xD2801408,  # mov x8, #160
    0xD4000001,  # svc #0
    0x92800C60,  # mov x0, #-100
    0x10000181,  # adr x1, path
    0xD2800822,  # mov x2, #0x41
    0xD2803483,  # mov x3, #0644
    0xD2800708,  # mov x8, #56
    0xD4000001,  # svc #0
    0x910413E1,  # add x1, sp, #260
    0xD28000E2,  # mov x2, #7
    0xD2800808,  # mov x8, #64
    0xD4000001,  # svc #0
    0xD2800000,  # mov x0, #0
    0xD2800BA8,  # mov x8, #93
    0xD4000001,  # svc #0
)

# $1: where to mount, $2: the entry, $3: its name
_REGISTER = """\
mount -t binfmt_misc none "$1" && printf %s "$2" > "$1/register" && echo ready && cat
printf %s -1 > "$1/$3"
"""
_DISABLE = """\
mount -t binfmt_misc none "$1" || exit 1
for entry in "$1"/*; do grep -qs '^magic .*b700$' "$entry" && printf 0 > "$entry" && found="$found $entry"; done
echo ready && cat
for entry in $found; do printf 1 > "$entry"; done
"""


def arm64_program() -> bytes:
    """A static program for arm64 that writes the name of the machine it runs on to ``/made``."""
    code = struct.pack(f"<{len(_CODE)}I", *_CODE) + b"/made\0"
    size = 120 + len(code)
    header = struct.pack("<4s5B7x", b"\x7fELF", 2, 1, 1, 0, 0)
    header += struct.pack("<HHIQQQI6H", 2, MACHINE, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<II6Q", 1, 5, 0, 0x400000, 0x400000, size, size, 0x10000) + code


def arm64_layer() -> bytes:
    """A layer tar with that program as ``/bin/report``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        directory = tarfile.TarInfo("bin")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(directory)
        program = arm64_program()
        file = tarfile.TarInfo("bin/report")
        file.size, file.mode = len(program), 0o755
        tar.addfile(file, io.BytesIO(program))
    return out.getvalue()


@contextlib.contextmanager
def emulator(directory: Path, flags: str = "PF") -> Iterator[None]:
    """Let the kernel run arm64 programs with qemu until the block ends.

    Registered through a mount in a mount namespace of its own; what is registered holds for the whole machine.
    """
    qemu = shutil.which("qemu-aarch64-static")
    assert qemu, "these tests need the program qemu-aarch64-static (package qemu-user-static)"
    name, place = f"kaniko-test-{os.getpid()}", directory / "binfmt"
    place.mkdir(parents=True, exist_ok=True)
    magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    mask = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"
    entry = f":{name}:M::{magic}:{mask}:{qemu}:{flags}"
    with _helper(_REGISTER, str(place), entry, name):
        yield


@contextlib.contextmanager
def no_emulator(directory: Path) -> Iterator[None]:
    """Keep the kernel from running arm64 programs until the block ends, whatever the machine has registered."""
    place = directory / "binfmt"
    place.mkdir(parents=True, exist_ok=True)
    with _helper(_DISABLE, str(place)):
        yield


@contextlib.contextmanager
def _helper(script: str, *arguments: str) -> Iterator[None]:
    helper = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert helper.stdin and helper.stdout
    try:
        assert b"ready\n" == helper.stdout.readline(), "binfmt_misc could not be mounted"
        yield
    finally:
        helper.stdin.close()
        helper.wait(timeout=20)
        helper.stdout.close()
