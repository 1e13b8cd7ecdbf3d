"""Keep secrets out of a stream of bytes, whatever the blocks are that it comes in."""

from __future__ import annotations

import re
from typing import Iterable, List, Set

MASK = b"***"
#: Shorter texts are in every log by chance, and would tell more by being masked than by being shown.
SHORTEST = 4
_SHORTEST_LINE = 8


def maskable(secrets: Iterable[bytes]) -> Set[bytes]:
    """What of `secrets` is looked for: each as a whole, without white space around it, and each of its longer lines."""
    found: Set[bytes] = set()
    for secret in secrets:
        whole, *more = secret.strip(), *secret.split(b"\n")
        found.update([whole] if len(whole) >= SHORTEST else [])
        found.update(line for line in map(bytes.strip, more) if len(line) >= _SHORTEST_LINE)
    return found


class Masker:
    """One stream. It holds back as many bytes as the longest secret has, for that may have begun in them."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        texts = sorted(maskable(secrets), key=len, reverse=True)  # the longest of those that fit
        self._pattern = re.compile(b"|".join(map(re.escape, texts))) if texts else None
        self._held_back = len(texts[0]) - 1 if texts else 0
        self._rest = b""

    def feed(self, block: bytes) -> bytes:
        """What can be shown by now, `block` included."""
        if self._pattern is None:
            return block
        return self._show(self._rest + block, self._held_back)

    def finish(self) -> bytes:
        """What is left at the end."""
        return self._show(self._rest, 0) if self._rest else b""

    def _show(self, data: bytes, held_back: int) -> bytes:
        assert self._pattern is not None
        certain, done = len(data) - held_back, 0
        out: List[bytes] = []
        for match in self._pattern.finditer(data):
            if match.start() >= certain:
                break
            out += [data[done : match.start()], MASK]
            done = match.end()
        shown = max(done, certain)
        out.append(data[done:shown])
        self._rest = data[shown:]
        return b"".join(out)
