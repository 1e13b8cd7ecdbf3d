"""What a RUN reads through its mounts counts in its key, and nothing else of the tree does."""

from __future__ import annotations

from typing import Any

from imagebuild.execute.select import input_digest
from imagebuild.llb.ops import BindMount, CacheMount, ExecOp
from support.drafts import tree
from support.tars import directory, member, symlink

RUN = ExecOp(
    ("true",),
    (),
    "/",
    "",
    "host",
    (BindMount("/m", 0, "/link"), CacheMount("/c", "id"), BindMount("/n", 1, "/")),
)


def digest(content: bytes = b"1", *, time: int = 1, other: bytes = b"", mode: int = 0o755) -> Any:
    files = (directory("s", mode), member("s/f", content, mtime=time), symlink("link", "s"))
    return input_digest(tree((*files, member("other", other))), RUN, 0)


def test_a_mount_counts_with_contents_times_and_attributes() -> None:
    assert 4 == len({digest(), digest(b"2"), digest(time=2), digest(mode=0o700)})


def test_what_is_not_mounted_does_not_count() -> None:
    assert digest() == digest(other=b"changed")
