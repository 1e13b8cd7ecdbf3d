r"""What .dockerignore leaves of a context (Dockerfile reference, ".dockerignore file"; moby/patternmatcher).

A pattern is anchored at the context's root and matches like Go's filepath.Match, where "**" also matches any number of
directories. A match covers what is under it. The last pattern that matches decides; "!" takes back in. The Dockerfile and
.dockerignore themselves are no exception: BuildKit reads both aside from the context.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Collection, Dict, List, Optional, Pattern, Sequence, Tuple

from imagebuild.dockerfile.patterns import parse_pattern
from imagebuild.dockerfile.source import SourceFile, raise_all
from imagebuild.errors import DockerfileSyntaxError, ImageBuildError
from imagebuild.llb.plan import ContextEntry

_NAME = ".dockerignore"
_BOM = "\ufeff"
_WILD = re.compile(r"[*?\[\]\\]")


def ignore_file_for(dockerfile_path: str, paths: Collection[str]) -> Optional[str]:
    """The ignore file for a Dockerfile: ``NAME.dockerignore`` beside it, else the one at the context's root.

    :param paths: what there is, relative to the context's root as `dockerfile_path` is.
    """
    candidates = (dockerfile_path + _NAME, _NAME)
    return next((path for path in candidates if path in paths), None)


@dataclass(frozen=True)
class IgnorePattern:
    """:param exception: written with "!": what matches is kept."""

    regex: Pattern[str]
    exception: bool

    def matches(self, path: str) -> bool:
        return self.regex.fullmatch(path) is not None


def parse_ignore_file(text: str, name: str) -> Tuple[IgnorePattern, ...]:
    """:raises DockerfileSyntaxError: for malformed patterns (ManyErrors for several), with their lines."""
    source = SourceFile(name, tuple(text.lstrip(_BOM).split("\n")))
    patterns: List[IgnorePattern] = []
    errors: List[ImageBuildError] = []
    for number, line in enumerate(source.lines, 1):
        try:
            pattern = _parse_line(line)
        except DockerfileSyntaxError as error:
            errors.append(source.locate(error, source.range(number, number)))
            continue
        patterns.extend((pattern,) if pattern else ())
    raise_all(errors)
    return tuple(patterns)


def _parse_line(line: str) -> Optional[IgnorePattern]:
    return None if line.startswith("#") or not line.strip() else parse_pattern_text(line)


def parse_pattern_text(text: str) -> IgnorePattern:
    """One pattern, as ``--exclude`` has it too.

    :raises DockerfileSyntaxError: for a malformed one.
    """
    pattern = text.strip()
    exception = pattern.startswith("!")
    pattern = pattern[exception:].strip()
    if not pattern:
        raise DockerfileSyntaxError(
            '"!" takes nothing back in',
            expected='a pattern behind "!"',
            hint="complete the line or remove it",
        )
    pattern = _clean(pattern)
    parse_pattern(pattern)
    return IgnorePattern(_to_regex(pattern), exception)


def _clean(pattern: str) -> str:
    pattern = posixpath.normpath(pattern)
    return pattern.lstrip("/") or "/"


def _to_regex(pattern: str) -> Pattern[str]:
    """As moby/patternmatcher translates: "**/" is any directories or none, "**" at the end anything."""
    if pattern.startswith("**") and not _WILD.search(pattern, 2):
        tail = re.escape(pattern[2:])  # "**x" is any name that ends in x
        return re.compile(f".*{tail}" + (f"|{tail[1:]}" if tail.startswith("/") else ""), re.DOTALL)
    parts: List[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 3 if pattern.startswith("**/", at) else 2
            parts.append("(?:.*/)?" if at < len(pattern) else ".*")
            continue
        if char == "[":
            end = _class_end(pattern, at)
            parts.append(_class_regex(pattern[at:end]))
            at = end
            continue
        if char == "\\":
            at += 1
            char = pattern[at]
            parts.append(re.escape(char))
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char))
        at += 1
    return re.compile("".join(parts), re.DOTALL)


def _class_end(pattern: str, at: int) -> int:
    at += 1
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _class_regex(text: str) -> str:
    """A class that `parse_pattern` has accepted; "[" and the like mean nothing else inside of it."""
    negated = "^" if text.startswith("[^") else ""
    inner = text[1 + len(negated) : -1]
    members = re.sub(r"\\([\s\S])|([\[&~|])", lambda found: "\\" + (found[1] or found[2]), inner)
    try:
        regex = f"[{negated}{members}]"
        re.compile(regex)
    except re.error:  # an empty range such as [z-a] matches nothing
        return r"(?!)" if not negated else r"[\s\S]"
    return regex


def select_context(
    entries: Sequence[ContextEntry], ignore_text: str, file: str
) -> Tuple[ContextEntry, ...]:
    """The `entries` that an ignore file leaves, in their order.

    :param ignore_text: the ignore file's text; :param file: its name, for errors.
    :raises DockerfileSyntaxError: for malformed patterns, with their lines.
    """
    patterns = parse_ignore_file(ignore_text, file)
    if not patterns:
        return tuple(entries)
    ignored = Ignored(patterns)
    return tuple(entry for entry in entries if not ignored.is_ignored(entry.path))


class Ignored:
    """What patterns leave out, paths asked in any order.

    Decisions for paths, with those for their directories kept: what covers a directory covers what is in it.
    """

    def __init__(self, patterns: Tuple[IgnorePattern, ...]) -> None:
        self._patterns = patterns
        self._nothing = (False,) * len(patterns)
        self._directories: Dict[str, Tuple[bool, ...]] = {"": self._nothing}

    def is_ignored(self, path: str) -> bool:
        """:param path: relative to where the patterns are anchored."""
        above = self._directory(path.rpartition("/")[0])
        return self._decide(path, above)[0]

    def _directory(self, path: str) -> Tuple[bool, ...]:
        missing: List[str] = []
        while path not in self._directories:
            missing.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(missing):
            above = self._directories[path.rpartition("/")[0]]
            self._directories[path] = self._decide(path, above)[1]
        return self._directories[missing[0] if missing else path]

    def _decide(self, path: str, above: Tuple[bool, ...]) -> Tuple[bool, Tuple[bool, ...]]:
        """Whether `path` is ignored, and which patterns cover it. A pattern that would change nothing is not tried."""
        ignored = False
        covers = list(above)
        for number, pattern in enumerate(self._patterns):
            if not covers[number] and pattern.exception == ignored:
                covers[number] = pattern.matches(path)
            if covers[number]:
                ignored = not pattern.exception
        return ignored, tuple(covers)
