r"""Go's filepath.Match, exactly, and what it finds in a tree.

    pattern = { "*" | "?" | "[" ["^"] { range } "]" | "\" any | other }
    range   = char | char "-" char        (a char is any but "\", "-", "]", or escaped)

"*" and "?" do not match "/"; a pattern covers the whole name; one that is malformed is an error whatever the name is.
"""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from functools import lru_cache
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from imagebuild.errors import DockerfileSyntaxError

_WILD = re.compile(r"(?:\\[\s\S]|[^*?\[\\])*[*?\[]")


class _Range(NamedTuple):
    low: str
    high: str


class _Class(NamedTuple):
    negated: bool
    ranges: Tuple[_Range, ...]

    def matches(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


_Token = Union[str, _Class, None]  # a literal character, a class, or None for "?"


def _fits(token: _Token, char: str) -> bool:
    if isinstance(token, str):
        return token == char
    return char != "/" if token is None else token.matches(char)


class _Chunk(NamedTuple):
    """Tokens of one character each, and whether a "*" comes before them."""

    star: bool
    tokens: Tuple[_Token, ...]

    def match(self, name: str, at: int) -> int:
        """Where the chunk ends in `name` when it starts at `at`, or -1."""
        if at + len(self.tokens) > len(name):
            return -1
        for token in self.tokens:
            char = name[at]
            if not _fits(token, char):
                return -1
            at += 1
        return at


def match(pattern: str, name: str) -> bool:
    """Whether `pattern` matches all of `name`.

    :raises DockerfileSyntaxError: for a malformed pattern.
    """
    chunks = parse_pattern(pattern)
    at = 0
    for number, chunk in enumerate(chunks):
        last = number == len(chunks) - 1
        if chunk.star and not chunk.tokens:
            return "/" not in name[at:]
        found = _first(chunk, name, at, last)
        if found < 0:
            return False
        at = found
    return at == len(name)


def _first(chunk: _Chunk, name: str, at: int, last: bool) -> int:
    """Where `chunk` ends at its first place from `at` on; the last chunk has to end the name."""
    while True:
        end = chunk.match(name, at)
        if end >= 0 and (not last or end == len(name)):
            return end
        if not chunk.star or at >= len(name) or name[at] == "/":
            return -1
        at += 1


@lru_cache(maxsize=1024)
def parse_pattern(pattern: str) -> Tuple[_Chunk, ...]:
    """:raises DockerfileSyntaxError: for a malformed pattern."""
    chunks: List[_Chunk] = []
    tokens: List[_Token] = []
    star, at = False, 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            if tokens or not star:
                if tokens or star:
                    chunks.append(_Chunk(star, tuple(tokens)))
                star, tokens = True, []
            at += 1
        elif char == "[":
            token, at = _class(pattern, at + 1)
            tokens.append(token)
        elif char == "?":
            tokens.append(None)
            at += 1
        else:
            at += char == "\\"
            if at >= len(pattern):
                raise _bad(pattern, "it ends in a backslash")
            tokens.append(pattern[at])
            at += 1
    if tokens or star:
        chunks.append(_Chunk(star, tuple(tokens)))
    return tuple(chunks)


def _class(pattern: str, at: int) -> Tuple[_Class, int]:
    negated = pattern.startswith("^", at)
    at += negated
    ranges: List[_Range] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        ranges.append(_Range(low, high))
    return _Class(negated, tuple(ranges)), at + 1


def _class_char(pattern: str, at: int) -> Tuple[str, int]:
    if at < len(pattern) and pattern[at] in "-]":
        raise _bad(pattern, f'"{pattern[at]}" has no place in the brackets')
    at += pattern.startswith("\\", at)
    if at + 1 >= len(pattern):
        raise _bad(pattern, "its brackets do not end")
    return pattern[at], at + 1


def _bad(pattern: str, why: str) -> DockerfileSyntaxError:
    return DockerfileSyntaxError(
        f'"{pattern[:80]}" is not a valid pattern: {why}',
        expected='a path in which "*", "?" and "[a-z]" are wildcards',
        hint='write "\\" before a character that is no wildcard, or correct the brackets',
    )


def has_wildcards(pattern: str) -> bool:
    return _WILD.match(pattern) is not None


def escaped(name: str) -> str:
    """The pattern that matches `name` and nothing else."""
    return re.sub(r"([*?\[\\])", r"\\\1", name)


@lru_cache(maxsize=4096)
def clean(path: str) -> str:
    """A slash-separated path inside a root, made relative and cleaned; ".." at the root stays there. "." for the root."""
    return posixpath.normpath("/" + path.lstrip("/"))[1:] or "."


def glob(pattern: Union[str, bytes], list_dir: Callable[[str], Sequence[str]]) -> List[str]:
    """Paths of a tree that `pattern` matches, sorted; "." for the root.

    :param pattern: relative to the root, as a CopyAction has it; bytes that are not UTF-8 become lone surrogates.
    :param list_dir: names in a directory given as such a path; nothing for what is not there or no directory.
    :raises DockerfileSyntaxError: for a malformed pattern.
    """
    if isinstance(pattern, bytes):
        pattern = pattern.decode("utf-8", "surrogateescape")
    pattern = clean(pattern)
    parse_pattern(pattern)
    found = ["."]
    for part in pattern.split("/") if pattern != "." else ():
        found = [
            name if above == "." else f"{above}/{name}"
            for above in found
            for name in _in_dir(part, list_dir(above))
        ]
    return sorted(found)


def _in_dir(part: str, names: Sequence[str]) -> Sequence[str]:
    if has_wildcards(part):
        return [name for name in names if match(part, name)]
    literal = re.sub(r"\\([\s\S])", r"\1", part)
    return [literal] if literal in names else ()


def match_sources(pattern: str, listing: Sequence[str]) -> List[str]:
    """Paths that `pattern` matches among the `listing` of a tree and the directories that its paths imply."""
    return glob(pattern, Listing(listing).list_dir)


class Listing:
    """Paths, files and directories alike, as a tree."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = sorted(paths)
        self._names: Optional[Dict[str, Set[str]]] = None

    def list_dir(self, path: str) -> Sequence[str]:
        if self._names is None:
            self._names = self._tree()
        return tuple(self._names.get(path, ()))

    def below(self, path: str) -> Sequence[str]:
        """Listed paths under the directory `path`, itself left out."""
        if path == ".":
            return self.paths
        low, high = path + "/", path + "0"  # "0" is what follows "/"
        return self.paths[bisect_left(self.paths, low) : bisect_left(self.paths, high)]

    def _tree(self) -> Dict[str, Set[str]]:
        names: Dict[str, Set[str]] = {}
        for path in self.paths:
            above, _, name = path.rpartition("/")
            while True:
                there = names.setdefault(above or ".", set())
                if name in there:
                    break
                there.add(name)
                if not above:
                    break
                above, _, name = above.rpartition("/")
        return names
