"""Platforms in the one spelling that equal ones share, and which of them runs on which (as containerd's package
``platforms`` has it)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Optional

from imagebuild.oci.descriptor import Platform

_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_SPELLINGS = {
    ("arm64", "v8"): "",
    ("arm64", "8"): "",
    ("amd64", "v1"): "",
    ("arm", ""): "v7",
    **{("arm", digit): f"v{digit}" for digit in "5678"},
}
_DEFAULT_LEVELS = {"amd64": 1.0, "arm64": 8.0}
_LEVEL = re.compile(r"v([0-9]+(?:\.[0-9]+)?)\Z")


def normalised(platform: Platform) -> Platform:
    """`platform` in the one spelling that equal ones share: linux/x86_64 is linux/amd64, linux/arm is linux/arm/v7."""
    architecture, variant = platform.architecture.lower(), platform.variant.lower()
    if architecture in _ALIASES:
        architecture, implied = _ALIASES[architecture]
        variant = implied or variant
    variant = _SPELLINGS.get((architecture, variant), variant)
    return replace(platform, os=platform.os.lower(), architecture=architecture, variant=variant)


def distance(offered: Platform, wanted: Platform) -> Optional[float]:
    """How far what is `offered` is from what is `wanted`: 0 for the same, more for what runs there too but makes less of
    the processor, None for what does not run there."""
    offered, wanted = normalised(offered), normalised(wanted)
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    if offered.variant == wanted.variant:
        return 0.0
    have, need = _level(offered), _level(wanted)
    return need - have if have is not None and need is not None and have <= need else None


def _level(platform: Platform) -> Optional[float]:
    """What a variant asks of the processor, as a number; None for a variant that is none."""
    if not platform.variant:
        return _DEFAULT_LEVELS.get(platform.architecture)
    match = _LEVEL.match(platform.variant)
    return float(match[1]) if match else None
