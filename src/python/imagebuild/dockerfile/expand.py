"""Words with their variables replaced and their quotes taken away; `substitution` has the grammar."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import List, Mapping, Optional, Pattern, Set, Tuple

from imagebuild.dockerfile.substitution import Piece, Scanner


@lru_cache(maxsize=2)
def _is_special(escape: str) -> Pattern[str]:
    return re.compile(rf"""[$'"{re.escape(escape)}]""")


def expand(
    word: str,
    env: Mapping[str, str],
    escape: str = "\\",
    *,
    unset: Optional[Set[str]] = None,
    keep_unset: bool = False,
    quotes: bool = True,
) -> str:
    """`word` with its variables replaced and its quotes and escapes taken away.

    :param unset: collects plainly used names that `env` does not have.
    :param keep_unset: leave ``$name`` as it is where `env` does not have it.
    :param quotes: False where quotes are characters like any other.
    :raises ExpansionError: for quotes or braces that do not end, and what ``${name:?text}`` demands.
    """
    if not _is_special(escape).search(word):
        return word
    return "".join(piece.text for piece in _scan(word, env, escape, unset, keep_unset, quotes))


def expand_words(
    word: str, env: Mapping[str, str], escape: str = "\\", *, unset: Optional[Set[str]] = None
) -> Tuple[str, ...]:
    """As `expand`, then split at white space that was neither quoted nor escaped (also that of a variable's value)."""
    words: List[str] = []
    current: Optional[str] = None
    for piece in _scan(word, env, escape, unset, False, True):
        if piece.quoted:
            current = (current or "") + piece.text
            continue
        for part in re.split(r"(\s+)", piece.text):
            if part.isspace():
                words, current = ([*words, current] if current else words), None
            elif part:
                current = (current or "") + part
    return (*words, current) if current else tuple(words)


def _scan(
    word: str,
    env: Mapping[str, str],
    escape: str,
    unset: Optional[Set[str]],
    keep_unset: bool,
    quotes: bool,
) -> List[Piece]:
    unset = set() if unset is None else unset
    scanner = Scanner(word, env, escape, unset, keep_unset=keep_unset, quotes=quotes)
    return scanner.pieces("", raw=False)
