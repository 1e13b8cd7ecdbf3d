"""Entries in few words."""

from __future__ import annotations

from typing import Any

from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import Entry
from imagebuild.oci.hash import Hash


def file(path: bytes, data: bytes = b"", **fields: Any) -> Entry:
    return Entry(path, kinds.FILE, 0o644, size=len(data), sha256=Hash.of(data), **fields)


def link(path: bytes, target: bytes) -> Entry:
    return Entry(path, kinds.SYMLINK, 0o777, linkname=target)


def directory(path: bytes, **fields: Any) -> Entry:
    return Entry(path, kinds.DIR, fields.pop("mode", 0o755), **fields)
