"""Which of several names a word is a slip for: stricter than a guess in an error's hint, for a finding hangs on it."""

from __future__ import annotations

from typing import Iterable

_SHORTEST = 3


def near(word: str, names: Iterable[str]) -> str:
    """The first of `names`, sorted, that is one edit away from `word` or differs by case and underscores only; or ""."""
    return next((name for name in sorted(names) if name != word and _alike(word, name)), "")


def _alike(word: str, name: str) -> bool:
    if _plain(word) == _plain(name):
        return True
    return min(len(word), len(name)) >= _SHORTEST and _one_edit(word, name)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _one_edit(first: str, second: str) -> bool:
    """One character more, less, or another, or two that changed places."""
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    rest, other = first[start:], second[start:]
    if rest[1:] == other or rest == other[1:] or rest[1:] == other[1:]:
        return True
    return len(rest) == len(other) > 1 and rest[:2] == other[1::-1] and rest[2:] == other[2:]
