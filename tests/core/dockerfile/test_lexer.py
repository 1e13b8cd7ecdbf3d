"""Lines to instructions: continuations, comments, directives, here-documents, flags."""

from __future__ import annotations

from typing import List, Tuple, Union

import pytest

from imagebuild.dockerfile.lexer import RawInstruction, lex

# (text, [(keyword, flags, rest, first line, last line)])
Expected = List[Tuple[str, Tuple[str, ...], str, int, int]]
CASES: List[Tuple[Union[str, bytes], Expected]] = [
    ("FROM a\nRUN b\n", [("FROM", (), "a", 1, 1), ("RUN", (), "b", 2, 2)]),
    ("from a", [("FROM", (), "a", 1, 1)]),
    ("  FROM\ta  \n", [("FROM", (), "a", 1, 1)]),
    ("FROM", [("FROM", (), "", 1, 1)]),
    ("# c\n\n  # d\nFROM a\n", [("FROM", (), "a", 4, 4)]),
    ("RUN a \\\n  b \\  \n c\nRUN d", [("RUN", (), "a   b  c", 1, 3), ("RUN", (), "d", 4, 4)]),
    ("RUN a \\\n# c \\\n b\n", [("RUN", (), "a  b", 1, 3)]),
    ("RUN a \\\n\n   \n b\nRUN c", [("RUN", (), "a  b", 1, 4), ("RUN", (), "c", 5, 5)]),
    ("RUN\\\n a\n", [("RUN", (), "a", 1, 2)]),
    ("RU\\\nN a\n", [("RUN", (), "a", 1, 2)]),
    ("\\\nRUN a\n", [("RUN", (), "a", 1, 2)]),
    ("RUN a \\\\\nRUN b\n", [("RUN", (), "a \\\\", 1, 1), ("RUN", (), "b", 2, 2)]),
    ("RUN a \\", [("RUN", (), "a", 1, 1)]),
    ("RUN a \\\n # c\n", [("RUN", (), "a", 1, 2)]),
    ("# escape=`\nRUN a `\n b \\\nRUN c", [("RUN", (), "a  b \\", 2, 3), ("RUN", (), "c", 4, 4)]),
    ("#Escape = `\nRUN a `\n b", [("RUN", (), "a  b", 2, 3)]),
    ("# syntax=x\n# check=y\n# escape=`\nRUN a `\n b", [("RUN", (), "a  b", 4, 5)]),
    ("# c\n# escape=`\nRUN a `\nRUN b", [("RUN", (), "a `", 3, 3), ("RUN", (), "b", 4, 4)]),
    ("\n# escape=`\nRUN a `\nRUN b", [("RUN", (), "a `", 3, 3), ("RUN", (), "b", 4, 4)]),
    (
        b"\xef\xbb\xbfFROM a\r\nRUN b \\\r\n c\r\n",
        [("FROM", (), "a", 1, 1), ("RUN", (), "b  c", 2, 3)],
    ),
    (
        "RUN --a=b --c --d='e f' --g=h\\ i j --k",
        [("RUN", ("--a=b", "--c", "--d=e f", "--g=h i"), "j --k", 1, 1)],
    ),
    ("RUN -- --x", [("RUN", (), "--x", 1, 1)]),
    ("RUN --\\\nx=1 y", [("RUN", ("--x=1",), "y", 1, 2)]),
    ("RUN <<A\nFROM x\n\\\nA\nRUN y", [("RUN", (), "<<A", 1, 1), ("RUN", (), "y", 5, 5)]),
    (
        "COPY <<A <<-B /x\na\n\tB\nA\nb\n\tB\nRUN y",
        [("COPY", (), "<<A <<-B /x", 1, 1), ("RUN", (), "y", 7, 7)],
    ),
    ("RUN a \\\n <<A\nx \\\nA\nRUN y", [("RUN", (), "a  <<A", 1, 2), ("RUN", (), "y", 5, 5)]),
    (
        "RUN echo $((1<<A)) x<<B '<<C' <<<D\nRUN y",
        [("RUN", (), "echo $((1<<A)) x<<B '<<C' <<<D", 1, 1), ("RUN", (), "y", 2, 2)],
    ),
    ("ENV A=<<B\nRUN y", [("ENV", (), "A=<<B", 1, 1), ("RUN", (), "y", 2, 2)]),
]


def told(raw: RawInstruction) -> Tuple[str, Tuple[str, ...], str, int, int]:
    return raw.keyword, raw.flags, raw.rest, raw.source.start_line, raw.source.end_line


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[repr(text)[:40] for text, _ in CASES])
def test_lex(text: Union[str, bytes], expected: Expected) -> None:
    lexed = lex(text, "Dockerfile")

    assert () == lexed.errors
    assert expected == [told(raw) for raw in lexed.instructions]


def test_here_documents_keep_their_content() -> None:
    text = "COPY <<'A' <<-B /x\n$a \\\n# b\n\nA\n\tb\n\tB\n"

    first, second = lex(text, "Dockerfile").instructions[0].heredocs

    assert ("A", False, False, "$a \\\n# b\n\n") == (
        first.name,
        first.expand,
        first.chomp,
        first.content,
    )
    assert ("B", True, True, "\tb\n") == (second.name, second.expand, second.chomp, second.content)


BAD = [
    b"RUN a\xff\n",
    b"RUN a\0\n",
    b"# escape=x\nRUN a\n",
    b"RUN <<A\n",
    b"RUN <<A \\",
    b"\\\n\\\n",
]


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_split_is_an_error_with_a_line(text: bytes) -> None:
    (error,) = lex(text, "Dockerfile").errors

    assert error.origin is not None


def test_bytes_that_are_not_utf8_may_be_in_comments() -> None:
    assert () == lex(b"# \xff\nRUN a \\\n # \xff\n b\n", "Dockerfile").errors
