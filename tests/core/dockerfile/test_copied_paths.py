"""--parents and --exclude as questions about paths."""

from __future__ import annotations

import posixpath
from typing import Dict, List, Sequence, Set, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.dockerfile.copied_paths import Exclusion, parse_parents_source
from imagebuild.dockerfile.dockerignore import parse_pattern_text
from imagebuild.errors import DockerfileSyntaxError

NAMES = st.sampled_from(["a", "b", "ab", "a.py", "b.py"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(["a", "b", "*", "**", "a*", "?", "*.py", "[ab]"])
PATTERNS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def directories(paths: Set[str]) -> Dict[str, Set[str]]:
    """Names in each directory of a tree in which `paths` are files, unless something is below them."""
    names: Dict[str, Set[str]] = {}
    for path in paths:
        rest = path
        while rest:
            above, name = posixpath.split(rest)
            names.setdefault(above or ".", set()).add(name)
            rest = above
    return names


@given(st.sets(PATHS, max_size=8), PATTERNS)
def test_what_parents_match_is_what_the_pattern_matches_with_nothing_inside_of_another(
    paths: Set[str], pattern: str
) -> None:
    names = directories(paths)

    def list_dir(path: str) -> Sequence[str]:
        return sorted(names.get(path, ()))

    regex = parse_pattern_text(pattern)
    everything = {
        f"{above}/{name}" if above != "." else name for above in names for name in names[above]
    }
    hits = {path for path in everything if regex.matches(path)}
    topmost = {
        path
        for path in hits
        if not any(path.startswith(other + "/") for other in hits if other != path)
    }

    assert sorted(topmost) == list(parse_parents_source(pattern).matches(list_dir))


PIVOTS: List[Tuple[str, str, Tuple[str, ...], bool]] = [
    ("a/b", ".", ("a", "b"), True),
    ("/a/b/", ".", ("a", "b"), True),
    ("./a", ".", ("a",), True),
    ("a/./b", "a", ("b",), True),
    ("./a/./b/./c", "a", ("b", "c"), True),
    ("/./a", ".", ("a",), True),
    ("a*/./b", "a*", ("b",), False),
    ("a/./b/**/c", "a", ("b",), False),
    (r"a\*/b", ".", ("a*", "b"), True),
    (".", ".", (), True),
]


@pytest.mark.parametrize("source, base, prefix, literal", PIVOTS)
def test_where_a_source_has_its_pivot(
    source: str, base: str, prefix: Tuple[str, ...], literal: bool
) -> None:
    parsed = parse_parents_source(source)

    assert (base, prefix, literal) == (parsed.base, parsed.prefix, parsed.is_literal)


def test_a_leading_exclamation_mark_is_part_of_a_name() -> None:
    def list_dir(path: str) -> Sequence[str]:
        return ["!x", "y"] if path == "." else []

    assert ("!x",) == parse_parents_source("!*").matches(list_dir)


EXCLUDED = [
    (("*.py",), "a.py", True),
    (("*.py",), "d/a.py", False),
    (("**/*.py",), "d/a.py", True),
    (("d",), "d/deep/a", True),
    (("d", "!d/a"), "d/a", False),
    (("!d/a", "d"), "d/a", True),
    (("#x",), "#x", True),
    (("/a",), "a", True),
    ((" a ", ""), "a", True),
    ((), "a", False),
]


@pytest.mark.parametrize("patterns, path, expected", EXCLUDED)
def test_what_is_excluded(patterns: Tuple[str, ...], path: str, expected: bool) -> None:
    assert expected == Exclusion(patterns).drops(path)


def test_a_malformed_pattern_is_an_error() -> None:
    with pytest.raises(DockerfileSyntaxError, match="not a valid pattern"):
        Exclusion(("a[",))
    with pytest.raises(DockerfileSyntaxError, match="not a valid pattern"):
        parse_parents_source("a/./b[*")
