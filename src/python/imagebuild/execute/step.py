"""``step``: run one step and leave its layer in the store. Pure: the same request gives the same layer.

Each kind of op has one function here that yields the layer; everything around it is common.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Callable, Dict, Optional, Type

from imagebuild import canonical
from imagebuild.cache.local import local_record
from imagebuild.cache.record import LayerRecord
from imagebuild.execute.pure_requests import StepRequest, StepResult
from imagebuild.llb.ops import ExecOp, FileOp
from imagebuild.oci.descriptor import Layer
from imagebuild.store.files import translated
from imagebuild.store.store import Store


def run_step(request: StepRequest, store: Store, context: str) -> StepResult:
    """Make the layer of `request.step`, or find that the store has it.

    :param context: the directory with the context files that the step selects.
    :raises CommandFailedError: when a RUN's command fails.
    :raises LayerMissingError: when a layer below is not in the store.
    :raises SourceNotInContextError: for a source that matches nothing in a tree that was not looked into before.
    """
    if request.unread:
        request = _read(request, store)
    key = canonical.fingerprint(request.step)
    record = local_record(store, key) if request.use_records else None
    if record is None:
        layer = _make(request, store, context)
        record = LayerRecord(request.step, layer)
        store.put_record(key, canonical.dumps(record))
    return StepResult(record.layer, request.step if request.unread else None)


def _read(request: StepRequest, store: Store) -> StepRequest:
    """The request with the digests of what its trees give."""
    from imagebuild.execute.select import input_digest
    from imagebuild.execute.trees import needed_tree

    inputs = list(request.step.inputs)
    for number in request.unread:
        tree = needed_tree(store, request.trees[number])
        inputs[number] = input_digest(tree, request.step.op, number)
    return replace(request, step=replace(request.step, inputs=tuple(inputs)))


def _make(request: StepRequest, store: Store, context: str) -> Optional[Layer]:
    try:
        return _EXECUTORS[type(request.step.op)](request, store, context)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise translated(error, store.root) from None
        raise


def _exec(request: StepRequest, store: Store, context: str) -> Optional[Layer]:
    from imagebuild.execute.exec_step import run_exec

    return run_exec(request, store, context)


def _file(request: StepRequest, store: Store, context: str) -> Optional[Layer]:
    from imagebuild.execute.file_layer import write_file_layer

    return write_file_layer(request, store, context)


_EXECUTORS: Dict[Type[object], Callable[[StepRequest, Store, str], Optional[Layer]]] = {
    ExecOp: _exec,
    FileOp: _file,
}
