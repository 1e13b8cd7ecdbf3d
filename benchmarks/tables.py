"""What a benchmark finds, and how it is shown."""

from __future__ import annotations

import statistics
from typing import Callable, List, NamedTuple, Sequence

SAMPLES = 5


class Row(NamedTuple):
    """One figure: a median with its extremes over all samples, or a plain value where there is one sample.

    :param goal: what it should be, for people.
    """

    figure: str
    samples: Sequence[float]
    unit: str
    goal: str = ""
    note: str = ""

    def cells(self) -> List[str]:
        middle = statistics.median(self.samples)
        low, high = min(self.samples), max(self.samples)
        spread = f"{_short(low)} to {_short(high)}" if len(self.samples) > 1 else ""
        return [self.figure, f"{_short(middle)} {self.unit}".strip(), spread, self.goal, self.note]


HEAD = ["figure", "median", "min to max", "goal", "note"]


def markdown(rows: Sequence[Row]) -> str:
    """A table, as the README has it."""
    table = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def repeated(measure: Callable[[int], float], times: int = SAMPLES) -> List[float]:
    """`measure` called with 0, 1, 2, ..."""
    return [measure(number) for number in range(times)]


def _short(value: float) -> str:
    if value == int(value):
        return str(int(value))
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
