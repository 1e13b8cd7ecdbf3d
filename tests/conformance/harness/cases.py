"""The text form of cases: many small builds in one file, each with its context and what must come of it.

    # A line before the first case is a comment.
    === a-name-of-its-own ===
    What the case shows, in a sentence.
    @args GREETING=hello
    -- Dockerfile --
    FROM base/busybox
    COPY run.sh /
    -- run.sh (executable) --
    #!/bin/sh

README.md beside this package has the whole of it.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

HERE = Path(__file__).resolve().parents[1]
TOPICS = HERE / "cases"

EXPECTED_TREE, EXPECTED_CONFIG = "expected tree", "expected config"

_CASE = re.compile(r"=== (?P<name>[a-z0-9][a-z0-9-]*) ===")
_FILE = re.compile(
    r"-- (?P<path>[^ ]+(?: [^ (]+)*?)(?: -> (?P<link>[^ ]+))?(?: \((?P<forms>[^()]+)\))? --"
)
_FORMS = {"executable", "crlf", "bom", "no newline", "latin-1"}


class CaseError(ValueError):
    """A file of cases is not written as README.md says."""


@dataclass(frozen=True)
class ContextFile:
    """One file of a context: text below its head, or what `harness/fixtures.py` makes under the name `fixture`."""

    path: str
    text: str = ""
    link: str = ""
    forms: Tuple[str, ...] = ()
    fixture: str = ""

    @property
    def data(self) -> bytes:
        text = self.text
        if "no newline" in self.forms:
            text = text.rstrip("\n")
        if "crlf" in self.forms:
            text = text.replace("\n", "\r\n")
        data = text.encode("latin-1" if "latin-1" in self.forms else "utf-8")
        return b"\xef\xbb\xbf" + data if "bom" in self.forms else data


@dataclass(frozen=True)
class Case:
    """One build, and what must come of it.

    :param without_buildah: why buildah is no measure here; then `tree` or `config` is the reference's word.
    :param tree: lines as `harness/flatten.py` renders them, by path; against the tree of `over`. None: not written down.
    :param config: members that differ from the config of `over`; null for one that is gone.
    """

    topic: str
    name: str
    line: int
    about: str
    files: Tuple[ContextFile, ...]
    options: Dict[str, str] = field(default_factory=dict)
    tree: Any = None
    config: Any = None

    def __str__(self) -> str:
        return f"{self.topic}/{self.name}"

    @property
    def dockerfile(self) -> str:
        return self.options.get("file", "Dockerfile")

    @property
    def text(self) -> str:
        """The Dockerfile's text."""
        [text] = [file.text for file in self.files if file.path == self.dockerfile]
        return text

    @property
    def build_args(self) -> Tuple[Tuple[str, str], ...]:
        pairs = (word.partition("=") for word in shlex.split(self.options.get("args", "")))
        return tuple((name, value) for name, _, value in pairs)

    @property
    def secrets(self) -> Tuple[Tuple[str, str], ...]:
        pairs = (word.partition("=") for word in shlex.split(self.options.get("secrets", "")))
        return tuple((name, value) for name, _, value in pairs)

    @property
    def section(self) -> str:
        return self.options.get("section", "no section named")

    @property
    def place(self) -> str:
        """Where the case stands, for a reader of a failure."""
        return f"{self.topic}.txt:{self.line}"

    @property
    def labels(self) -> Tuple[str, ...]:
        return tuple(self.options.get("labels", "").split())

    @property
    def ssh(self) -> Tuple[str, ...]:
        return tuple(self.options.get("ssh", "").split())

    @property
    def target(self) -> str:
        return self.options.get("target", "")

    @property
    def platforms(self) -> Tuple[str, ...]:
        return tuple(self.options.get("platforms", "").split())

    @property
    def without_buildah(self) -> str:
        return self.options.get("without-buildah", "")

    @property
    def is_written(self) -> bool:
        """Whether there is an expectation in the case itself."""
        return self.tree is not None or self.config is not None

    @property
    def over(self) -> str:
        """The base that the written expectation is compared against: "scratch" or ``base/NAME``."""
        if "over" in self.options:
            return self.options["over"]
        froms = re.findall(r"^FROM (?:--platform=\S+ )?(\S+)", self.text, re.MULTILINE)
        if froms and re.fullmatch(r"scratch|base/\w+", froms[-1]):
            return str(froms[-1])
        raise CaseError(f"{self}: say with @over which base its expectation is compared against")


# What a line that begins with @ may say.
OPTIONS = {
    "args": "build arguments, as a shell would split them: A=1 B='two words'",
    "target": "the stage to build",
    "platforms": "what to build for, such as linux/arm64, or several with blanks between; else this machine's",
    "file": "the Dockerfile's path, if not Dockerfile",
    "section": "the heading of the Dockerfile reference that has the last word",
    "without-buildah": "why buildah is no measure here",
    "over": "the base that the written expectation is compared against",
    "secrets": "secrets as id=value",
    "ssh": "ids under which there is an ssh agent",
    "labels": "labels given with the build: a=1 b=2",
}


def load(*wanted: str) -> Tuple[Case, ...]:
    """The cases of ``cases/TOPIC.txt`` for each topic.

    :raises CaseError: naming the line that is wrong.
    """
    return tuple(
        case
        for topic in wanted
        for case in parse(topic, (TOPICS / f"{topic}.txt").read_text(encoding="utf-8"))
    )


def topics() -> Tuple[str, ...]:
    return tuple(sorted(path.stem for path in TOPICS.glob("*.txt")))


def parse(topic: str, text: str) -> Tuple[Case, ...]:
    """The cases of one file. :raises CaseError: naming the line that is wrong."""
    cases = tuple(_parse(topic, text))
    names = [case.name for case in cases]
    for case in cases:
        if names.count(case.name) > 1:
            raise CaseError(f"{case.place}: two cases have the name {case.name}")
    return cases


def _parse(topic: str, text: str) -> Iterator[Case]:
    case: List[Tuple[int, str]] = []
    name, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        head = _CASE.fullmatch(line)
        if head:
            if name:
                yield _case(topic, name, start, case)
            name, start, case = head["name"], number, []
        elif line.startswith("==="):
            raise CaseError(f"{topic}.txt:{number}: expected === a-name-of-its-own ===, got {line}")
        elif name:
            case.append((number, line))
        elif line.strip() and not line.startswith("#"):
            raise CaseError(f"{topic}.txt:{number}: only comments stand before the first case")
    if name:
        yield _case(topic, name, start, case)


def _case(topic: str, name: str, start: int, lines: List[Tuple[int, str]]) -> Case:
    about: List[str] = []
    options: Dict[str, str] = {}
    bodies: List[Tuple[int, Dict[str, Any], List[str]]] = []
    for number, line in lines:
        head = _FILE.fullmatch(line)
        if head:
            bodies.append((number, head.groupdict(), []))
        elif bodies:
            bodies[-1][2].append(line)
        elif line.startswith("@"):
            key, _, value = line[1:].partition(" ")
            if key not in OPTIONS:
                raise CaseError(f"{topic}.txt:{number}: @{key} is none of {', '.join(OPTIONS)}")
            options[key] = value.strip()
        else:
            about.append(line.strip())
    files, written = [], {}
    for number, head_parts, body in bodies:
        if head_parts["path"] in (EXPECTED_TREE, EXPECTED_CONFIG):
            written[head_parts["path"]] = "\n".join(body)
        else:
            files.append(_context_file(f"{topic}.txt:{number}", head_parts, body))
    made = Case(
        topic,
        name,
        start,
        " ".join(about).strip(),
        tuple(files),
        options,
        tree=_tree(written[EXPECTED_TREE]) if EXPECTED_TREE in written else None,
        config=json.loads(written[EXPECTED_CONFIG]) if EXPECTED_CONFIG in written else None,
    )
    _validate(made)
    return made


def _context_file(place: str, head: Dict[str, Any], body: List[str]) -> ContextFile:
    while body and not body[-1]:
        body.pop()
    text = "".join(f"{line}\n" for line in body)
    forms = tuple(form.strip() for form in (head["forms"] or "").split(",") if form.strip())
    fixture = "".join(form[8:] for form in forms if form.startswith("fixture "))
    unknown = {form for form in forms if not form.startswith("fixture ")} - _FORMS
    if unknown:
        raise CaseError(f"{place}: {', '.join(unknown)} is none of {', '.join(sorted(_FORMS))}")
    return ContextFile(head["path"], text, head["link"] or "", forms, fixture)


def _tree(text: str) -> Dict[str, str]:
    """Path and rendered entry of each line; "gone" for what the base has and the image has not."""
    rows = (line.split(None, 1) for line in text.splitlines() if line.strip())
    return {path: re.sub(r"^(\S+) +(\S+) +", r"\1 \2 ", rest.strip()) for path, rest in rows}


def _validate(case: Case) -> None:
    where = f"{case.topic}.txt:{case.line}: {case.name}"
    if case.dockerfile not in [file.path for file in case.files]:
        raise CaseError(f"{where}: there is no -- {case.dockerfile} --")
    if not case.about:
        raise CaseError(f"{where}: a case says in a sentence what it shows")
    if case.without_buildah and not case.is_written:
        raise CaseError(f"{where}: without buildah, the expectation has to be written down")
    if case.without_buildah and "section" not in case.options:
        raise CaseError(f"{where}: without buildah, name the @section of the reference")
