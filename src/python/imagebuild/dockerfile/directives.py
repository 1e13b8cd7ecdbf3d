"""Parser directives: ``# name=value`` lines before anything else (Dockerfile reference, "Parser directives")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Tuple

from imagebuild.dockerfile.source import SourceFile, printable
from imagebuild.errors import DockerfileSyntaxError, ImageBuildError

_DIRECTIVE = re.compile(r"\s*#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*?)\s*\Z")
_KNOWN = ("escape", "syntax", "check")
_OWN_SYNTAX = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@]|\Z)")
DEFAULT_ESCAPE = "\\"


@dataclass(frozen=True)
class Directives:
    """:param escape: the escape and continuation character, backslash or backtick.
    :param check: what `imagebuild.check` is told, "" for nothing; :param check_line: where, counted from 1.
    """

    escape: str
    check: str = ""
    check_line: int = 0
    warnings: Tuple[str, ...] = ()


def read_directives(source: SourceFile, errors: List[ImageBuildError]) -> Directives:
    """The directives at the top of a file; the first other line ends them."""
    seen: Dict[str, str] = {}
    check_line = 0
    warnings: List[str] = []
    for number, line in enumerate(source.lines, 1):
        match = _DIRECTIVE.match(line)
        if match is None or match[1].lower() not in _KNOWN:
            break
        name, value = match[1].lower(), match[2]
        place = source.range(number, number)
        if name in seen:
            error = DockerfileSyntaxError(
                f'the parser directive "{name}" is given twice', hint="keep one of them"
            )
            errors.append(source.locate(error, place))
        elif name == "escape" and value not in (DEFAULT_ESCAPE, "`"):
            error = DockerfileSyntaxError(
                f'"{value}" is not an escape character',
                expected="\\ or `",
                hint="write `# escape=\\` or ``# escape=` ``, or remove the line",
            )
            errors.append(source.locate(error, place))
        elif name == "check":
            check_line = number
        elif name == "syntax" and not _OWN_SYNTAX.match(value):
            warnings.append(
                f"{place}: the syntax {printable(value[:100])} is not used: the file is read as docker/dockerfile:1"
            )
        seen.setdefault(name, value)
    escape = seen.get("escape", DEFAULT_ESCAPE)
    return Directives(
        "`" if escape == "`" else DEFAULT_ESCAPE, seen.get("check", ""), check_line, tuple(warnings)
    )
