"""What the system's errors mean when a layer is extracted."""

from __future__ import annotations

import errno
from typing import Optional

from imagebuild.errors import HostError, ImageBuildError, MalformedError, StoreFullError
from imagebuild.layer.entry import Entry, shown


def translated(error: OSError, entry: Optional[Entry]) -> ImageBuildError:
    """The error that says so, of an entry or of the layer as a whole."""
    what = f"layer entry {shown(entry.path)}" if entry else "the layer"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(
            f"no room to extract {what}: {error.strerror}",
            hint="free space where the store is, or move the store",
        )
    if error.errno in (
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EINVAL,
        errno.ELOOP,
        errno.EISDIR,
        errno.ENOENT,
        errno.EEXIST,
    ):
        return MalformedError(
            f"{what} cannot be extracted: {error.strerror}", hint="the layer is broken"
        )
    return HostError(
        f"{what} cannot be extracted: {error.strerror}",
        hint="extraction keeps owners and devices and needs root",
    )
