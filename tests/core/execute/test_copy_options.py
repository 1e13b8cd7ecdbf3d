"""COPY's options, at the layer that they make: here-documents, --exclude, --parents, --chmod."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from imagebuild.errors import SourceNotInContextError, StepError
from imagebuild.execute.select import input_digest
from imagebuild.execute.sources import ContextSource
from imagebuild.llb.ops import FileOp, InlineFile
from support.drafts import Made, TarSource, context, copy, made, tree
from support.tars import directory, member, symlink

PROJECT = {
    "a.txt": b"a",
    "b.md": b"b",
    "src/main.py": b"m",
    "src/main.txt": b"t",
    "src/deep/x.py": b"x",
    "src/deep/er/y.txt": b"y",
    "src/link": "->deep",
    "tests/t.py": b"t",
    "empty": None,
}


@pytest.fixture
def project(tmp_path: Path) -> ContextSource:
    return context(tmp_path / "context", PROJECT)


def files_of(layer: Dict[str, Made]) -> List[str]:
    return [path for path, entry in layer.items() if entry.kind != "dir"]


# Here-documents (Dockerfile reference, "Here-Documents": creating inline files)


def inline(*files: Tuple[str, str], **fields: Any) -> FileOp:
    return copy(files=tuple(InlineFile(*file) for file in files), **fields)


def test_a_here_document_is_a_file_of_root_with_mode_0644(tmp_path: Path) -> None:
    assert {"d": Made("file", 0o644, (0, 0), b"hello\n")} == made(
        inline(("EOF", "hello\n")), [], tmp_path
    )


def test_here_documents_go_into_a_directory_by_their_names(tmp_path: Path) -> None:
    op = inline(("one", "1"), ("sub/two", "2"), dest="/new/dir", into=True, owner="7:8", mode=0o600)

    assert {
        "new": Made("dir", 0o755, (7, 8), None),
        "new/dir": Made("dir", 0o755, (7, 8), None),
        "new/dir/one": Made("file", 0o600, (7, 8), b"1"),
        "new/dir/two": Made("file", 0o600, (7, 8), b"2"),
    } == made(op, [], tmp_path)


def test_a_here_document_goes_into_a_directory_that_is_there(tmp_path: Path) -> None:
    below = tree([directory("d", 0o1777), symlink("l", "d")])

    layer = made(inline(("name", "x"), dest="/l"), [], tmp_path, below)

    assert ["d", "d/name"] == list(layer)
    assert 0o1777 == layer["d"].mode


def test_here_documents_stand_behind_files_of_the_context(
    tmp_path: Path, project: ContextSource
) -> None:
    op = copy("a.txt", files=(InlineFile("a.txt", "later"), InlineFile("z", "é\udcff")), into=True)

    layer = made(op, [project], tmp_path)

    assert b"later" == layer["d/a.txt"].content
    assert "é".encode() + b"\xff" == layer["d/z"].content


def test_a_symbolic_mode_of_a_here_document_starts_from_0644(tmp_path: Path) -> None:
    assert 0o755 == made(inline(("n", ""), symbolic_mode="+x"), [], tmp_path)["d"].mode


# --exclude (Dockerfile reference, "COPY --exclude")

EXCLUDED: Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...], List[str]]] = {
    "anchored at the source": (
        ("src",),
        ("*.txt",),
        ["d/deep/er/y.txt", "d/deep/x.py", "d/link", "d/main.py"],
    ),
    "anywhere": (("src",), ("**/*.txt",), ["d/deep/x.py", "d/link", "d/main.py"]),
    "a directory": (("src",), ("deep",), ["d/link", "d/main.py", "d/main.txt"]),
    "not by the path in the context": (
        ("src/deep",),
        ("src/deep/x.py", "deep/x.py", "src"),
        ["d/er/y.txt", "d/x.py"],
    ),
    "but one": (
        ("src",),
        ("**", "!deep/er/y.txt"),
        ["d/deep/er/y.txt"],
    ),
    "a file that a wildcard matched": (("*.*",), ("*.md",), ["d/a.txt"]),
    "a file that is named": (("a.txt", "b.md"), ("a.txt",), ["d/b.md"]),
    "a file by its path": (("src/main.*",), ("src/*.txt",), ["d/main.py"]),
    "a link": (("src",), ("link", "deep", "*.txt"), ["d/main.py"]),
    "everything": (("src",), ("*",), []),
}


@pytest.mark.parametrize("sources, exclude, expected", EXCLUDED.values(), ids=EXCLUDED.keys())
def test_what_is_excluded_is_not_copied(
    tmp_path: Path,
    project: ContextSource,
    sources: Tuple[str, ...],
    exclude: Tuple[str, ...],
    expected: List[str],
) -> None:
    op = copy(*sources, exclude=exclude, into=True)

    assert expected == files_of(made(op, [project], tmp_path))


def test_a_source_directory_is_made_even_if_all_in_it_is_excluded(
    tmp_path: Path, project: ContextSource
) -> None:
    assert ["d"] == list(made(copy("src", exclude=("*",)), [project], tmp_path))


def test_an_excluded_directory_comes_with_what_is_taken_back_in(
    tmp_path: Path, project: ContextSource
) -> None:
    layer = made(copy("src", exclude=("deep", "!deep/er/y.txt")), [project], tmp_path)

    assert ["d/deep", "d/deep/er", "d/deep/er/y.txt"] == [path for path in layer if "deep" in path]


def test_a_file_that_is_excluded_is_in_no_key() -> None:
    op = copy("s", exclude=("*.log",))

    def digest(log: bytes, other: bytes = b"x") -> Any:
        return input_digest(
            tree([directory("s"), member("s/a.log", log), member("s/b", other)]), op, 0
        )

    assert digest(b"1") == digest(b"2")
    assert digest(b"1") != digest(b"1", b"y")


# --parents (Dockerfile reference, "COPY --parents")

PARENTS: Dict[str, Tuple[Tuple[str, ...], List[str]]] = {
    "a file": (("src/deep/x.py",), ["d", "d/src", "d/src/deep", "d/src/deep/x.py"]),
    "written with ./": (("./src/main.py",), ["d", "d/src", "d/src/main.py"]),
    "several": (("a.txt", "tests/t.py"), ["d", "d/a.txt", "d/tests", "d/tests/t.py"]),
    "a directory": (
        ("src/deep",),
        ["d", "d/src", "d/src/deep", "d/src/deep/er", "d/src/deep/er/y.txt", "d/src/deep/x.py"],
    ),
    "a wildcard": (("src/*.py",), ["d", "d/src", "d/src/main.py"]),
    "a directory that a wildcard matched": (
        ("src/d*p/e*",),
        ["d", "d/src", "d/src/deep", "d/src/deep/er", "d/src/deep/er/y.txt"],
    ),
    "any depth": (
        ("src/**/*.txt",),
        ["d", "d/src", "d/src/deep", "d/src/deep/er", "d/src/deep/er/y.txt", "d/src/main.txt"],
    ),
    "from a pivot": (("src/./deep/x.py",), ["d", "d/deep", "d/deep/x.py"]),
    "from the first pivot": (("src/./deep/./er",), ["d", "d/deep", "d/deep/er", "d/deep/er/y.txt"]),
    "a pivot behind a wildcard": (("s*/./deep/x.py",), ["d", "d/deep", "d/deep/x.py"]),
    "a pivot in front of one": (("src/deep/./**/*.txt",), ["d", "d/er", "d/er/y.txt"]),
    "a link is no directory": (("src/l*",), ["d", "d/src", "d/src/link"]),
    "everything below": (("src/deep/./.",), ["d", "d/er", "d/er/y.txt", "d/x.py"]),
}


@pytest.mark.parametrize("sources, expected", PARENTS.values(), ids=PARENTS.keys())
def test_what_is_copied_keeps_its_directories(
    tmp_path: Path, project: ContextSource, sources: Tuple[str, ...], expected: List[str]
) -> None:
    assert expected == list(made(copy(*sources, parents=True), [project], tmp_path))


def test_parents_and_exclude_together(tmp_path: Path, project: ContextSource) -> None:
    op = copy("src/**/*.*", parents=True, exclude=("src/deep", "**/*.txt"))

    assert ["d", "d/src", "d/src/main.py"] == list(made(op, [project], tmp_path))


STAGE = (
    directory("o", 0o711, uid=3, gid=4),
    directory("o/p", 0o2750, uid=5, gid=6, pax_headers={"SCHILY.xattr.user.k": "v"}),
    member("o/p/f", b"f", uid=7, gid=8),
    symlink("l", "o"),
)


def test_directories_that_are_made_are_as_their_sources(tmp_path: Path) -> None:
    op = copy("o/p/f", parents=True, keep_owner=True)

    assert {
        "d": Made("dir", 0o755, (0, 0), None),
        "d/o": Made("dir", 0o711, (3, 4), None),
        "d/o/p": Made("dir", 0o2750, (5, 6), None, xattrs=(("user.k", "v"),)),
        "d/o/p/f": Made("file", 0o644, (7, 8), b"f"),
    } == {
        path: entry._replace(mtime=10**9)
        for path, entry in made(op, [TarSource(*STAGE)], tmp_path).items()
    }


def test_chown_and_chmod_are_for_the_directories_too(tmp_path: Path) -> None:
    layer = made(
        copy("o/p/f", parents=True, owner="1:2", mode=0o700), [TarSource(*STAGE)], tmp_path
    )

    assert [(0o755, (1, 2))] + 3 * [(0o700, (1, 2))] == [
        (entry.mode, entry.owner) for entry in layer.values()
    ]


def test_directories_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    below = tree([directory("d", 0o1777), directory("d/o", 0o700, uid=9, gid=9)])

    layer = made(copy("o/p/f", parents=True), [TarSource(*STAGE)], tmp_path, below)

    assert [(0o1777, "d"), (0o700, "d/o"), (0o2750, "d/o/p")] == [
        (layer[path].mode, path) for path in ("d", "d/o", "d/o/p")
    ]


def test_links_are_followed_in_the_base_alone(tmp_path: Path) -> None:
    stage = TarSource(*STAGE)

    assert ["d", "d/p", "d/p/f"] == list(made(copy("l/./p/f", parents=True), [stage], tmp_path))
    with pytest.raises(SourceNotInContextError):
        input_digest(stage.tree, copy("l/p/f", parents=True), 0)


@pytest.mark.parametrize("source", ["missing", "o/missing", "o/./missing"])
def test_a_source_that_matches_nothing_is_an_error(source: str) -> None:
    with pytest.raises(SourceNotInContextError, match="matches nothing"):
        input_digest(tree(STAGE), copy(source, parents=True), 0)


@pytest.mark.parametrize(
    ("source", "parents"), [("missing/./*", True), ("x*", False), ("o/[x]", False)]
)
def test_a_wildcard_may_match_nothing(source: str, parents: bool, tmp_path: Path) -> None:
    stage = TarSource(*STAGE)

    assert [] == list(made(copy(source, parents=parents), [stage], tmp_path))
    op = copy(source, parents=parents)
    assert input_digest(tree(), op, 0) == input_digest(stage.tree, op, 0)


def test_the_key_knows_the_directories_that_are_made() -> None:
    def digest(mode: int, other: bytes = b"") -> Any:
        changed = tree([directory("o", mode), member("o/f", b"f"), member("o/g", other)])
        return input_digest(changed, copy("o/f", parents=True), 0)

    assert digest(0o755) == digest(0o755, b"unrelated")
    assert digest(0o755) != digest(0o700)


# --chmod


def test_a_symbolic_mode_is_relative_to_each_source(tmp_path: Path) -> None:
    stage = TarSource(
        directory("s"),
        directory("s/dir", 0o700),
        member("s/plain", mode=0o600),
        member("s/tool", mode=0o700),
        member("s/wide", mode=0o4777),
        symlink("s/link", "tool"),
    )

    layer = made(copy("s", symbolic_mode="u=rwX,go=rX"), [stage], tmp_path)

    assert {
        "d": 0o755,
        "d/dir": 0o755,
        "d/link": 0o777,
        "d/plain": 0o644,
        "d/tool": 0o755,
        "d/wide": 0o755,
    } == {path: entry.mode for path, entry in layer.items()}


def test_an_octal_mode_is_for_files_and_directories_but_not_for_what_has_to_be_made(
    tmp_path: Path, project: ContextSource
) -> None:
    layer = made(copy("src", dest="/x/d", mode=0o711), [project], tmp_path)

    assert [0o755, 0o755] == [layer["x"].mode, layer["x/d"].mode]
    assert [0o711, 0o711, 0o777] == [
        layer["x/d/deep"].mode,
        layer["x/d/main.py"].mode,
        layer["x/d/link"].mode,
    ]


# --link (Dockerfile reference, "COPY --link")


def test_a_linked_copy_sees_nothing_of_what_is_below(
    tmp_path: Path, project: ContextSource
) -> None:
    below = tree([symlink("bin", "usr/bin"), directory("tmp", 0o1777)])
    plain = made(copy("a.txt", dest="/bin/a"), [project], tmp_path, below)

    linked = made(copy("a.txt", dest="/bin/a", link=True), [project], tmp_path, below)

    assert ["usr", "usr/bin", "usr/bin/a"] == list(plain)
    assert ["bin", "bin/a"] == list(linked), "the destination is of directories only"
    assert 0o755 == made(copy("a.txt", dest="/tmp/a", link=True), [project], tmp_path)["tmp"].mode


def test_a_linked_copy_knows_no_names_of_users(tmp_path: Path, project: ContextSource) -> None:
    below = tree([directory("etc"), member("etc/passwd", b"app:x:7:8::/:\n")])
    op = copy("a.txt", owner="app")
    assert (7, 8) == made(op, [project], tmp_path, below)["d"].owner

    with pytest.raises(StepError, match='there is no "app"') as caught:
        made(replace(op, link=True), [project], tmp_path, below)

    assert "with --link" in caught.value.hint
    numbers = copy("a.txt", owner="7:8", link=True)
    assert (7, 8) == made(numbers, [project], tmp_path, below)["d"].owner
