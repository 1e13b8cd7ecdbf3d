"""Splitting an instruction's text: words with their quotes, JSON lists, durations (BuildKit's parser/line_parsers.go)."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import List, Optional, Pattern, Sequence, Tuple, Union

from imagebuild.errors import DockerfileSyntaxError

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MEANT_AS_JSON = re.compile(r"""\[["']""")


@lru_cache(maxsize=2)
def _word(escape: str) -> Pattern[str]:
    """A word keeps its quotes and escapes: the substitution takes them away."""
    mark = re.escape(escape)
    return re.compile(
        rf"""(?:{mark}[\s\S]|'[^']*'?|"(?:{mark}[\s\S]|[^"{mark}])*(?:"|{mark}?$)|[^\s'"{mark}])+""",
        re.DOTALL,
    )


def split_words(text: str, escape: str) -> Tuple[str, ...]:
    """Words of `text`, parted by white space that is neither quoted nor escaped."""
    return tuple(_word(escape).findall(text))


def split_blanks(text: str) -> Tuple[str, ...]:
    """Parts of `text` between runs of blanks, quoted or not."""
    return tuple(part for part in _BLANKS.split(text) if part)


def halves(text: str) -> Tuple[str, Optional[str]]:
    """`text` up to its first blank, and what follows it; None where there is no blank."""
    parts = _BLANKS.split(text, 1)
    return parts[0], parts[1] if len(parts) == 2 else None


def json_list(text: str) -> Optional[Tuple[str, ...]]:
    """The strings of a JSON list, or None where `text` is none and means something else.

    :raises DockerfileSyntaxError: for a JSON list of other things than strings, or one that was clearly meant to be one.
    """
    if not text.startswith("["):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _MEANT_AS_JSON.match(text):
            raise _not_json(text, error) from None
        return None
    if not all(isinstance(item, str) for item in items):
        raise DockerfileSyntaxError(
            f"the list {_short(text)} holds something else than strings",
            expected='a JSON list of strings, for example ["a", "b"]',
            hint="put every item in double quotes",
        )
    if any("\0" in item for item in items):
        raise DockerfileSyntaxError(f"the list {_short(text)} holds a NUL character")
    return tuple(_SURROGATE.sub("\ufffd", item) for item in items)


def _not_json(text: str, error: Union[ValueError, RecursionError]) -> DockerfileSyntaxError:
    why = "too large or too deeply nested"
    if isinstance(error, json.JSONDecodeError):
        why = f"{error.msg} at character {error.pos + 1}"
    return DockerfileSyntaxError(
        f"{_short(text)} is not a JSON list ({why})",
        expected='a JSON list of strings, for example ["a", "b"]: double quotes, commas between, none at the end',
        hint="correct the list, or drop the brackets to have the shell read it",
    )


def is_almost_json(text: str) -> bool:
    """Whether text that is no JSON list looks like one all the same: the shell will read it, which is rarely meant."""
    return text.startswith("[") and text.endswith("]") and '"' in text and "," in text


def to_json(items: Sequence[str]) -> str:
    return json.dumps(list(items), ensure_ascii=False)


def go_quoted(items: Sequence[str]) -> str:
    """As Go prints a list of strings with %q; for the history only."""
    return "[" + " ".join(json.dumps(item, ensure_ascii=False) for item in items) + "]"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
}
_UNITS["h"] = 60 * _UNITS["m"]
_TERM = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MAX_DURATION = 2**63 - 1


def parse_duration(text: str) -> Optional[int]:
    """Nanoseconds of a duration as Go writes it ("1m30s", "1.5h", "0"); None where it is none."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text[text.startswith("+") :])
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        match = _TERM.match(rest, at)
        if match is None or not (match[1] or match[2]) or len(match[1]) > 20:
            return None
        unit = _UNITS[match[3]]
        fraction = (match[2] or "")[:18]
        total += int(match[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        at = match.end()
    return sign * total if rest and total <= _MAX_DURATION else None


def format_duration(nanoseconds: int) -> str:
    """As Go's time.Duration prints itself: "1m30s", "1.5s", "20ms"."""
    if nanoseconds < _UNITS["s"]:
        for unit in ("ms", "us"):
            if nanoseconds >= _UNITS[unit]:
                return _decimal(nanoseconds, _UNITS[unit]) + unit.replace("us", "µs")
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    parts: List[str] = []
    if minutes >= 60:
        parts.append(f"{minutes // 60}h")
    if minutes:
        parts.append(f"{minutes % 60}m")
    return "".join(parts) + _decimal(rest, _UNITS["s"]) + "s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
