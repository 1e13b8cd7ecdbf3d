"""A call that goes on without a slot of Pants' (see imagebuild.serve.aside): how its end is heard of, and its answer got."""

from __future__ import annotations

import hashlib

from pants.engine.fs import FileDigest, NativeDownloadFile

from imagebuild import canonical
from imagebuild.serve.aside import GoesOn
from pants_kaniko.calls import ExecutorCall, SetAside


def end_of(goes_on: GoesOn) -> NativeDownloadFile:
    """What can be downloaded as soon as a call that was set aside has ended."""
    content = goes_on.name.encode()
    digest = FileDigest(hashlib.sha256(content).hexdigest(), len(content))
    return NativeDownloadFile(goes_on.url, digest)


def outcome_call(aside: SetAside, goes_on: GoesOn) -> ExecutorCall:
    """What `call` would have answered."""
    return ExecutorCall(
        "outcome",
        canonical.dumps(goes_on),
        aside.call.description,
        pure=True,
        scope=aside.call.scope,
    )
