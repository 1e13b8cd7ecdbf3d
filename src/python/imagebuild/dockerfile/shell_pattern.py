r"""Patterns of ``${name#pattern}`` and its kin: "*" is any text, "?" one character, "\" takes the next one literally.

POSIX shell, 2.14; without bracket expressions, as BuildKit has it. Matching is a walk over the pattern's states, so that
no pattern takes more than the product of both lengths.
"""

from __future__ import annotations

from typing import Iterator, List, Set, Tuple

from imagebuild.errors import ExpansionError

Tokens = Tuple[str, ...]
"""Literal characters, ANY and ONE."""

ANY, ONE = "*any*", "?one?"
_MEANS_NOTHING = "}/"  # these only had to be escaped because of the braces around


def parse(pattern: str) -> Tokens:
    """:raises ExpansionError: for an escape of something that needs none."""
    tokens: List[str] = []
    characters = iter(pattern)
    for char in characters:
        if char == "\\":
            escaped = next(characters, "")
            if not escaped or escaped not in "*?\\" + _MEANS_NOTHING:
                raise ExpansionError(
                    f'the pattern "{pattern[:60]}" escapes "{escaped}"',
                    expected="\\*, \\?, \\\\, \\} or \\/",
                )
            tokens.append(escaped)
        else:
            tokens.append({"*": ANY, "?": ONE}.get(char, char))
    return tuple(tokens)


def trim_prefix(tokens: Tokens, value: str, longest: bool) -> str:
    """`value` without the prefix that the pattern matches; all of it where none does."""
    ends = list(_ends(tokens, value))
    return value[ends[-1 if longest else 0] :] if ends else value


def trim_suffix(tokens: Tokens, value: str, longest: bool) -> str:
    ends = list(_ends(tokens[::-1], value[::-1]))
    return value[: len(value) - ends[-1 if longest else 0]] if ends else value


def replace(tokens: Tokens, value: str, text: str, everywhere: bool) -> str:
    """`value` with the first match (leftmost, then longest), or every one, replaced by `text`."""
    done: List[str] = []
    at = 0
    while at <= len(value):
        length = max(_ends(tokens, value[at:]), default=-1)
        if length < 0:
            done.append(value[at : at + 1])
            at += 1
            continue
        done.append(text)
        if not length:
            done.append(value[at : at + 1])
        at += length or 1
        if not everywhere:
            break
        if length and at == len(value):
            return "".join(done)
    return "".join(done) + value[at:]


def _ends(tokens: Tokens, value: str) -> Iterator[int]:
    """Lengths of the prefixes of `value` that the pattern matches, ascending."""
    states = _closed({0}, tokens)
    for length, char in enumerate(value):
        if len(tokens) in states:
            yield length
        after = {
            state + (tokens[state] is not ANY)
            for state in states
            if state < len(tokens) and tokens[state] in (ANY, ONE, char)
        }
        states = _closed(after, tokens)
        if not states:
            return
    if len(tokens) in states:
        yield len(value)


def _closed(states: Set[int], tokens: Tokens) -> Set[int]:
    """With what "*" reaches by matching nothing."""
    todo = list(states)
    while todo:
        state = todo.pop()
        if state < len(tokens) and tokens[state] is ANY and state + 1 not in states:
            states.add(state + 1)
            todo.append(state + 1)
    return states
