"""The documentation as data: pages, headings and fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import List, Set, Tuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param title: the text before it, as "`hello/BUILD`:", without its colon.
    """

    page: Path
    line: int
    title: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> Tuple[str, ...]:
        """Of a console block, the lines behind a ``$``; of a bash block, every line."""
        if self.language not in ("console", "bash"):
            return ()
        mark = "$ " if self.language == "console" else ""
        lines = (line for line in self.text.splitlines() if line.startswith(mark) and line.strip())
        return tuple(line[len(mark) :] for line in lines if not line.startswith("#"))


def pages() -> List[Path]:
    """Every page for people that is in this checkout."""
    own = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*own, *sorted((ROOT / "docs").glob("*.md")), ROOT / "tests/README.md"]


def blocks(page: Path) -> List[Block]:
    text = page.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        paragraph = before.rstrip().rpartition("\n\n")[2]
        found.append(Block(page, before.count("\n") + 1, paragraph, match[1], match[2]))
    return found


def block_of(page: Path, file: str) -> str:
    """The content of the file that a block shows, whose title begins with the file's name.

    :raises AssertionError: unless there is exactly one such block.
    """
    found = [block for block in blocks(page) if block.title.startswith(f"`{file}`")]
    assert found, f"{page.name} does not show {file}"
    return found[0].text


def commands(page: Path) -> List[str]:
    return [command for block in blocks(page) for command in block.commands]


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def headings(page: Path) -> Set[str]:
    """The anchors of a page, as GitHub makes them; those that come twice have a number behind them."""
    found: Set[str] = set()
    for title in re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text("utf-8")), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = 0
        while (name := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(name)
    return found
