"""Platforms as users write them, and the arguments that name them (Dockerfile reference, "Automatic platform ARGs")."""

from __future__ import annotations

from typing import Dict, Optional

from imagebuild.errors import DockerfileSyntaxError
from imagebuild.oci.descriptor import Platform
from imagebuild.oci.platforms import normalised

_SYSTEMS = frozenset("aix android darwin freebsd illumos linux netbsd openbsd solaris wasi".split())
_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x sparc64 wasm".split()
)
EXPECTED = "OS/ARCHITECTURE[/VARIANT], for example linux/amd64"


def read_platform(text: str, own: Optional[Platform] = None) -> Platform:
    """The platform that `text` means: all of it or, where there is `own` for the rest, only a system or an architecture.

    :raises DockerfileSyntaxError: for what is no platform, or one whose images we cannot build (Windows).
    """
    parts = text.split("/")
    if not all(parts) or len(parts) > 3 or (len(parts) == 1 and own is None):
        raise DockerfileSyntaxError(f'"{text}" is no platform', expected=EXPECTED)
    if len(parts) == 1 and own is not None:
        system = parts[0].lower() in (*_SYSTEMS, "windows")
        parts = [parts[0], own.architecture, own.variant] if system else [own.os, parts[0]]
    wanted = normalised(Platform(parts[0], parts[1], parts[2] if len(parts) == 3 else ""))
    if wanted.os == "windows":
        raise DockerfileSyntaxError(
            f'"{text}" is Windows, whose layers are laid out in another way',
            expected="another system, for example linux/amd64",
        )
    if wanted.os not in _SYSTEMS or wanted.architecture not in _ARCHITECTURES:
        unknown = wanted.architecture if wanted.os in _SYSTEMS else wanted.os
        raise DockerfileSyntaxError(
            f'"{text}" is no platform: "{unknown}" is not known', expected=EXPECTED
        )
    return wanted


def platform_args(
    platform: Platform, target: str, build: Optional[Platform] = None
) -> Dict[str, str]:
    """The automatic arguments.

    :param platform: what is built for.
    :param build: what builds; None where that is the same.
    """
    sides = {"BUILD": build or platform, "TARGET": platform}
    named = {
        f"{side}{part}": value
        for side, whose in sides.items()
        for part, value in (
            ("PLATFORM", str(whose)),
            ("OS", whose.os),
            ("OSVERSION", ""),
            ("ARCH", whose.architecture),
            ("VARIANT", whose.variant),
        )
    }
    return {**named, "TARGETSTAGE": target or "default"}
