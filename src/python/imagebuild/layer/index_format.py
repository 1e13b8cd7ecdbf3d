"""The text of a layer index: a head line, then one line per entry, sorted by `order_key`.

    #imagebuild-layer-index 1<TAB>{"entries":..,"implied":..,"foreign":..,"opaque":[..]}
    #texts<TAB>{"etc/passwd":"..","etc/group":".."}
    bin<TAB>{"k":"symlink","l":"usr/bin","m":511,"t":1700000000000000000}
    ...

Members that have their default are left out. Bytes are JSON strings of code points below 256 (latin-1), so that every name
survives; in the path column control bytes and "\\" are written ``\\xHH``.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Tuple

from imagebuild.errors import MalformedError
from imagebuild.layer.entry import KINDS, Entry
from imagebuild.oci.hash import Hash

MAGIC = b"#imagebuild-layer-index 1"
TEXTS = b"#texts"

_UNSAFE = re.compile(rb"[\x00-\x1f\x7f\\]|^#")
_UNSAFE_BYTES = bytes((*range(0x20), 0x7F, ord("\\")))
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_dumps = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def escape(path: bytes) -> bytes:
    # The executor loads `re` for the first expression that it uses, and most layers have no such name.
    if len(path.translate(None, _UNSAFE_BYTES)) == len(path) and not path.startswith(b"#"):
        return path
    return _UNSAFE.sub(lambda match: b"\\x%02x" % match.group()[0], path)


def unescape(text: bytes) -> bytes:
    return (
        _ESCAPED.sub(lambda match: bytes([int(match.group(1), 16)]), text)
        if b"\\" in text
        else text
    )


def encode_entry(entry: Entry) -> bytes:
    """The line of `entry`, with its newline."""
    return escape(entry.path) + b"\t" + encode_members(entry).encode() + b"\n"


def encode_members(entry: Entry) -> str:
    """Everything but the path, as compact JSON with sorted members; put together by hand, it is the hot spot of indexing."""
    parts = []
    if entry.dev_major:
        parts.append(f'"a":{entry.dev_major}')
    if entry.dev_minor:
        parts.append(f'"b":{entry.dev_minor}')
    if entry.foreign:
        parts.append('"f":1')
    if entry.gid:
        parts.append(f'"g":{entry.gid}')
    if entry.sha256 is not None:
        parts.append(f'"h":"{entry.sha256.hex}"')
    if entry.implied:
        parts.append('"i":1')
    parts.append(f'"k":"{entry.kind}"')
    if entry.linkname:
        parts.append(f'"l":{_dumps(entry.linkname.decode("latin-1"))}')
    for short, value in (
        ("m", entry.mode),
        ("o", int(entry.opaque)),
        ("s", entry.size),
        ("t", entry.mtime),
        ("u", entry.uid),
    ):
        if value:
            parts.append(f'"{short}":{value}')
    if entry.xattrs:
        import base64  # it loads `re`

        xattrs = {name: base64.b64encode(value).decode() for name, value in entry.xattrs}
        parts.append(f'"x":{_dumps(xattrs)}')
    return "{" + ",".join(parts) + "}"


def encode_file(entry: Entry, sha256: str) -> str:
    """What `encode_members` makes of a regular file without attributes and with that content: most lines of most layers."""
    line = f'"h":"{sha256}","k":"file"'
    if entry.gid:
        line = f'"g":{entry.gid},{line}'
    if entry.mode:
        line = f'{line},"m":{entry.mode}'
    if entry.size:
        line = f'{line},"s":{entry.size}'
    if entry.mtime:
        line = f'{line},"t":{entry.mtime}'
    if entry.uid:
        line = f'{line},"u":{entry.uid}'
    return f"{{{line}}}"


def decode_members(path: bytes, members: bytes) -> Entry:
    """:raises MalformedError: when `members` is not the JSON of an entry."""
    try:
        document = json.loads(members)
        return _decode(path, document)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise MalformedError(
            f"a layer index has the entry {path[:80]!r} that cannot be read: {error!r}"
        ) from None


def _decode(path: bytes, document: Dict[str, Any]) -> Entry:
    get = document.get
    kind, digest = document["k"], get("h")
    if kind not in KINDS or not path:
        raise ValueError(f"kind {kind!r}")
    return Entry(
        path,
        kind,
        _natural(get("m", 0)),
        _natural(get("u", 0)),
        _natural(get("g", 0)),
        _natural(get("s", 0)),
        int(get("t", 0)),
        get("l", "").encode("latin-1"),
        _natural(get("a", 0)),
        _natural(get("b", 0)),
        _decode_xattrs(get("x")) if "x" in document else (),
        Hash(digest) if digest is not None else None,
        bool(get("o", 0)),
        bool(get("i", 0)),
        bool(get("f", 0)),
    )


def _natural(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"number {value!r}")
    return value


def _decode_xattrs(document: Any) -> Tuple[Tuple[str, bytes], ...]:
    import base64

    return tuple(
        sorted((name, base64.b64decode(value, validate=True)) for name, value in document.items())
    )


def encode_head(members: Dict[str, Any]) -> bytes:
    return MAGIC + b"\t" + _dumps(members).encode() + b"\n"


def encode_texts(texts: Dict[bytes, bytes]) -> bytes:
    document = {path.decode("latin-1"): text.decode("latin-1") for path, text in texts.items()}
    return TEXTS + b"\t" + _dumps(document).encode() + b"\n"


def decode_texts(data: bytes) -> Dict[bytes, bytes]:
    """:raises MalformedError: when `data` is not an object of strings."""
    try:
        return {
            path.encode("latin-1"): text.encode("latin-1")
            for path, text in json.loads(data).items()
        }
    except (ValueError, AttributeError) as error:
        raise MalformedError(f"a layer index has texts that cannot be read: {error}") from None
