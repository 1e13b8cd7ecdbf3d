"""A new layer enters the store: from an overlay's top directory, or from a draft."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Callable, Optional

from imagebuild.execute.pure_requests import StepRequest
from imagebuild.layer.entry import NANOSECONDS, ROOT
from imagebuild.layer.tree import TreeView
from imagebuild.layer.writer import LayerWriter
from imagebuild.oci.descriptor import Layer
from imagebuild.store.store import Store

if TYPE_CHECKING:
    from imagebuild.execute.draft import Draft


def layer_from_upper(store: Store, upper: str, request: StepRequest, below: TreeView) -> Layer:
    """Write the changes in `upper` as a layer, and keep the directory as its extracted form.

    :param below: the tree before the step.
    """

    from imagebuild.layer.capture import capture_upper

    root = below.lookup(ROOT)
    assert root is not None, "every tree has a root"

    def fill(writer: LayerWriter) -> None:
        capture_upper(upper, writer, epoch=request.step.epoch, root=root, below=below.lookup)

    layer = _write(store, request.compression, fill)
    store.adopt_extracted(layer.diff_id, upper)
    return layer


def layer_from_draft(store: Store, draft: Draft, request: StepRequest) -> Layer:
    """Write a draft's entries as a layer."""

    def fill(writer: LayerWriter) -> None:
        for entry, open_content in draft.entries():
            with open_content() if open_content else nullcontext() as content:
                writer.add(entry, content)

    return _write(store, request.compression, fill)


def _write(store: Store, compression: str, fill: Callable[[LayerWriter], None]) -> Layer:
    with store.ingest() as sink:
        writer = LayerWriter(sink, compression=compression)
        try:
            fill(writer)
            written = writer.finish()
        except BaseException:
            writer.abort()
            raise
        sink.commit(written.layer.descriptor)
    store.add_layer(written.layer, written.index)
    return written.layer


def mtime_of(epoch: Optional[int]) -> int:
    """Nanoseconds that new files carry: the epoch, or with `reproducible=False` the present."""
    return epoch * NANOSECONDS if epoch is not None else time.time_ns()
