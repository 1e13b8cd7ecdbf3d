"""The standard library's `json`, on its C parts alone; the core's modules get it in the executor's bundle.

The original compiles five regular expressions when it is loaded, most of them for the case that there is no C. Whatever is
not plain here is left to it: options, and above all texts that are no JSON, about which it knows what to say.
"""

from __future__ import annotations

from _json import (
    encode_basestring,
    encode_basestring_ascii,
    make_encoder,
    make_scanner,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHITE = " \t\n\r"


class _Plain:
    """What the scanner asks of a decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.get


_scan = make_scanner(_Plain)  # type: ignore[arg-type]


def loads(text: Any, **options: Any) -> Any:
    if not options:
        try:
            plain = (text if isinstance(text, str) else text.decode()).strip(_WHITE)
            value, end = _scan(plain, 0)
            if end == len(plain):
                return value
        except (ValueError, StopIteration, AttributeError):
            pass
    import json

    return json.loads(text, **options)


class JSONEncoder:
    def __init__(
        self,
        *,
        sort_keys: bool = False,
        separators: Any = (", ", ": "),
        ensure_ascii: bool = True,
        allow_nan: bool = True,
        check_circular: bool = True,
    ) -> None:
        item, key = separators
        text = encode_basestring_ascii if ensure_ascii else encode_basestring
        markers: Any = {} if check_circular else None
        self._chunks = make_encoder(
            markers, _refuse, text, None, key, item, sort_keys, False, allow_nan
        )

    def encode(self, value: Any) -> str:
        return "".join(self._chunks(value, 0))


def dumps(value: Any, **options: Any) -> str:
    return JSONEncoder(**options).encode(value)


def _refuse(value: Any) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    import json

    return getattr(json, name)
