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
_openssl: Any = None
_hashed = 0


def sha256(data: bytes = b"") -> Any:
    return _Small(data) if _openssl is None else _openssl(data)


class _Small:
    """A hash by the interpreter's own code, until much has been hashed, by this one or by all of them."""

    def __init__(self, data: bytes) -> None:
        self._pieces: List[bytes] = []
        self._fast: Any = None
        self.update(data)

    def update(self, data: bytes) -> None:
        if self._fast is not None:
            self._fast.update(data)
            return
        self._pieces.append(bytes(data))
        if _is_much(len(data)):
            self._fast = _openssl(b"".join(self._pieces))
            self._pieces = []

    def hexdigest(self) -> str:
        return str((self._fast or _own(b"".join(self._pieces))).hexdigest())


def _is_much(size: int) -> bool:
    global _hashed, _openssl
    _hashed += size
    if _hashed > SMALL and _openssl is None:
        from hashlib import sha256

        _openssl = sha256
    return _openssl is not None


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    import hashlib

    return getattr(hashlib, name)
