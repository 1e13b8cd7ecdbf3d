"""The layer index: what a layer holds, without its bytes.

A point look-up is a bisection of the mapped file and a subtree is one run of lines, so that opening costs the same for ten
entries and for a hundred thousand. See `index_format` for the text and `index_builder` for how one is made.
"""

from __future__ import annotations

import json
import mmap
import os
from typing import Any, Dict, FrozenSet, Iterable, Iterator, Mapping, Optional, Tuple, Union

from imagebuild.errors import MalformedError
from imagebuild.layer.entry import ROOT, Entry, order_key
from imagebuild.layer.index_format import MAGIC, TEXTS, decode_members, decode_texts, unescape

Buffer = Union[bytes, mmap.mmap]

PASSWD = b"etc/passwd"
GROUP = b"etc/group"
TEXT_PATHS = (PASSWD, GROUP)
MAX_TEXT = 4 << 20


class LayerIndex:
    """A read-only index; equal layers have byte-equal indexes.

    :ivar entries: how many entries it has, implied directories included.
    :ivar implied: does any directory lack an entry of its own, so that its metadata comes from below?
    :ivar foreign: does any hard link have its target in a lower layer?
    """

    def __init__(self, data: Buffer) -> None:
        """:raises MalformedError: unless `data` starts as an index does."""
        self._data = data
        end = data.find(b"\n")
        head = bytes(data[: max(end, 0)])
        if not head.startswith(MAGIC + b"\t"):
            raise MalformedError(
                "this is not a layer index",
                expected=MAGIC.decode(),
                hint="remove it; it is made again",
            )
        members = _head(head[len(MAGIC) + 1 :])
        texts_end = data.find(b"\n", end + 1)
        if texts_end < 0 or bytes(data[end + 1 : end + 2 + len(TEXTS)]) != TEXTS + b"\t":
            raise MalformedError("a layer index lacks its texts")
        self._texts = (end + 2 + len(TEXTS), texts_end)
        self._start, self._end = texts_end + 1, len(data)
        self.entries: int = members["entries"]
        self.implied: bool = members["implied"]
        self.foreign: bool = members["foreign"]
        self.opaques: FrozenSet[bytes] = frozenset(
            path.encode("latin-1") for path in members["opaque"]
        )

    @staticmethod
    def open(path: Union[str, os.PathLike[str]]) -> LayerIndex:
        """Map the index at `path`.

        :raises FileNotFoundError: when it is not there.
        :raises MalformedError: when it is not an index.
        """
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise MalformedError(
                    f"the layer index {os.fspath(path)} is empty",
                    hint="remove it; it is made again",
                )
            return LayerIndex(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    @staticmethod
    def from_entries(
        entries: Iterable[Entry], texts: Optional[Mapping[bytes, bytes]] = None
    ) -> LayerIndex:
        """The index of a layer with these entries, in any order; `texts` may hold etc/passwd and etc/group."""
        from imagebuild.layer.index_builder import IndexBuilder

        builder = IndexBuilder()
        for entry in entries:
            builder.add(entry)
        for path, text in (texts or {}).items():
            builder.add_text(path, text)
        return builder.build()

    @property
    def data(self) -> bytes:
        """The index as it is stored."""
        return bytes(self._data[:])

    def write(self, path: Union[str, os.PathLike[str]]) -> None:
        """Write it to a new file at `path`."""
        with open(path, "xb") as file:
            file.write(self._data[:])

    def get(self, path: bytes) -> Optional[Entry]:
        """The entry at exactly `path`."""
        found, members = self.locate(path)
        return decode_members(path, members) if found == path and members is not None else None

    def locate(self, path: bytes) -> Tuple[bytes, Optional[bytes]]:
        """The longest prefix of `path` that this layer has: itself, else a directory or file above, at last the root.

        With it come its members (not decoded yet), or None for a directory whose line was not met on the way. One bisection
        is enough: every ancestor sorts before `path` with its whole subtree in one run, so the line in front of where `path`
        would stand is inside the deepest ancestor there is.
        """
        at = self._bisect(order_key(path))
        if at < self._end:
            found, members, _ = self._line(at)
            if found == path:
                return path, members
        if at == self._start or path == ROOT:
            return ROOT, None
        before, members, _ = self._line(self._data.rfind(b"\n", 0, at - 1) + 1)
        if path.startswith(before + b"/"):
            return before, members
        return _common_directory(before, path), None

    def scan(self, prefix: bytes = ROOT) -> Iterator[Entry]:
        """The entry at `prefix` and all below it, in order."""
        for path, members in self.lines(prefix):
            yield decode_members(path, members)

    def lines(self, prefix: bytes = ROOT) -> Iterator[Tuple[bytes, bytes]]:
        """Like `scan`, as (path, members not decoded yet)."""
        below = prefix + b"/"
        at = self._start if prefix == ROOT else self._bisect(order_key(prefix))
        while at < self._end:
            path, members, at = self._line(at)
            if prefix != ROOT and path != prefix and not path.startswith(below):
                return
            yield path, members

    def children(self, directory: bytes) -> Iterator[Tuple[bytes, bytes]]:
        """Direct children of `directory`, in order, as (path, members not decoded yet)."""
        below = b"" if directory == ROOT else directory + b"/"
        at = self._bisect(order_key(below) if below else b"\x01")
        while at < self._end:
            path, members, at = self._line(at)
            if not path.startswith(below):
                return
            slash = path.find(b"/", len(below))
            if slash < 0:
                yield path, members
                continue
            # Inside a child: go to the end of its subtree.
            at = self._bisect(order_key(path[:slash]) + b"\x01", at)

    def text(self, path: bytes) -> Optional[bytes]:
        """Content of etc/passwd or etc/group where this layer has that file.

        :raises MalformedError: when the file was too large to be kept.
        """
        start, end = self._texts
        text = decode_texts(bytes(self._data[start:end])).get(path)
        if text is None:
            entry = self.get(path)
            if entry is not None and entry.size > MAX_TEXT:
                raise MalformedError(
                    f"/{path.decode()} has {entry.size} bytes", expected=f"at most {MAX_TEXT}"
                )
        return text

    def _line(self, at: int) -> Tuple[bytes, bytes, int]:
        """(path, members, position of the next line) of the line at `at`."""
        data = self._data
        end = data.find(b"\n", at)
        if end < 0:
            raise MalformedError("a layer index ends early", hint="remove it; it is made again")
        path, _, members = data[at:end].partition(b"\t")
        return (unescape(path) if b"\\" in path else path), members, end + 1

    def _bisect(self, key: bytes, low: int = 0) -> int:
        """Position of the first line whose path is not below `key` in the order."""
        data, low, high = self._data, max(low, self._start), self._end
        while low < high:
            start = data.rfind(b"\n", 0, (low + high) // 2) + 1
            path, _, after = self._line(start)
            if order_key(path) < key:
                low = after
            else:
                high = start
        return low


def _head(text: bytes) -> Dict[str, Any]:
    try:
        document = json.loads(text)
        types = {"entries": int, "implied": bool, "foreign": bool, "opaque": list}
        if document.keys() != types.keys() or not all(
            isinstance(document[name], kind) for name, kind in types.items()
        ):
            raise ValueError("other members")
    except (ValueError, AttributeError) as error:
        raise MalformedError(f"a layer index has a head that cannot be read: {error}") from None
    return dict(document)


def _common_directory(one: bytes, other: bytes) -> bytes:
    common = []
    for a, b in zip(one.split(b"/")[:-1], other.split(b"/")[:-1]):
        if a != b:
            break
        common.append(a)
    return b"/".join(common) or ROOT
