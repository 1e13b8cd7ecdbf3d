"""The most memory that each subcommand of the executor had while a layer of 500 MB went through it."""

from __future__ import annotations

from typing import Dict, List

from machines import Call, Machine
from tables import Row

HALF = 250_000_000
FIELDS = 'formats=["oci-layout"], image_tags=["1"]'


def peaks(first: Machine, fresh: Machine, base: str) -> List[Row]:
    """Write, push and export on one machine; pull, extract and export on the other."""
    write = f"RUN head -c {HALF} /dev/urandom > /big; head -c {HALF} /dev/zero >> /big\n"
    first.image("big", f"FROM {base}\n{write}", {}, FIELDS)
    with first.traced() as calls:
        first.package("big")
        first.pants("publish", "big:image")
    fresh.image("big", f"FROM {base}\n{write}RUN stat /big > /size\n", {}, FIELDS)
    with fresh.traced() as more:
        fresh.package("big")
    return [
        Row(f"memory of `{name}`", [peak / 1e6], "MB", "150 MB")
        for name, peak in sorted(_highest([*calls, *more]).items())
    ]


def _highest(calls: List[Call]) -> Dict[str, int]:
    found: Dict[str, int] = {}
    for call in calls:
        found[call.subcommand] = max(call.peak, found.get(call.subcommand, 0))
    return found
