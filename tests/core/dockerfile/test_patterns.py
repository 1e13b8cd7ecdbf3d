"""Go's filepath.Match, and what it finds in trees."""

from __future__ import annotations

from typing import Dict, List, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.dockerfile.patterns import clean, glob, has_wildcards, match, match_sources
from imagebuild.errors import DockerfileSyntaxError

MATCHES = [
    ("abc", "abc"),
    ("*", "abc"),
    ("*c", "abc"),
    ("a*", "a"),
    ("a*", "abc"),
    ("a*/b", "abc/b"),
    ("a*b*c*d*e*/f", "axbxcxdxe/f"),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f"),
    ("a*b?c*x", "abxbbxdbxebxczzx"),
    ("ab[c]", "abc"),
    ("ab[b-d]", "abc"),
    ("ab[^e-g]", "abc"),
    ("a\\*b", "a*b"),
    ("a?b", "a☺b"),
    ("a[^a]b", "a☺b"),
    ("[à-ö]*", "é"),
    ("[\\]a]", "]"),
    ("[\\-]", "-"),
    ("[x\\-]", "x"),
    ("[x\\-]", "-"),
    ("[\\-x]", "x"),
    ("[\\-x]", "-"),
    ("*x", "xxx"),
    ("**", "abc"),
    ("a**b", "axxb"),
    ("", ""),
    ("[^a]", "/"),  # a class is not kept from the separator; so it is in Go
    ("\\[x", "[x"),
    ("?", "\udcff"),  # a byte that is not UTF-8 is one character
]

MISMATCHES = [
    ("a*", "ab/c"),
    ("a*/b", "a/c/b"),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f"),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/fff"),
    ("a*b?c*x", "abxbbxdbxebxczzy"),
    ("ab[e-g]", "abc"),
    ("ab[^c]", "abc"),
    ("ab[^b-d]", "abc"),
    ("a\\*b", "ab"),
    ("a???b", "a☺b"),
    ("a[^a][^a][^a]b", "a☺b"),
    ("*[à-ö]", "A"),
    ("a?b", "a/b"),
    ("a*b", "a/b"),
    ("[x\\-]", "z"),
    ("[\\-x]", "a"),
    ("a", ""),
    ("", "a"),
    ("**", "a/b"),
    ("[z-a]", "m"),
    ("abc", "abcd"),
    ("*.go", ".go/x"),
]

MALFORMED = [
    "[",
    "[^",
    "[^bc",
    "[]a]",
    "[-]",
    "[x-]",
    "[-x]",
    "[a-b-c]",
    "a[",
    "a[bc",
    "\\",
    "ab\\",
    "[a-\\",
    "*[",
    "[^]",
]


@pytest.mark.parametrize(("pattern", "name"), MATCHES)
def test_match(pattern: str, name: str) -> None:
    assert match(pattern, name)


@pytest.mark.parametrize(("pattern", "name"), MISMATCHES)
def test_mismatch(pattern: str, name: str) -> None:
    assert not match(pattern, name)


@pytest.mark.parametrize("pattern", MALFORMED)
@pytest.mark.parametrize("name", ["", "a", "zzz"])
def test_a_malformed_pattern_is_an_error_whatever_the_name(pattern: str, name: str) -> None:
    with pytest.raises(DockerfileSyntaxError):
        match(pattern, name)


@given(st.text(alphabet="ab*?[]^-\\/", max_size=12), st.text(alphabet="ab/*-", max_size=12))
def test_matching_ends_and_only_fails_by_name(pattern: str, name: str) -> None:
    try:
        assert match(pattern, name) in (True, False)
    except DockerfileSyntaxError as error:
        assert pattern in error.message


@given(st.text(alphabet="ab*?[]^-\\/é", max_size=12))
def test_an_escaped_name_matches_itself(name: str) -> None:
    assert match("".join(f"\\{char}" for char in name), name)


def test_many_stars_take_no_time() -> None:
    """Backtracking over every star would not end."""
    assert not match("*a" * 40 + "b", "a" * 200)


TREE = {
    ".": ["app", "b.txt", "a.txt", "x*y", "é"],
    "app": ["main.py", "lib"],
    "app/lib": ["util.py", "b.txt"],
}
FOUND = [
    ("*.txt", ["a.txt", "b.txt"]),
    ("./a.txt", ["a.txt"]),
    ("/app", ["app"]),
    ("app/", ["app"]),
    (".", ["."]),
    ("/", ["."]),
    ("*/*.py", ["app/main.py"]),
    ("app/*/../*.py", ["app/main.py"]),
    ("*/*/*", ["app/lib/b.txt", "app/lib/util.py"]),
    ("app/lib/[bu]*", ["app/lib/b.txt", "app/lib/util.py"]),
    ("x\\*y", ["x*y"]),
    ("x[*]y", ["x*y"]),
    ("nothing", []),
    ("nothing/*", []),
    ("../../b.txt", ["b.txt"]),
    ("app/m*/x", []),
]


@pytest.mark.parametrize(("pattern", "expected"), FOUND)
def test_glob(pattern: str, expected: List[str]) -> None:
    def list_dir(path: str) -> Sequence[str]:
        return TREE.get(path, ())

    assert expected == glob(pattern, list_dir)


def test_a_pattern_of_bytes_keeps_what_is_not_utf8() -> None:
    assert ["\udcff"] == glob(b"[\xff]", lambda path: ["\udcff", "a"] if path == "." else [])


def test_match_sources_knows_directories_by_what_is_in_them() -> None:
    listing = ["a/b/c", "a/d", "e"]

    assert ["a", "e"] == match_sources("*", listing)
    assert ["a/b", "a/d"] == match_sources("a/*", listing)


NAMES: Dict[str, bool] = {
    "a*": True,
    "a\\*": False,
    "[": True,
    "\\[": False,
    "a\\\\*": True,
    "?": True,
    "a]": False,
}


@pytest.mark.parametrize("pattern", NAMES)
def test_has_wildcards(pattern: str) -> None:
    assert NAMES[pattern] == has_wildcards(pattern)


CLEANED = [("", "."), ("/", "."), ("a//b/./c/../d/", "a/b/d"), ("../../a", "a"), ("//a", "a")]


@pytest.mark.parametrize(("path", "expected"), CLEANED)
def test_clean(path: str, expected: str) -> None:
    assert expected == clean(path)
