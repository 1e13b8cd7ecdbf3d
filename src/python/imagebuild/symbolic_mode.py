"""Symbolic modes of --chmod ("u=rwX,go=rX"), as chmod(1) of GNU coreutils reads them under a umask of 0.

    mode   = clause { "," clause }
    clause = { "u" | "g" | "o" | "a" } action { action }
    action = ( "+" | "-" | "=" ) ( { "r" | "w" | "x" | "X" | "s" | "t" } | "u" | "g" | "o" )

A clause without a class is for all of them. "X" is "x" for directories, and for files that somebody may execute by then.
A directory keeps its set-id bits unless they are named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import List, Tuple

from imagebuild.errors import DockerfileSyntaxError

ALL = 0o7777
_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": ALL}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0, "s": 0o6000, "t": 0o1000}
_COPIED = {"u": 6, "g": 3, "o": 0}
_SET_ID = 0o6000
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")


@dataclass(frozen=True)
class ModeChange:
    """One action.

    :param operator: "+", "-" or "=".
    :param affected: the bits that its classes own, 0 where it names none.
    :param bits: those of its letters.
    :param if_any_x: it has an "X".
    :param copied: the class whose permissions it takes, "" for none.
    """

    operator: str
    affected: int
    bits: int
    if_any_x: bool = False
    copied: str = ""

    def apply(self, mode: int, is_dir: bool) -> int:
        bits = self.bits
        if self.copied:
            bits = (mode >> _COPIED[self.copied] & 0o7) * 0o111
        elif self.if_any_x and (is_dir or mode & 0o111):
            bits |= 0o111
        kept = _SET_ID & ~(self.bits & (self.affected or ALL)) if is_dir else 0
        owned = (self.affected or ALL) & ~kept
        if self.operator == "+":
            return mode | (bits & owned)
        if self.operator == "-":
            return mode & ~(bits & owned)
        return (mode & ~owned) | (bits & owned)


@lru_cache(maxsize=64)
def parse_symbolic_mode(text: str) -> Tuple[ModeChange, ...]:
    """:raises DockerfileSyntaxError: for anything else."""
    changes: List[ModeChange] = []
    for clause in text.split(","):
        found = _CLAUSE.match(clause)
        if found is None:
            raise DockerfileSyntaxError(
                f'--chmod has the value "{text[:80]}"',
                expected='an octal mode from 0 to 7777, or a symbolic one such as "u=rwX,go=rX"',
                hint='write classes (u, g, o, a), one of "+", "-" and "=", and permissions (r, w, x, X, s, t)',
            )
        affected = 0
        for letter in found[1]:
            affected |= _CLASSES[letter]
        changes.extend(
            _change(operator, letters, affected) for operator, letters in _ACTION.findall(found[2])
        )
    return tuple(changes)


def apply_symbolic_mode(text: str, mode: int, is_dir: bool) -> int:
    """The permission bits that `mode` becomes.

    :raises DockerfileSyntaxError: as `parse_symbolic_mode`.
    """
    mode &= ALL
    for change in parse_symbolic_mode(text):
        mode = change.apply(mode, is_dir)
    return mode


def _change(operator: str, letters: str, affected: int) -> ModeChange:
    if letters in _COPIED:
        return ModeChange(operator, affected, 0, copied=letters)
    bits = 0
    for letter in letters:
        bits |= _BITS[letter]
    return ModeChange(operator, affected, bits, "X" in letters)
