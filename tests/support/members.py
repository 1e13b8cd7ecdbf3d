"""Members of a tar that come into each other's way."""

from __future__ import annotations

from typing import Any, List

from hypothesis import strategies as st

from support.tars import directory, hardlink, member, symlink

names = st.sampled_from(["a", "b", "c", "a/x", "a/y", "a/z", "b/x", "b/y", "a/x/y"])
modes = st.sampled_from([0o644, 0o644, 0o644, 0o755, 0o600, 0o666, 0, 0o4755, 0o2755, 0o1644])
owners = st.sampled_from([(0, 0), (0, 0), (0, 0), (0, 7), (7, 0), (7, 7)])


@st.composite
def members(draw: st.DrawFn) -> List[Any]:
    found = []
    for name in draw(st.lists(names, max_size=14)):
        uid, gid = draw(owners)
        kind = draw(st.sampled_from(["file", "file", "file", "file", "dir", "link", "hard"]))
        if kind == "file":
            found.append(member(name, b"data", mode=draw(modes), uid=uid, gid=gid))
        elif kind == "dir":
            setgid = draw(st.sampled_from([0o755, 0o2755]))
            found.append(directory(name, mode=setgid, uid=uid, gid=gid))
        elif kind == "link":
            found.append(symlink(name, "b"))
        else:
            found.append(hardlink(name, "a/x"))
    return found
