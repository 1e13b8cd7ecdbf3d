"""How a child that has entered an image's root tells its parent what went wrong, without importing anything."""

from __future__ import annotations

import errno
import os
from typing import Dict, Type

from imagebuild.errors import (
    HostError,
    ImageBuildError,
    NamespacesUnavailableError,
    OverlayUnavailableError,
    StepError,
    StoreFullError,
    UnsafePathError,
)

_CLASSES: Dict[str, Type[ImageBuildError]] = {
    cls.__name__: cls
    for cls in (
        HostError,
        NamespacesUnavailableError,
        OverlayUnavailableError,
        StepError,
        StoreFullError,
        UnsafePathError,
    )
}
_SEPARATOR = "\0"


class CannotStartError(Exception):
    """The command itself could not be executed: the step fails as under a shell, with 126 or 127."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def encode(error: ImageBuildError) -> bytes:
    """One error as bytes for the status pipe."""
    name = type(error).__name__
    parts = (name if name in _CLASSES else "HostError", error.message, error.expected, error.hint)
    clean = (part.replace(_SEPARATOR, "?") for part in parts)
    return _SEPARATOR.join(clean).encode("utf-8", "backslashreplace")


def decode(data: bytes) -> ImageBuildError:
    """The error that `encode` wrote."""
    name, message, expected, hint = data.decode("utf-8", "replace").split(_SEPARATOR)
    return _CLASSES[name](message, expected=expected, hint=hint)


def unexpected(error: OSError, doing: str) -> HostError:
    """A system call failed where only the host can be to blame."""
    reason = f"cannot {doing}: {error.strerror or os.strerror(error.errno or 0)}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(
            reason, hint="free space there, or put the store (Pants' named caches) on another disk"
        )
    if error.errno in (errno.EPERM, errno.EACCES):
        return NamespacesUnavailableError(
            reason,
            hint="give the builder CAP_SYS_ADMIN and a security profile that allows mounts, "
            "or set [kaniko].runtime to chroot",
        )
    return HostError(reason, hint="choose another [kaniko].runtime")
