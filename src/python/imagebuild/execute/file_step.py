"""Run a FileOp: COPY, ADD and WORKDIR. How files are copied is in `copier`."""

from __future__ import annotations

from typing import Optional, Sequence

from imagebuild.errors import StepError
from imagebuild.execute.copier import ROOT_OWNER, Copier
from imagebuild.execute.draft import Draft, Owner
from imagebuild.execute.sources import Source
from imagebuild.execute.spool import Spool
from imagebuild.execute.trees import text_of, to_bytes
from imagebuild.layer.index import GROUP, PASSWD
from imagebuild.layer.tree import TreeView
from imagebuild.llb.ops import FileOp, MkdirAction
from imagebuild.users import resolve_owner


def apply_file_op(
    op: FileOp,
    tree: TreeView,
    sources: Sequence[Source],
    mtime: int,
    spool: Spool,
    *,
    keeps_times: bool = False,
) -> Draft:
    """The layer that `op` makes over `tree`.

    :param tree: what is below; an op that is linked is made over nothing, whatever this is.
    :param sources: one for each input of the step.
    :param mtime: nanoseconds; what every new entry carries, and the latest that one of an archive does.
    :param spool: needed for as long as the draft is.
    :param keeps_times: what is copied from a tree has the time that it has there; a context knows none.
    :raises ContextError: for sources that are not there, and places that cannot be written.
    """
    tree = TreeView(()) if op.link else tree
    draft = Draft(tree, mtime, keeps_times=keeps_times)
    for action in op.actions:
        owner = _owner(action.owner, tree, linked=op.link)
        if isinstance(action, MkdirAction):
            draft.mkdir(draft.resolve(to_bytes(action.path)), action.mode, owner or ROOT_OWNER)
            continue
        copier = Copier(draft, action, owner, spool)
        if action.sources:
            copier.copy(sources[action.input])
        for file in action.files:
            copier.write(file)
    return draft


def _owner(owner: Optional[str], tree: TreeView, *, linked: bool) -> Optional[Owner]:
    if owner is None:
        return None
    try:
        return resolve_owner(owner, text_of(tree, PASSWD), text_of(tree, GROUP))
    except StepError as error:
        if linked:
            error.hint = "with --link the files of the stage are not looked into: give numbers, or leave --link out"
        raise
