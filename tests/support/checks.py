"""What may be said of a tree after a layer has been applied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

Check = Callable[[Path], bool]


def content(path: str, data: bytes) -> Check:
    return lambda root: (root / path).read_bytes() == data


def inside(root: Path, path: str) -> Path:
    """`path` as a process whose root is `root` would reach it."""
    for _ in range(40):
        at = root
        parts = path.strip("/").split("/")
        for number, part in enumerate(parts):
            at = at / part
            if at.is_symlink():
                target = os.readlink(at)
                head = "" if target.startswith("/") else "/".join(parts[:number])
                path = os.path.normpath(os.path.join("/", head, target, *parts[number + 1 :]))
                break
        else:
            return at
    raise AssertionError("a loop")


def same(one: str, other: str) -> Check:
    return lambda root: os.path.samefile(inside(root, one), inside(root, other))


def different(one: str, other: str) -> Check:
    return lambda root: not same(one, other)(root)


def absent(path: str) -> Check:
    return lambda root: not os.path.lexists(root / path)


def link(path: str, target: str) -> Check:
    return lambda root: os.readlink(root / path) == target


def mode(path: str, bits: int) -> Check:
    return lambda root: (root / path).stat().st_mode & 0o7777 == bits
