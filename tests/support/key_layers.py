"""What golden keys name: steps over files that are always the same, and the layers that they make."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any, Dict

from imagebuild import canonical
from imagebuild.execute.pure_requests import StepRequest
from imagebuild.execute.step import run_step
from imagebuild.llb.ops import FileOp, InlineFile, MkdirAction
from imagebuild.llb.step import FORMAT_VERSION, Step
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store
from support.builds import Files, write_files
from support.key_cases import AMD64, EPOCH, copy
from support.stores import put_layer
from support.tars import directory, hardlink, make_tar, member


def _link(name: str, target: str) -> Any:
    return member(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777, uid=0, gid=0)


_ARCHIVE = make_tar(
    directory("in", 0o2750, uid=5, gid=6, mtime=7),
    member("in/f", b"packed", mode=0o4711, uid=5, gid=6, mtime=2_000_000_000),
    hardlink("in/h", "in/f"),
    _link("in/l", "/f"),
)
CONTEXT: Files = {
    "a": "a",
    "b*": "b",
    "d/x.py": "x = 1\n",
    "d/y.pyc": "y",
    "d/sub/z": "z",
    "d/soft": "->x.py",
    "empty": None,
    "link": "->a",
    "pack.tar": _ARCHIVE,
    "holes": bytes(200_000),
}
BELOW = (
    directory("etc", uid=0, gid=0),
    member("etc/passwd", b"app:x:1000:50::/:/bin/sh\n", uid=0, gid=0),
    member("etc/group", b"staff:x:50:\n", uid=0, gid=0),
    directory("srv", 0o2770, uid=3, gid=4),
    member("srv/f", b"\0" * 9, mode=0o4755, uid=3, gid=4, pax_headers={"SCHILY.xattr.user.a": "1"}),
    hardlink("srv/g", "srv/f"),
    _link("to", "srv"),
)
TREE = "tree"  # marks the steps that copy from `BELOW` rather than from the context

LAYERS: Dict[str, Any] = {
    "copy": copy("a", "b", "d"),
    "copy-to-a-name": copy("a", dest_is_dir=False, dest="/new/name"),
    "copy-through-a-link": copy("a", dest="/to"),
    "copy-a-glob": copy("[ab]", "d/*.py"),
    "copy-a-link": copy("link", "d/soft"),
    "copy-an-empty-directory": copy("empty"),
    "copy-zeros": copy("holes"),
    "copy-owner": copy("d", owner="app:staff"),
    "copy-owner-by-name": copy("d", owner="app"),
    "copy-mode": copy("d", mode=0o4750),
    "copy-symbolic-mode": copy("d", "b", symbolic_mode="u=rwX,go=rX,+t"),
    "copy-unpack": copy("pack.tar", unpack=True),
    "copy-exclude": copy("d", exclude=("**/*.py", "!**/x.py", "sub")),
    "copy-parents": copy("d/./sub/z", "d/x.py", parents=True),
    "copy-link": copy("a", link=True, dest="/to"),
    "copy-files": copy(files=(InlineFile("one", "1\n"), InlineFile("two", "\udcff"))),
    "copy-from-a-tree": (TREE, copy("srv", "to", keep_owner=True)),
    "copy-all-of-a-tree": (TREE, copy("/", keep_owner=True, dest="/")),
    "mkdir": FileOp((MkdirAction("/to/a/b", 0o755),)),
    "mkdir-owner": FileOp((MkdirAction("/new/a", 0o700, "app:staff"),)),
}


def layer_of(case: Any, directory: Path) -> Dict[str, Any]:
    """The content key of a case, and the diffID of the layer that the step makes."""
    op, from_tree = (case[1], True) if isinstance(case, tuple) else (case, False)
    store, context = Store(str(directory / "store")), directory / "context"
    context.mkdir()
    write_files(context, CONTEXT)
    below = put_layer(store, *BELOW)
    store.index_layer(below)
    step = Step(FORMAT_VERSION, op, AMD64, EPOCH, (below.diff_id,), (Hash.of(b"files"),))
    trees = ((below.diff_id,) if from_tree else (),)
    layer = run_step(StepRequest(step, trees), store, str(context)).layer
    assert layer is not None
    return {
        "content_key": str(canonical.fingerprint(step)),
        "content": canonical.encode(step),
        "diff_id": str(layer.diff_id),
    }
