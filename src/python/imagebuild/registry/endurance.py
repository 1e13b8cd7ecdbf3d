"""How long a body is waited for: resumed while it makes progress, given up when it only drips."""

from __future__ import annotations

from typing import Callable

from imagebuild.registry.exchange import Request, WireError
from imagebuild.registry.failures import unreachable
from imagebuild.registry.transport import Transport

# Progress that makes up for earlier failures: a long download may break off more than five times.
_FORGIVEN_BYTES = 4 << 20
_SLOW_BYTES_PER_SECOND = 1024
_WINDOW_SECONDS = 60.0


def persist(
    transport: Transport,
    request: Callable[[], Request],
    once: Callable[[], None],
    offset: Callable[[], int],
) -> None:
    """Call `once` until it gets through.

    :param request: what `once` is about to send; it says how often to try.
    :param offset: bytes that have come so far.
    :raises UnreachableError: when the answers break off again and again.
    """
    failures, forgiven_at = 0, offset() + _FORGIVEN_BYTES
    while True:
        try:
            once()
            return
        except WireError as error:
            if offset() >= forgiven_at:
                failures, forgiven_at = 0, offset() + _FORGIVEN_BYTES
            failures += 1
            if failures >= request().attempts:
                raise unreachable(
                    request(), error.kind, f"{error.detail} again and again"
                ) from None
            why = f"{error.detail} after {offset()} bytes"
            transport.pause(request().purpose, why, failures - 1)


class Pace:
    """Counts the bytes of one answer.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._start, self._bytes = clock, clock(), 0

    def count(self, size: int) -> None:
        """:raises WireError: when the last minute brought next to nothing."""
        self._bytes += size
        now = self._clock()
        if now - self._start > _WINDOW_SECONDS:
            if self._bytes < _SLOW_BYTES_PER_SECOND * (now - self._start):
                raise WireError("timeout", "the answer comes too slowly", temporary=True)
            self._start, self._bytes = now, 0
