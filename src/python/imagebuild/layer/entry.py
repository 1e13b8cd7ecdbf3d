"""One entry of a layer, and the order in which entries stand (image-spec layer.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from imagebuild.errors import MalformedError, UnsafePathError
from imagebuild.oci.hash import Hash

FILE = "file"
DIR = "dir"
SYMLINK = "symlink"
HARDLINK = "hardlink"
CHAR = "char"
BLOCK = "block"
FIFO = "fifo"
WHITEOUT = "whiteout"
OPAQUE = "opaque"

KINDS = frozenset({FILE, DIR, SYMLINK, HARDLINK, CHAR, BLOCK, FIFO, WHITEOUT, OPAQUE})

ROOT = b"."
WHITEOUT_PREFIX = b".wh."
WHITEOUT_META_PREFIX = b".wh..wh."
OPAQUE_NAME = b".wh..wh..opq"

NANOSECONDS = 1_000_000_000

# "/" sorts below every other byte, so that a directory is directly followed by its whole subtree.
_ORDER = bytes([0 if byte == 0x2F else byte for byte in range(256)])


@dataclass(frozen=True)
class Entry:
    """What a layer says about one path.

    :param path: relative to the root, no leading "/" or "./", no "." or ".."; the root itself is ``b"."``.
    :param kind: one of `KINDS`. A ``hardlink`` in an index carries the metadata, size and sha256 of its target.
        ``opaque`` occurs in tar streams only; an index folds it into the directory (`opaque`).
    :param mode: permission bits, 07777.
    :param size: bytes of a regular file (a sparse file's logical size).
    :param mtime: nanoseconds since 1970. Layers hold whole seconds, except where built with ``reproducible=False``.
    :param linkname: a symlink's target, verbatim; a hard link's target as a path like `path`.
    :param xattrs: sorted (name, value) pairs.
    :param sha256: content of a regular file, where it is known (indexes always know it).
    :param opaque: a directory that hides what lower layers have under it.
    :param implied: a directory that the layer has entries under and no entry for; its metadata is the lower one's.
    :param foreign: a hard link whose target is in a lower layer.
    """

    path: bytes
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    linkname: bytes = b""
    dev_major: int = 0
    dev_minor: int = 0
    xattrs: Tuple[Tuple[str, bytes], ...] = ()
    sha256: Optional[Hash] = None
    opaque: bool = False
    implied: bool = False
    foreign: bool = False


def altered(entry: Entry, **changes: Any) -> Entry:
    """`dataclasses.replace` at a tenth of its price; it is called for every file of a layer."""
    made = object.__new__(Entry)
    made.__dict__.update(entry.__dict__, **changes)
    return made


def plain_file(path: bytes, mode: int, uid: int, gid: int, size: int, mtime: int) -> Entry:
    """The entry of a regular file, likewise; members that are not given have their default from the class."""
    made = object.__new__(Entry)
    members = made.__dict__
    members["path"], members["kind"], members["mode"] = path, FILE, mode
    members["uid"], members["gid"], members["size"], members["mtime"] = uid, gid, size, mtime
    return made


def revived(members: Dict[str, Any]) -> Entry:
    """The entry that has these members."""
    made = object.__new__(Entry)
    made.__dict__.update(members)
    return made


def has_content(entry: Entry) -> bool:
    """Whether it is a regular file, under whichever of its names."""
    return entry.kind in (FILE, HARDLINK)


def order_key(path: bytes) -> bytes:
    """The sort key of `path`: bytewise, with "/" below every other byte; the root comes first."""
    return b"" if path == ROOT else path.translate(_ORDER)


def clean_name(name: bytes) -> bytes:
    """The entry path that a tar name means: ``./a``, ``/a`` and ``a/../b`` are cleaned without looking at links.

    :raises UnsafePathError: when the name climbs above the root.
    """
    between = b"/" + name + b"/"
    if b"//" not in between and b"/." not in between:
        return name
    parts: List[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise UnsafePathError(
                    f"layer entry {shown(name)} climbs above the root",
                    expected="a path inside the image",
                    hint="do not use this image or archive; it is broken or hostile",
                )
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts) or ROOT


def clamp_name(name: bytes) -> bytes:
    """Like `clean_name`, but ".." stops at the root, as it does for a process inside one."""
    parts: List[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts) or ROOT


def parent_of(path: bytes) -> bytes:
    """The path of the directory that holds `path`; the root is its own parent."""
    return path.rpartition(b"/")[0] or ROOT


def join(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in `directory`."""
    return name if directory == ROOT else directory + b"/" + name


def is_under(path: bytes, directory: bytes) -> bool:
    """Is `path` the directory itself or below it?"""
    return directory == ROOT or path == directory or path.startswith(directory + b"/")


def shown(path: bytes) -> str:
    """`path` in quotes for a message, whatever its bytes, of bounded length."""
    text = path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
    return f'"{text if len(text) <= 200 else text[:197] + "..."}"'


def whole_seconds(mtime: int) -> int:
    """`mtime` in nanoseconds, rounded down to a second."""
    return mtime // NANOSECONDS * NANOSECONDS


def reject_reserved(path: bytes) -> None:
    """:raises MalformedError: for a real file with a name that means a whiteout in a layer (image-spec "Whiteouts")."""
    if path.rpartition(b"/")[2].startswith(WHITEOUT_PREFIX):
        raise MalformedError(
            f'a file is named {shown(path)}, and names that start with ".wh." mean deletion in a layer',
            expected='no file name that starts with ".wh."',
            hint="remove or rename the file in the step that makes it",
        )
