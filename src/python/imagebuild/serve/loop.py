"""One thread that waits for many things."""

from __future__ import annotations

import select
import time
from typing import Callable, Dict, Iterator, NoReturn, Optional, Tuple

Handler = Callable[[], None]


class Loop:
    """Calls what waits for a descriptor to be read, or for a time to come."""

    def __init__(self) -> None:
        self._events = select.poll()
        self._handlers: Dict[int, Handler] = {}
        self._times: Dict[object, Tuple[float, Handler]] = {}

    def watch(self, descriptor: int, handler: Handler, events: int = select.POLLIN) -> None:
        """Call `handler` whenever `descriptor` can be read, or its other end has gone."""
        self._events.register(descriptor, events)
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        self._events.unregister(descriptor)
        del self._handlers[descriptor]

    def watched(self) -> Iterator[int]:
        return iter(self._handlers)

    def after(self, seconds: float, owner: object, handler: Handler) -> None:
        """Call `handler` once. An `owner` waits for one time: the last that it has named."""
        self._times[owner] = time.monotonic() + seconds, handler

    def no_more(self, owner: object) -> None:
        """The owner waits for no time."""
        self._times.pop(owner, None)

    def run(self) -> NoReturn:
        while True:
            # One for each time that we ask: it may close another's descriptor, and open one of the same number.
            for descriptor, _ in self._events.poll(self._patience())[:1]:
                self._handlers[descriptor]()
            now = time.monotonic()
            for owner, (due, handler) in list(self._times.items()):
                if due <= now:
                    del self._times[owner]
                    handler()

    def _patience(self) -> Optional[float]:
        """Milliseconds until the first time; None where there is none."""
        if not self._times:
            return None
        first = min(due for due, _ in self._times.values())
        return max(0.0, first - time.monotonic()) * 1000
