"""Layers that try to get out of their root, and the ordinary layers that look like them (SECURITY: rows 1-12).

The situations of containerd's TestBreakouts, told anew, and those of the advisories behind rows 1-10.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Tuple

from imagebuild.layer.extract import ExtractResult, extract_layer
from support.checks import Check, absent, content, different, link, mode, same
from support.tars import directory, hardlink, member, symlink
from support.trees import plant_canary, tree_state


@dataclass(frozen=True)
class Case:
    """`before` is the tree that the layer meets; `holds` is None where the layer has to be refused."""

    layer: Tuple[Any, ...]
    holds: Optional[Tuple[Check, ...]]
    before: Tuple[Any, ...] = ()


ETC = (directory("etc", 0o770), member("/etc/passwd", b"inside"))
USERS = (directory("etc"), member("etc/passwd", b"all users"), member("etc/doomed", b"x"))

CASES = {
    # A parent that is a link leads to its place inside the root.
    "absolute link as a parent": Case(
        (directory("etc"), symlink("localetc", "/etc"), member("/localetc/new", b"data")),
        (content("etc/new", b"data"), link("localetc", "/etc")),
    ),
    "link up and out as a parent": Case(
        (
            directory("etc"),
            directory("dummy"),
            symlink("localetc", "/dummy/../etc"),
            member("/localetc/new", b"data"),
        ),
        (content("etc/new", b"data"),),
    ),
    "absolute links in a row": Case(
        (
            directory("etc"),
            directory("dummy"),
            symlink("/dummy/etc", "/etc"),
            symlink("l", "/dummy/etc"),
            member("/l/n", b"1"),
        ),
        (content("etc/n", b"1"),),
    ),
    "relative link to an absolute one": Case(
        (
            directory("etc"),
            directory("dummy"),
            symlink("/dummy/etc", "/etc"),
            symlink("l", "./dummy/etc"),
            member("/l/n", b"1"),
        ),
        (content("etc/n", b"1"),),
    ),
    "emptied through a link": Case(
        (directory("etc"), member("etc/f", b"full"), symlink("l", "/etc"), member("/l/f", b"")),
        (content("etc/f", b""),),
    ),
    # A hard link's target is looked for inside the root.
    "hard link through a relative link": Case(
        (*ETC, directory("b"), symlink("b/d1", "../../etc"), hardlink("b/mine", "/b/d1/passwd")),
        (same("b/mine", "etc/passwd"),),
    ),
    "hard link down and out": Case(
        (
            *ETC,
            directory("b"),
            directory("down"),
            symlink("b/d1", "../down/../../etc"),
            hardlink("b/mine", "/b/d1/passwd"),
        ),
        (same("b/mine", "etc/passwd"),),
    ),
    "hard link through an absolute link": Case(
        (*ETC, symlink("l", "/etc"), hardlink("mine", "/l/passwd")), (same("mine", "etc/passwd"),)
    ),
    "hard link through a long relative link": Case(
        (*ETC, symlink("l", "../../../../../../../etc"), hardlink("mine", "/l/passwd")),
        (same("mine", "etc/passwd"),),
    ),
    "hard link through a missing directory": Case(
        (*ETC, symlink("l", "missing/../../../etc"), hardlink("mine", "/l/passwd")),
        (same("mine", "etc/passwd"),),
    ),
    "hard link to a climbing name": Case(
        (*ETC, hardlink("mine", "../../../../../etc/passwd")), (same("mine", "etc/passwd"),)
    ),
    "hard link to an absolute name": Case(
        (*ETC, hardlink("mine", "/etc/passwd")), (same("mine", "etc/passwd"),)
    ),
    "hard link to a symlink, then its target": Case(
        (
            directory("etc"),
            symlink("l", "/etc/passwd"),
            hardlink("dup", "l"),
            member("/etc/passwd", b"after"),
        ),
        (same("dup", "/etc/passwd"), link("dup", "/etc/passwd")),
    ),
    "hard link to a relative symlink": Case(
        (*ETC, symlink("p", "../../../../../etc/passwd"), hardlink("mine", "/p")),
        (link("mine", "../../../../../etc/passwd"), same("mine", "etc/passwd")),
    ),
    "hard link to an absolute symlink": Case(
        (*ETC, symlink("p", "/etc/passwd"), hardlink("mine", "/p")),
        (link("mine", "/etc/passwd"), same("mine", "etc/passwd")),
    ),
    "hard link keeps setuid": Case(
        (member("su", b"#!", mode=0o4755), hardlink("su2", "su", mode=0o644)),
        (same("su", "su2"), mode("su", 0o4755)),
    ),
    # Odd names for links and directories.
    "a link named like the parent": Case(
        (*ETC, symlink("..", "/etc/"), hardlink("mine", "/etc/passwd")), None
    ),
    "a link without a name": Case(
        (*ETC, symlink("", "/etc/"), hardlink("mine", "/etc/passwd")), None
    ),
    "a link named by a detour": Case(
        (*ETC, symlink("localetc/sub/..", "/etc/"), hardlink("/localetc/mine", "/etc/passwd")),
        (same("/localetc/mine", "etc/passwd"),),
    ),
    "a directory with a slash at its end": Case(
        (*ETC, directory("localetc/", 0o770), hardlink("/localetc/mine", "/etc/passwd")),
        (same("localetc/mine", "etc/passwd"),),
    ),
    # What replaces what.
    "a link replaces a directory": Case(
        (symlink("localetc", "/etc"), hardlink("/localetc/mine", "/etc/passwd")),
        (same("/localetc/mine", "etc/passwd"), link("localetc", "/etc")),
        (*ETC, directory("localetc")),
    ),
    "a relative link replaces a directory": Case(
        (symlink("localetc", "../../etc"), hardlink("/localetc/mine", "/etc/passwd")),
        (same("/localetc/mine", "etc/passwd"),),
        (*ETC, directory("localetc")),
    ),
    "a directory replaces a link": Case(
        (directory("localetc"), hardlink("localetc/mine", "/etc/passwd")),
        (same("localetc/mine", "etc/passwd"), absent("etc/mine")),
        (*ETC, symlink("localetc", "/etc")),
    ),
    "a directory replaces a link, a file a hard link": Case(
        (directory("localetc"), member("localetc/p", b"different")),
        (different("localetc/p", "etc/passwd"), content("etc/passwd", b"inside")),
        (*ETC, symlink("localetc", "etc"), hardlink("etc/p", "etc/passwd")),
    ),
    "a file replaces a link of a lower layer": Case(
        (member("f", b"new"),),
        (content("f", b"new"), content("etc/passwd", b"inside")),
        (*ETC, symlink("f", "/etc/passwd")),
    ),
    # Whiteouts.
    "whiteout of the root's parent": Case((member(".wh..."),), None, ETC),
    "whiteout of a parent": Case((member("etc/.wh..."),), None, ETC),
    "whiteout of the root": Case((member(".wh.."),), None, ETC),
    "whiteout of a directory by its own name": Case((member("etc/.wh.."),), None, ETC),
    "whiteout of nothing": Case((member("etc/.wh."),), None, ETC),
    "whiteout of a link": Case(
        (member(".wh.localetc"),),
        (content("etc/passwd", b"all users"), absent("localetc")),
        (*USERS, symlink("localetc", "/etc")),
    ),
    "whiteout through a link": Case(
        (member("localetc/.wh.doomed"),),
        (content("etc/passwd", b"all users"), absent("etc/doomed")),
        (*USERS, symlink("localetc", "/etc")),
    ),
    "a directory with a whiteout's name": Case(
        (member(".wh.etc/file", b"x"),),
        (content("etc/passwd", b"all users"), content(".wh.etc/file", b"x")),
        USERS,
    ),
    "whiteout under a dead link": Case(
        (member("localetc/.wh.etc"),),
        (content("etc/passwd", b"all users"),),
        (*USERS, symlink("localetc", "/dne")),
    ),
    "whiteout by a detour": Case((member("dne/../.wh.etc"),), (absent("etc"),), USERS),
    "opaque marker under a link": Case(
        (member("localetc/.wh..wh..opq"),),
        (absent("etc/passwd"), absent("etc/doomed")),
        (*USERS, symlink("localetc", "/etc")),
    ),
    "plain whiteout": Case(
        (member("etc/.wh.doomed"),),
        (absent("etc/doomed"), content("etc/passwd", b"all users")),
        USERS,
    ),
    "whiteout concerns lower layers only, in any order": Case(
        (directory("etc"), member("etc/new", b"1"), member(".wh.etc")),
        (content("etc/new", b"1"), absent("etc/passwd")),
        USERS,
    ),
    # Names that climb (row 1), and names that only look odd.
    "a name that climbs": Case((member("../../../etc/passwd", b"out"),), None, ETC),
    "a name that climbs after a detour": Case(
        (directory("a"), member("a/../../etc/passwd", b"out")), None, ETC
    ),
    "odd names": Case(
        (
            member("./a", b"1"),
            member("/b", b"2"),
            directory("c"),
            member("c/../d", b"3"),
            member(".//e", b"4"),
        ),
        (content("a", b"1"), content("b", b"2"), content("d", b"3"), content("e", b"4")),
    ),
    # The root itself (row 3).
    "the root as a link": Case((symlink("./", "/etc"), member("passwd", b"out")), None),
    "the root as a file": Case((member(".", b"x"),), None),
    "the root as a hard link": Case((*ETC, hardlink(".", "etc/passwd")), None),
    "the root as a directory": Case(
        (directory("./", 0o711), member("f", b"1")), (mode(".", 0o711), content("f", b"1"))
    ),
    # Chains of links that are inside word by word and outside for the kernel (row 6).
    "chain of links, then a file": Case(
        (directory("c"), symlink("b", "c/.."), symlink("a", "b/.."), member("a", b"file")),
        (content("a", b"file"),),
    ),
    "files through a chain of links": Case(
        (
            directory("c"),
            symlink("b", "c/../.."),
            symlink("a", "b/../.."),
            member("a/etc/passwd", b"in"),
        ),
        (content("etc/passwd", b"in"),),
    ),
    "a loop of links": Case((symlink("a", "b"), symlink("b", "a"), member("a/f", b"x")), None),
    # Ordinary images.
    "var/run": Case(
        (directory("run"), directory("var"), symlink("var/run", "/run"), member("var/run/x", b"1")),
        (content("run/x", b"1"), link("var/run", "/run")),
    ),
    "climbing link target": Case(
        (
            directory("etc"),
            symlink("etc/cacerts", "../../../../../../../../../../etc/pki/java/cacerts"),
        ),
        (link("etc/cacerts", "../../../../../../../../../../etc/pki/java/cacerts"),),
    ),
    "a link to itself": Case(
        (symlink("dash", "dash"), member("f", b"1")), (link("dash", "dash"), content("f", b"1"))
    ),
}


def unpack(
    root: Path,
    data: bytes,
    mode: str,
    walk: bool,
    lower: Tuple[str, ...] = (),
    helper: bool = False,
) -> ExtractResult:
    """Extract a layer's bytes into `root`."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return extract_layer(io.BytesIO(data), fd, mode=mode, walk=walk, lower=lower, helper=helper)
    finally:
        os.close(fd)


def plant(tmp_path: Path) -> Path:
    """A root with canaries in every directory above it, where ``../etc`` and its like would arrive."""
    for where in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        plant_canary(where)
    (tmp_path / "a" / "b" / "root").mkdir()
    return tmp_path / "a" / "b" / "root"


def canaries(root: Path) -> Any:
    return [tree_state(above / "etc") for above in list(root.parents)[:3]]
