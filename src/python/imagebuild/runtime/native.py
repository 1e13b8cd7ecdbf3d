"""Which platform this machine is. Apart from ``emulation``, which is loaded only where it is another one."""

from __future__ import annotations

import os

from imagebuild.oci.descriptor import Platform

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def own_platform() -> Platform:
    machine = os.uname().machine
    return Platform("linux", _ARCHITECTURES.get(machine, machine))


def is_native(platform: Platform) -> bool:
    """Whether this machine's processor and kernel run programs of `platform` themselves. A variant is not looked at."""
    own = own_platform()
    return (platform.os, platform.architecture) == (own.os, own.architecture)
