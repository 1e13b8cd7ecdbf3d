"""Platforms as users write them, and the arguments that name them (Dockerfile reference, "Automatic platform ARGs")."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict

from imagebuild.errors import DockerfileSyntaxError, NotSupportedYetError
from imagebuild.oci.descriptor import Platform

# as containerd's platforms package normalises them
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {("arm64", "v8"), ("arm64", "8"), ("arm", "v7"), ("arm", "7"), ("amd64", "v1")}
_SYSTEMS = ("linux", "windows", "darwin", "freebsd")


def normalised(platform: Platform) -> Platform:
    """`platform` in the one spelling that equal ones share."""
    architecture = platform.architecture.lower()
    architecture, variant = _ARCHITECTURES.get(
        architecture, (architecture, platform.variant.lower())
    )
    if (architecture, variant) in _DEFAULT_VARIANTS:
        variant = ""
    return replace(platform, os=platform.os.lower(), architecture=architecture, variant=variant)


def check_platform(text: str, own: Platform) -> None:
    """Accept ``--platform`` only for what the build is for.

    :raises DockerfileSyntaxError: for what is no platform.
    :raises NotSupportedYetError: for another one.
    """
    parts = text.split("/")
    if not all(parts) or len(parts) > 3:
        raise DockerfileSyntaxError(
            f'--platform has the value "{text}"',
            expected="OS/ARCHITECTURE[/VARIANT], for example linux/amd64",
        )
    if len(parts) == 1:
        system = parts[0].lower() in _SYSTEMS
        parts = [parts[0], own.architecture, own.variant] if system else [own.os, parts[0]]
    wanted = normalised(Platform(parts[0], parts[1], parts[2] if len(parts) == 3 else ""))
    if wanted != normalised(own):
        raise NotSupportedYetError(
            f"--platform={text} is another platform than {own}, which this build is for: not supported yet",
            hint="leave --platform away, or build on a machine of that platform",
        )


def platform_args(platform: Platform, target: str) -> Dict[str, str]:
    """The automatic arguments; the machine that builds has the platform that is built for."""
    parts = {
        "PLATFORM": str(platform),
        "OS": platform.os,
        "OSVERSION": "",
        "ARCH": platform.architecture,
        "VARIANT": platform.variant,
    }
    named = {
        f"{side}{part}": value for side in ("BUILD", "TARGET") for part, value in parts.items()
    }
    return {**named, "TARGETSTAGE": target or "default"}
