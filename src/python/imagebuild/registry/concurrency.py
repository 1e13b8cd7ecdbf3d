"""Several requests to registries at once."""

from __future__ import annotations

from typing import Callable, Iterable, List, TypeVar

CONCURRENCY = 8
"""Requests in flight at once: enough to hide a registry's latency, few enough not to be throttled."""

T = TypeVar("T")
Result = TypeVar("Result")


def concurrently(work: Callable[[T], Result], items: Iterable[T]) -> List[Result]:
    """What `work` gives for each item, in their order, several at once. The first error ends it."""
    every = tuple(items)
    if len(every) < 2:
        return [work(item) for item in every]
    from concurrent.futures import ThreadPoolExecutor  # a small step's worth of modules

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return list(pool.map(work, every))
