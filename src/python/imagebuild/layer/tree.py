"""The merged view of a stack of layers, from their indexes alone: what a container of the image would see."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from imagebuild.errors import ContextError
from imagebuild.layer import entry as kinds
from imagebuild.layer.entry import ROOT, Entry, altered, is_under, order_key, parent_of, shown
from imagebuild.layer.index import LayerIndex
from imagebuild.layer.index_format import decode_members
from imagebuild.layer.resolve import resolve
from imagebuild.oci.hash import Hash

_ROOT_ENTRY = Entry(ROOT, kinds.DIR, 0o755)
Found = Tuple[Entry, int]


class TreeView:
    """A read-only tree: layer 0 is the lowest. Paths are as in `Entry`; nothing here touches a file system but the indexes."""

    def __init__(self, indexes: Sequence[LayerIndex]) -> None:
        self._indexes = tuple(indexes)
        self._memo: Dict[bytes, Optional[Found]] = {}

    def lookup(self, path: bytes) -> Optional[Entry]:
        """What stands at exactly `path` (its links are not followed), or None.

        Whiteouts, opaque directories and directories replaced by something else are honoured. A hard link into a lower layer
        is given with its target's metadata.
        """
        found = self.find(path)
        return found[0] if found else None

    def find(self, path: bytes) -> Optional[Found]:
        """Like `lookup`, with the number of the layer that the entry is of."""
        if path not in self._memo:
            if len(self._memo) > 50_000:
                self._memo.clear()
            absent = self._is_known_to_be_absent(path)
            self._memo[path] = None if absent else self._find(path, len(self._indexes))
        return self._memo[path]

    def _is_known_to_be_absent(self, path: bytes) -> bool:
        """For its parent is, or is no directory: a COPY into a new directory asks for each file that it makes there."""
        parent = parent_of(path)
        if parent not in self._memo or path == ROOT:
            return False
        above = self._memo[parent]
        return above is None or above[0].kind != kinds.DIR

    def _find(self, path: bytes, above: int) -> Optional[Found]:
        """`find` in the layers below number `above`."""
        implied: Optional[Found] = None
        for number in range(above - 1, -1, -1):
            nearest, members = self._indexes[number].locate(path)
            if nearest == path and members is not None:
                entry = decode_members(path, members)
                if entry.kind != kinds.DIR:
                    return implied or (
                        None if entry.kind == kinds.WHITEOUT else self._settled(entry, number)
                    )
                if not entry.implied:
                    return (
                        (entry, number)
                        if implied is None
                        else (altered(entry, opaque=implied[0].opaque), number)
                    )
                implied = implied or (entry, number)
            elif _is_leaf(nearest, members):
                break
            if self._hides(number, nearest):
                break
        return implied or ((_ROOT_ENTRY, 0) if path == ROOT else None)

    def _hides(self, number: int, path: bytes) -> bool:
        """Does layer `number` hide what lower layers have in its directory `path`?"""
        opaques = self._indexes[number].opaques
        while opaques and path != ROOT:
            if path in opaques:
                return True
            path = parent_of(path)
        return ROOT in opaques

    def _settled(self, entry: Entry, number: int) -> Found:
        """A hard link into a lower layer takes over what it links to."""
        if not entry.foreign:
            return entry, number
        target = self._find(entry.linkname, number)
        if target is None:
            return entry, number
        return (
            altered(
                target[0],
                path=entry.path,
                kind=kinds.HARDLINK,
                linkname=entry.linkname,
                foreign=True,
            ),
            number,
        )

    def resolve(self, path: bytes, follow_leaf: bool = True) -> bytes:
        """The path without links that `path` leads to inside the root; what does not exist is kept.

        :raises UnsafePathError: for a loop of links.
        """
        return resolve(path, self._readlink, follow_leaf=follow_leaf)

    def _readlink(self, path: bytes) -> Optional[bytes]:
        entry = self.lookup(path)
        return entry.linkname if entry is not None and entry.kind == kinds.SYMLINK else None

    def children(self, path: bytes) -> List[bytes]:
        """Names in the directory at exactly `path`, sorted; none when it is no directory."""
        entry = self.lookup(path)
        if entry is None or entry.kind != kinds.DIR:
            return []
        seen: Dict[bytes, bool] = {}
        for number in self._visible(path):
            for child, members in self._indexes[number].children(path):
                seen.setdefault(
                    child.rpartition(b"/")[2], decode_members(child, members).kind != kinds.WHITEOUT
                )
        return sorted(name for name, there in seen.items() if there)

    def walk(self, path: bytes = ROOT) -> Iterator[Found]:
        """The entry at exactly `path` and all below it, depth first in order, each with the number of its layer."""
        top = self.find(path)
        if top is None:
            return
        yield top
        if top[0].kind == kinds.DIR:
            yield from self._walk_below(path)

    def _walk_below(self, root: bytes) -> Iterator[Found]:
        streams = [self._stream(number, root) for number in self._visible(root)]
        import heapq  # a step that only runs a command asks for a few paths

        hidden: List[
            Tuple[bytes, int]
        ] = []  # (directory, lowest layer that shows below it), the innermost last
        group: List[Tuple[int, bytes]] = []
        current = b""
        for _, negative, path, members in heapq.merge(*streams):
            if path != current and group:
                yield from self._visit(current, group, hidden)
                group = []
            current = path
            group.append((-negative, members))
        if group:
            yield from self._visit(current, group, hidden)

    def _stream(self, number: int, root: bytes) -> Iterator[Tuple[bytes, int, bytes, bytes]]:
        for path, members in self._indexes[number].lines(root):
            if path != root:
                yield order_key(path), -number, path, members

    def _visible(self, path: bytes) -> Iterator[int]:
        """Numbers of the layers whose entries below the directory `path` show, the topmost first."""
        for number in range(len(self._indexes) - 1, -1, -1):
            nearest, members = self._indexes[number].locate(path)
            if _is_leaf(nearest, members):
                return
            yield number
            if self._hides(number, nearest):
                return

    def _visit(
        self, path: bytes, group: List[Tuple[int, bytes]], hidden: List[Tuple[bytes, int]]
    ) -> Iterator[Found]:
        """Decide one path: `group` has its entries by layer, the topmost first."""
        while hidden and not is_under(path, hidden[-1][0]):
            hidden.pop()
        floor = hidden[-1][1] if hidden else 0
        shown_entry: Optional[Found] = None
        for number, members in group:
            if number < floor:
                break
            entry = decode_members(path, members)
            if shown_entry is None:
                shown_entry = self._settled(entry, number)
            elif entry.kind != kinds.DIR:
                floor = number + 1
                break
            elif shown_entry[0].implied and not entry.implied:
                shown_entry = entry, number
            if entry.kind != kinds.DIR or entry.opaque:
                floor = number
                break
        if shown_entry is None:
            return
        hidden.append((path, floor))
        if shown_entry[0].kind != kinds.WHITEOUT:
            yield shown_entry

    def read_text(self, path: bytes) -> Optional[bytes]:
        """Content of ``etc/passwd`` or ``etc/group`` as a process in the image would read it; None where there is none.

        :raises ContextError: when a link leads to a file whose text no index keeps.
        """
        real = self.resolve(path)
        found = self.find(real)
        if found is None or not kinds.has_content(found[0]):
            return None
        text = self._indexes[found[1]].text(real)
        if text is None and found[0].size:
            raise ContextError(
                f"{shown(path)} is a link to {shown(real)}, whose text is not at hand",
                hint="use numeric ids in USER and --chown, or make it a regular file",
            )
        return text or b""

    def selection_digest(self, paths: Sequence[bytes]) -> Hash:
        """What `selection.selection_digest` gives for all that is at each of `paths`."""
        from imagebuild.layer.selection import selection_digest, whole

        return selection_digest(self, [whole(self, path) for path in paths])


def _is_leaf(path: bytes, members: Optional[bytes]) -> bool:
    """Is what `LayerIndex.locate` found something that has nothing below it?"""
    return members is not None and path != ROOT and decode_members(path, members).kind != kinds.DIR
