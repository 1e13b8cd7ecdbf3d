"""From a FileOp's request to its layer: find the inputs, draft the changes, write them."""

from __future__ import annotations

from typing import List, Optional

from imagebuild.execute.file_step import apply_file_op
from imagebuild.execute.new_layer import layer_from_draft, mtime_of
from imagebuild.execute.pure_requests import StepRequest
from imagebuild.execute.sources import ContextSource, Source, TreeSource
from imagebuild.execute.spool import Spool
from imagebuild.execute.trees import needed_tree, to_bytes
from imagebuild.llb.ops import FileOp
from imagebuild.oci.descriptor import Layer
from imagebuild.store.store import Store


def write_file_layer(request: StepRequest, store: Store, context: str) -> Optional[Layer]:
    """The new layer, or None when everything that was to be made is there already.

    :raises LayerMissingError: when the index of a layer below, or a layer that is copied from, is not in the store.
    """
    op = request.step.op
    assert isinstance(op, FileOp)
    files = ContextSource(context, frozenset(map(to_bytes, request.plain)))
    sources: List[Source] = [
        TreeSource(store, diff_ids, needed_tree(store, diff_ids)) if diff_ids else files
        for diff_ids in request.trees
    ]
    below = needed_tree(store, request.step.parents)
    with store.work_dir() as directory, Spool(directory) as spool:
        epoch = request.step.epoch
        draft = apply_file_op(op, below, sources, mtime_of(epoch), spool, keeps_times=epoch is None)
        return None if draft.empty else layer_from_draft(store, draft, request)
