"""Keys that must stay what they are: what a file of tests/golden/keys/ may say, and when it may be written."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, Dict

from imagebuild.llb.step import FORMAT_VERSION

_WRITE = "write it with `pytest tests/core/llb/test_golden_keys.py --update-golden`, and read what it wrote"
_CHANGED = """\
{name}: {what} changed, and FORMAT_VERSION (imagebuild/llb/step.py) is still {version}.
Everyone's caches know the old one. Ask first whether it has to change:
- a new member of an op has a default that means "as before"; members that have their default are in no key;
- what only describes a step (lines, names, places) belongs beside it, not into it (docs/cache-keys.md).
If it has to (the old key would now name another layer, or the same layer has to have a new name):
- raise FORMAT_VERSION by one, then {write}.
As long as no version is released with this case: delete {path} instead, {write},
and say in the commit what changed its meaning.
{difference}"""


def check_case(path: Path, case: Dict[str, Any], *, update: bool) -> None:
    """Compare a case with its file. With `update`, write the file where it is new, of another FORMAT_VERSION, or made of
    another Dockerfile (``made_of``); a key that changed for any other reason stays an error.

    :raises AssertionError: saying what to do.
    """
    actual = {"format_version": FORMAT_VERSION, **case}
    known = json.loads(path.read_text()) if path.exists() else None
    if known == actual:
        return
    if known is None:
        reason = f"{path.stem}: there is no golden file of its keys; {_WRITE}"
    elif known["format_version"] != FORMAT_VERSION:
        reason = f"{path.stem}: its golden file is of FORMAT_VERSION {known['format_version']}, we are at {FORMAT_VERSION}; {_WRITE}"
    elif known.get("made_of") != actual.get("made_of"):
        reason = f"{path.stem}: the files that it is made of are other ones now; {_WRITE}"
    else:
        raise AssertionError(_changed(path, known, actual))
    assert update, reason
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(actual))


def _changed(path: Path, known: Dict[str, Any], actual: Dict[str, Any]) -> str:
    lines = difflib.unified_diff(
        _text(known).splitlines(), _text(actual).splitlines(), "golden", "now", lineterm="", n=3
    )
    keys = "the layer of a key" if "diff_id" in actual else "a key"
    return _CHANGED.format(
        name=path.stem,
        what=keys,
        version=FORMAT_VERSION,
        write=_WRITE,
        path=f"tests/golden/keys/{path.parent.name}/{path.name}",
        difference="\n".join(lines),
    )


def _text(document: Dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
