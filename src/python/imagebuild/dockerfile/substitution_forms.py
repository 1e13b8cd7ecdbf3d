"""What may stand behind a variable's name in braces, with an example of each: docs/reference.md has this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

VARIABLES: Mapping[str, str] = {"FILE": "/srv/app.tar.gz", "EMPTY": ""}
"""Of the examples."""


@dataclass(frozen=True)
class Form:
    """:param operator: as it is written; :param result: what `example` becomes with VARIABLES."""

    operator: str
    help: str
    example: str
    result: str


FORMS = (
    Form(":-", "the word where the variable is unset or empty", "${EMPTY:-none}", "none"),
    Form("-", "the word where it is unset", "${EMPTY-none}", ""),
    Form(":+", "the word where it is neither unset nor empty", "${FILE:+yes}", "yes"),
    Form("+", "the word where it is set", "${EMPTY+yes}", "yes"),
    Form(
        ":?",
        "an error with the word where it is unset or empty",
        "${FILE:?say which}",
        "/srv/app.tar.gz",
    ),
    Form("?", "an error with the word where it is unset", "${EMPTY?say which}", ""),
    Form(
        "#",
        "without the shortest beginning that the pattern matches",
        "${FILE#*/}",
        "srv/app.tar.gz",
    ),
    Form("##", "without the longest beginning that it matches", "${FILE##*/}", "app.tar.gz"),
    Form("%", "without the shortest end that it matches", "${FILE%.*}", "/srv/app.tar"),
    Form("%%", "without the longest end that it matches", "${FILE%%.*}", "/srv/app"),
    Form(
        "/", "with the first match of the pattern replaced", "${FILE/a*p/tool}", "/srv/tool.tar.gz"
    ),
    Form("//", "with every match replaced", "${FILE//r/R}", "/sRv/app.taR.gz"),
)
