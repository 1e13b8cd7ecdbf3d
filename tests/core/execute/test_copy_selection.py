"""The files that lowering selects are those that a COPY takes: a step that gets only them copies what it would of all."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuild.dockerfile.context import Context
from imagebuild.dockerfile.selection import select_from_context
from imagebuild.errors import ImageBuildError
from imagebuild.execute.local_context import list_context
from imagebuild.execute.selection import selection
from imagebuild.execute.sources import ContextSource
from imagebuild.llb.ops import CopyAction
from imagebuild.llb.plan import ContextInput

NAMES = st.sampled_from(["a", "b", "a.py", "c.txt"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.sampled_from(["file", "dir", "->a", "->../b", "->."]), max_size=7)
PARTS = st.sampled_from(["a", "b", "*", "?.*", "**", "a.py", "[ab]", "."])
SOURCES = st.lists(
    st.lists(PARTS, min_size=1, max_size=4).map("/".join), min_size=1, max_size=2, unique=True
)
EXCLUDED = st.lists(
    st.sampled_from(["*.py", "**/*.txt", "a", "!a/b", "b/*", "**", "!**/c.txt"]), max_size=2
)
Copied = List[Tuple[bytes, bytes, List[bytes]]]


def lay_out(root: Path, tree: Sequence[Tuple[str, str]]) -> None:
    """What finds its place taken is left out."""
    for name, kind in tree:
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "dir":
                path.mkdir()
            elif kind == "file":
                path.write_text(name)
            else:
                path.symlink_to(kind[2:])
        except OSError:
            continue


def only(paths: Sequence[str], whole: Path, part: Path) -> None:
    """What a step's sandbox holds of a context."""
    for path in paths:
        source, target = whole / path, part / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() and not source.is_symlink():
            target.mkdir(exist_ok=True)
        else:
            shutil.copy2(source, target, follow_symlinks=False)


def copied(root: Path, action: CopyAction) -> Copied:
    files = ContextSource(str(root))
    found = [
        (item.name, item.real, [listed.name for listed in item.below])
        for item in selection(files, action)
    ]
    return [item for item in found if item[2] or not action.parents]  # a base without a match


def selected(
    root: Path, sources: Sequence[str], exclude: Sequence[str], parents: bool
) -> Optional[Tuple[CopyAction, ContextInput]]:
    context = Context(tuple(list_context(str(root))))
    try:
        found = select_from_context(context, sources, exclude, parents=parents)
    except ImageBuildError:
        return None
    assert isinstance(found.input, ContextInput)
    action = CopyAction(0, found.patterns, "/d", True, exclude=tuple(exclude), parents=parents)
    return action, found.input


@settings(max_examples=150, deadline=None)
@given(TREES, SOURCES, EXCLUDED, st.booleans())
def test_the_selected_files_are_enough(
    tree: Dict[str, str], sources: List[str], exclude: List[str], parents: bool
) -> None:
    with tempfile.TemporaryDirectory() as place:
        whole, part = Path(place, "whole"), Path(place, "part")
        whole.mkdir()
        part.mkdir()
        lay_out(whole, list(tree.items()))
        found = selected(whole, sources, exclude, parents)
        if found is None:
            return
        action, chosen = found
        only(chosen.paths, whole, part)

        assert copied(whole, action) == copied(part, action)


@settings(max_examples=150, deadline=None)
@given(TREES, SOURCES, EXCLUDED, st.booleans())
def test_what_is_excluded_is_in_no_digest(
    tree: Dict[str, str], sources: List[str], exclude: List[str], parents: bool
) -> None:
    """A file that is not copied may change, and the digest stays."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        lay_out(root, list(tree.items()))
        found = selected(root, sources, exclude, parents)
        if found is None:
            return
        action, chosen = found
        context = tuple(list_context(place))
        for number, entry in enumerate(context):
            if entry.kind != "file" or entry.path in chosen.paths:
                continue
            changed = (*context[:number], replace(entry, size=99), *context[number + 1 :])
            again = select_from_context(Context(changed), sources, exclude, parents=parents)
            assert chosen == again.input
