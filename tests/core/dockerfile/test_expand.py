"""Substitution: a table after the Dockerfile reference, and the shell as an oracle for what both know."""

from __future__ import annotations

import subprocess
from typing import Dict, List, Optional, Set

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuild.dockerfile.expand import expand, expand_words
from imagebuild.errors import ExpansionError

ENV = {
    "A": "apple",
    "EMPTY": "",
    "P": "usr/lib/x.tar.gz",
    "S": "two words",
    "Q": "a'b\"c",
    "B_1": "under",
}

GOOD = [
    ("", ""),
    ("plain", "plain"),
    ("$A", "apple"),
    ("${A}", "apple"),
    ("x${A}y$A.z", "xappleyapple.z"),
    ("$B_1", "under"),
    ("$NONE.", "."),
    ("\\$A", "$A"),
    ("\\${A}", "${A}"),
    ("'$A'", "$A"),
    ('"$A"', "apple"),
    ('"\\$A"', "$A"),
    ('"a\\b\\"\\\\"', 'a\\b"\\'),
    ("'a\\b'", "a\\b"),
    ("a\\ b", "a b"),
    ("end\\", "end"),
    ("$", "$"),
    ("a$", "a$"),
    ("$.", "$."),
    ("$$", ""),
    ("$1x$*", "x"),
    ("${A:-x}", "apple"),
    ("${NONE:-x}", "x"),
    ("${EMPTY:-x}", "x"),
    ("${EMPTY-x}", ""),
    ("${NONE-x}", "x"),
    ("${A:+x}", "x"),
    ("${EMPTY:+x}", ""),
    ("${EMPTY+x}", "x"),
    ("${NONE+x}", ""),
    ("${A:?x}", "apple"),
    ("${EMPTY?x}", ""),
    ("${NONE:-${EMPTY:-$A}}", "apple"),
    ("${NONE:-'}'}", "}"),
    ("${NONE:-\\}}", "}"),
    ('${NONE:-"a b"}', "a b"),
    ("${P#*/}", "lib/x.tar.gz"),
    ("${P##*/}", "x.tar.gz"),
    ("${P%.*}", "usr/lib/x.tar"),
    ("${P%%.*}", "usr/lib/x"),
    ("${P#?}", "sr/lib/x.tar.gz"),
    ("${P#nothing}", "usr/lib/x.tar.gz"),
    ("${P%${NONE:-.gz}}", "usr/lib/x.tar"),
    ("${A/p/P}", "aPple"),
    ("${A//p/P}", "aPPle"),
    ("${A/p/}", "aple"),
    ("${A//p/}", "ale"),
    ("${A/p*l/-}", "a-e"),
    ("${P/\\//:}", "usr:lib/x.tar.gz"),
    ("${P//\\//:}", "usr:lib:x.tar.gz"),
    ("${A/z/y}", "apple"),
    ("${NONE#x}", ""),
    ("$Q", "a'b\"c"),
    ("ünï${A}", "ünïapple"),
]

BAD = [
    "'a",
    '"a',
    '"${A"',
    "${",
    "${A",
    "${}",
    "${:}",
    "${{A}}",
    "${A:",
    "${A:x}",
    "${A!x}",
    "${A:-x",
    "${A#\\a}",
    "${A/p",
    "${A/p}",
    "${NONE:?}",
    "${EMPTY:?text}",
    "${NONE?text}",
]


@pytest.mark.parametrize(("word", "expected"), GOOD)
def test_expand(word: str, expected: str) -> None:
    assert expected == expand(word, ENV)


@pytest.mark.parametrize("word", BAD)
def test_expand_refuses(word: str) -> None:
    with pytest.raises(ExpansionError):
        expand(word, ENV)


def test_the_other_escape_character() -> None:
    assert "C:\\x $A \\apple" == expand("C:\\x `$A \\$A", ENV, "`")


def test_names_that_are_never_set_are_told() -> None:
    unset: Set[str] = set()

    expand("$A $NONE ${OTHER} ${WITH:-default} $1", ENV, unset=unset)

    assert {"NONE", "OTHER"} == unset


def test_what_is_not_set_can_be_kept() -> None:
    text = "$NONE ${NONE} ${NONE:-x} ${NONE#y} ${NONE//a/b} apple"

    assert text == expand(text.replace("apple", "$A"), ENV, keep_unset=True)


WORDS = [
    ("a b", ("a", "b")),
    ("$S", ("two", "words")),
    ('"$S"', ("two words",)),
    ("x$S\\ y", ("xtwo", "words y")),
    ("$EMPTY", ()),
    ("  ", ()),
]


@pytest.mark.parametrize(("word", "expected"), WORDS)
def test_expand_words(word: str, expected: object) -> None:
    assert expected == expand_words(word, ENV)


def test_a_text_that_grows_without_end_is_stopped() -> None:
    with pytest.raises(ExpansionError):
        expand("$X" * 3, {"X": "x" * (1 << 19)})


def test_nesting_is_bounded() -> None:
    with pytest.raises(ExpansionError):
        expand("${A:+" * 5000 + "}" * 5000, ENV)


NAMES = st.sampled_from(["A", "EMPTY", "NONE", "P", "S"])
LITERAL = st.text(alphabet="ab.-_/", max_size=4)
PATTERN = st.lists(st.sampled_from(["a", "b", ".", "/", "p", "*", "?", "\\*"]), max_size=4).map(
    "".join
)


def _substitution(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("${{{}}}".format, NAMES),
        st.builds("${{{}{}{}}}".format, NAMES, st.sampled_from([":-", "-", ":+", "+"]), inner),
        st.builds("${{{}{}{}}}".format, NAMES, st.sampled_from(["#", "##", "%", "%%"]), PATTERN),
    )


UNQUOTED = st.recursive(LITERAL, _substitution, max_leaves=4)
QUOTED = st.one_of(
    st.builds("'{}'".format, st.text(alphabet='ab $"\\', max_size=5)),
    st.builds('"{}"'.format, st.recursive(LITERAL, _substitution, max_leaves=3)),
    st.sampled_from(["\\$", "\\a", "\\\\", "\\'", '"\\$\\a\\\\"', "\\ "]),
)


@settings(max_examples=20)
@given(
    st.lists(
        st.lists(st.one_of(UNQUOTED, QUOTED), max_size=4).map("".join), min_size=20, max_size=20
    )
)
def test_expansion_agrees_with_the_shell(words: list) -> None:  # type: ignore[type-arg]
    """POSIX 2.6.2 for the operators that both have; an assignment neither splits nor globs."""
    variables: Dict[str, str] = {
        name: value for name, value in ENV.items() if name in ["A", "EMPTY", "P", "S"]
    }
    script = "".join(f"r={word}\nprintf '%s\\0' \"$r\"\n" for word in words)

    shell = subprocess.run(
        ["/bin/sh", "-c", script], env=variables, capture_output=True, check=True
    )

    assert shell.stdout.decode().split("\0")[:-1] == [expand(word, variables) for word in words]


def _in_shell(shell: str, words: List[str], variables: Dict[str, str]) -> List[Optional[str]]:
    """What a shell makes of each word, None where it refuses it; every word is expanded in a subshell."""
    script = "".join(f"(r={word}\nprintf '=%s' \"$r\") 2>&-; printf '\\0'\n" for word in words)
    done = subprocess.run(
        [shell, "-c", script], env={**variables, "LC_ALL": "C"}, stdout=subprocess.PIPE, check=True
    )
    answers = done.stdout.decode().split("\0")[:-1]
    return [answer[1:] if answer else None for answer in answers]


def _ours(word: str, variables: Dict[str, str]) -> Optional[str]:
    try:
        return expand(word, variables)
    except ExpansionError:
        return None


VARIABLES = {name: ENV[name] for name in ("A", "EMPTY", "P", "S")}
REQUIRED = st.builds(
    "${{{}{}{}}}".format,
    NAMES,
    st.sampled_from([":?", "?"]),
    st.sampled_from(["text", "$A", "a b"]),
)


@settings(max_examples=10)
@given(st.lists(REQUIRED, min_size=10, max_size=10))
def test_required_variables_are_missing_where_the_shell_misses_them(words: List[str]) -> None:
    assert _in_shell("/bin/sh", words, VARIABLES) == [_ours(word, VARIABLES) for word in words]


REPLACED = st.lists(st.sampled_from(["a", "p", "l", ".", "*", "?", "\\*", "r"]), min_size=1)
REPLACING = st.builds(
    "${{{}{}{}/{}}}".format,
    st.sampled_from(
        ["A", "P", "S"]
    ),  # in an empty value bash looks for nothing, and BuildKit finds "*"
    st.sampled_from(["/", "//"]),
    REPLACED.map("".join),
    st.text(alphabet="abc.-_ ", max_size=3),
)


@settings(max_examples=20)
@given(st.lists(REPLACING, min_size=20, max_size=20))
def test_replacing_agrees_with_bash(words: List[str]) -> None:
    """The shell of POSIX has no replacing; it is bash's, and the Dockerfile's is after that."""
    assert _in_shell("bash", words, VARIABLES) == [_ours(word, VARIABLES) for word in words]
