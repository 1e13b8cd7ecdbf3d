"""The standard library's `hashlib`, as far as the core uses it; the core's modules get it in the executor's bundle.

OpenSSL hashes eight times as fast as the interpreter's own code, and takes as long to load as that takes for half a megabyte.
"""

from __future__ import annotations

try:
    from _sha256 import sha256 as _own  # type: ignore[import-not-found]
except ImportError:  # Python 3.12 and later
    from hashlib import sha256 as _own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

SMALL = 1 << 18


class _So:
    """What this process has hashed by the interpreter's own code, in bytes, and what it uses since that was much."""

    far = 0
    openssl: Any = None


def sha256(data: bytes = b"") -> Any:
    return _So.openssl(data) if _So.openssl else _Small(data)


class _Small:
    """A hash by the interpreter's own code, if it does not turn out to be of much."""

    def __init__(self, data: bytes) -> None:
        self._pieces: List[bytes] = []
        self._fast: Any = None
        self.update(data)

    def update(self, data: bytes) -> None:
        if self._fast is not None:
            self._fast.update(data)
            return
        self._pieces.append(bytes(data))
        _So.far += len(data)
        if _So.far > SMALL:
            self._fast = _load()(b"".join(self._pieces))
            self._pieces = []

    def hexdigest(self) -> str:
        return str((self._fast or _own(b"".join(self._pieces))).hexdigest())


def _load() -> Any:
    from hashlib import sha256

    _So.openssl = sha256
    return sha256


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    import hashlib

    return getattr(hashlib, name)
