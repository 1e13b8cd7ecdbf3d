"""Here-documents: found in an instruction's line, lifted out of the text below it (Dockerfile reference, "Here-Documents").

dockerfile-parse knows none and would read their bodies as instructions, so this happens before it sees the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from imagebuild.dockerfile.expand import expand
from imagebuild.dockerfile.words import split_words
from imagebuild.errors import DockerfileSyntaxError, ExpansionError

_TAKES_HEREDOCS = re.compile(r"\s*(?:ONBUILD\s+)?(?:ADD|COPY|RUN)\s", re.IGNORECASE)
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)\Z")


@dataclass(frozen=True)
class Heredoc:
    """A here-document: `content` ends in a newline unless it is empty.

    :param expand: variables are substituted; not so when any part of the name was quoted.
    :param chomp: ``<<-``: leading tabs are to be taken off every line.
    """

    name: str
    expand: bool
    chomp: bool
    content: str = ""


def announced(line: str, escape: str) -> Tuple[Heredoc, ...]:
    """The here-documents that an instruction's logical `line` announces, without their content."""
    if "<<" not in line or not _TAKES_HEREDOCS.match(line):
        return ()
    words = (_HEREDOC.match(word) for word in split_words(line, escape))
    return tuple(
        found for match in words if match for found in _named(match[2], match[1] == "-", escape)
    )


def _named(word: str, chomp: bool, escape: str) -> Tuple[Heredoc, ...]:
    try:
        name = expand(word, {}, escape, keep_unset=True)
    except ExpansionError:
        return ()
    quoted = name.count("'") + name.count('"') != word.count("'") + word.count('"')
    return (Heredoc(name, not quoted, chomp),) if name and not name.isspace() else ()


def read_bodies(
    heredocs: Sequence[Heredoc], lines: Sequence[str], at: int
) -> Tuple[Tuple[Heredoc, ...], int]:
    """The same with their content, which starts at index `at` of `lines`, and the index behind the last terminator.

    :raises DockerfileSyntaxError: when a terminator is missing.
    """
    done: List[Heredoc] = []
    for heredoc in heredocs:
        start = at
        while at < len(lines) and _terminator(lines[at], heredoc.chomp) != heredoc.name:
            at += 1
        if at == len(lines):
            raise DockerfileSyntaxError(
                f'the here-document "<<{heredoc.name}" has no end',
                expected=f'a line that is only "{heredoc.name}"',
                hint="add that line where the document ends",
            )
        content = "".join(f"{line}\n" for line in lines[start:at])
        done.append(Heredoc(heredoc.name, heredoc.expand, heredoc.chomp, content))
        at += 1
    return tuple(done), at


def _terminator(line: str, chomp: bool) -> str:
    return line.lstrip("\t") if chomp else line
