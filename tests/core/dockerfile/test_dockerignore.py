"""What .dockerignore leaves, after the Dockerfile reference and moby/patternmatcher."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild.dockerfile.dockerignore import ignore_file_for, select_context
from imagebuild.errors import DockerfileSyntaxError, ManyErrors
from imagebuild.llb.plan import ContextEntry

PATHS = (
    ".dockerignore",
    "Dockerfile",
    "README.md",
    "a.go",
    "a.txt",
    "docs/README-secret.md",
    "docs/README.md",
    "docs/x/y.md",
    "foo",
    "sub/foo",
    "sub/foo2",
    "sub/temp/a",
    "tempa",
    "util/docker/web",
    "util/docker/web/foo",
    "z/[x]",
    "z/a.b",
    "z/axb",
)

# (ignore file, paths that it takes away)
CASES: List[Tuple[str, Tuple[str, ...]]] = [
    ("", ()),
    ("# foo\n\n   \n", ()),
    (" # foo", ()),  # only a "#" in the first column is a comment
    ("foo", ("foo",)),  # anchored at the root
    ("/foo", ("foo",)),
    ("./foo/", ("foo",)),
    ("  foo  ", ("foo",)),
    ("*/foo", ("sub/foo",)),
    ("**/foo", ("foo", "sub/foo", "util/docker/web/foo")),
    ("**foo", ("foo", "sub/foo", "util/docker/web/foo")),
    ("**/foo*", ("foo", "sub/foo", "sub/foo2", "util/docker/web/foo")),
    ("*.md", ("README.md",)),
    ("**/*.md", ("README.md", "docs/README-secret.md", "docs/README.md", "docs/x/y.md")),
    ("docs", ("docs/README-secret.md", "docs/README.md", "docs/x/y.md")),
    ("docs/*", ("docs/README-secret.md", "docs/README.md", "docs/x/y.md")),
    ("docs/**", ("docs/README-secret.md", "docs/README.md", "docs/x/y.md")),
    ("docs/**/*.md", ("docs/README-secret.md", "docs/README.md", "docs/x/y.md")),
    ("docs/**/y.md", ("docs/x/y.md",)),
    ("temp?", ("tempa",)),
    ("*/temp*", ("sub/temp/a",)),
    ("a.[gt]*", ("a.go", "a.txt")),
    ("a.[^g]*", ("a.txt",)),
    ("z/\\[x\\]", ("z/[x]",)),
    ("z/a.b", ("z/a.b",)),  # a dot is a dot
    ("docs\n!docs/README.md", ("docs/README-secret.md", "docs/x/y.md")),
    ("docs\n! docs/README*.md\ndocs/README-secret.md", ("docs/README-secret.md", "docs/x/y.md")),
    ("docs\ndocs/README-secret.md\n!docs/README*.md", ("docs/x/y.md",)),
    ("!docs\ndocs/x", ("docs/x/y.md",)),
    ("docs\n!docs/x", ("docs/README-secret.md", "docs/README.md")),
    ("docs\n!docs\ndocs/x", ("docs/x/y.md",)),
    ("util/docker/web\n!util/docker/web/foo", ("util/docker/web",)),
    ("*\n!a.go", tuple(path for path in PATHS if path != "a.go")),
    ("**\n!docs/x/*", tuple(path for path in PATHS if path != "docs/x/y.md")),
    (
        "*\n!*/*.md",
        tuple(path for path in PATHS if path not in ("docs/README.md", "docs/README-secret.md")),
    ),
    ("Dockerfile\n.dockerignore", (".dockerignore", "Dockerfile")),
    ("foo\r\na.go\r\n", ("a.go", "foo")),
    ("\ufefffoo", ("foo",)),
    ("..", ()),
    ("[z-a]", ()),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[repr(text) for text, _ in CASES])
def test_select_context(text: str, expected: Tuple[str, ...]) -> None:
    entries = [ContextEntry(path, "file") for path in PATHS]

    kept = select_context(entries, text, ".dockerignore")

    assert expected == tuple(path for path in PATHS if path not in {entry.path for entry in kept})


def test_directories_and_links_are_judged_like_files() -> None:
    entries = [
        ContextEntry("a", "dir"),
        ContextEntry("b", "symlink", target="a"),
        ContextEntry("c", "dir"),
    ]

    assert ["c"] == [entry.path for entry in select_context(entries, "[ab]", ".dockerignore")]


BAD = ["[", "a[b", "!", "!  ", "\\"]


@pytest.mark.parametrize("line", BAD)
def test_a_bad_pattern_is_named_with_its_line(line: str) -> None:
    with pytest.raises(DockerfileSyntaxError) as caught:
        select_context([], f"ok\n{line}\n", "app/.dockerignore")

    assert "app/.dockerignore:2" == str(caught.value.origin)


def test_all_bad_patterns_are_told_at_once() -> None:
    with pytest.raises(ManyErrors):
        select_context([], "[\n!\n", ".dockerignore")


IGNORE_FILES = [
    ("Dockerfile", ["Dockerfile", ".dockerignore"], ".dockerignore"),
    (
        "app/Dockerfile",
        ["app/Dockerfile.dockerignore", ".dockerignore"],
        "app/Dockerfile.dockerignore",
    ),
    ("app/Dockerfile", ["app/.dockerignore"], None),
]


@pytest.mark.parametrize(("dockerfile", "paths", "expected"), IGNORE_FILES)
def test_ignore_file_for(dockerfile: str, paths: List[str], expected: object) -> None:
    assert expected == ignore_file_for(dockerfile, paths)


@given(st.lists(st.sampled_from([*"ab*?[]^!/\\#\n", "**/", "\n!"]), max_size=14).map("".join))
def test_any_ignore_file_selects_or_is_refused(text: str) -> None:
    """What is left is always a part of what was there, in its order."""
    entries = [ContextEntry(path, "file") for path in ("a", "a/b", "b", "b/a/b")]
    try:
        kept = select_context(entries, text, ".dockerignore")
    except (DockerfileSyntaxError, ManyErrors):
        return

    assert [entry for entry in entries if entry in kept] == list(kept)


@given(st.lists(st.sampled_from(["a", "b", "*", "**", "a/b", "*/a", "!a", "!*/b"]), max_size=5))
def test_a_comment_or_a_blank_line_changes_nothing(lines: List[str]) -> None:
    entries = [ContextEntry(path, "file") for path in ("a", "a/b", "b", "b/a", "b/a/b")]
    commented = "\n".join(f"# {line}\n\n{line}" for line in lines)

    assert select_context(entries, "\n".join(lines), "i") == select_context(entries, commented, "i")
