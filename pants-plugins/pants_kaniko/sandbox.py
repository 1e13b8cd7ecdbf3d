"""What a step's sandbox holds of the context."""

from __future__ import annotations

from typing import Tuple

from pants.engine.fs import FileEntry

from imagebuild.llb.plan import ContextInput
from pants_kaniko.plans import PlanHandle

MIN_LINKED = 256 << 10
"""Bytes; Pants links files of 512 KiB and more. What is told of others does no harm."""


def context_paths(handle: PlanHandle, number: int) -> Tuple[str, ...]:
    """The entries of the context that a step selects, sorted."""
    inputs = handle.plan.steps[number].inputs
    paths = {path for item in inputs if isinstance(item, ContextInput) for path in item.paths}
    return tuple(sorted(paths))


def plain_files(handle: PlanHandle, number: int) -> Tuple[str, ...]:
    """Files that are not executable, and may look so: Pants hard links large ones out of its store, where all are."""
    entries = ((path, handle.files[path]) for path in context_paths(handle, number))
    return tuple(
        path
        for path, entry in entries
        if isinstance(entry, FileEntry)
        and not entry.is_executable
        and entry.file_digest.serialized_bytes_length >= MIN_LINKED
    )
