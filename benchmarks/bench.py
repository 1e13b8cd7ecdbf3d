"""Run this builder and others in turn, on throw-away machines at a registry on loopback, and print how they compare.

    scripts/bench                   # every scenario, five pairs of each, about 12 minutes
    scripts/bench --quick           # one pair of the short ones, about two minutes
    scripts/bench fresh last        # some of them
    scripts/bench --check           # and fail where a ratio to buildah is 25 % worse than in benchmarks/ratios.json

The others are buildah and, where they are on PATH, docker (with dockerd), buildctl (with buildkitd) and kaniko's executor;
each takes its time. A ratio is our wall time divided by that of the quickest of them, for builds that follow each other. It
needs root and what `scripts/test` installs, and nothing else should run meanwhile. Your tree, your caches, and your daemons
of Pants and others are left alone.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

from builders import Builder, Ours, Sample  # noqa: E402
from machines import Machine, copy_code  # noqa: E402
from peers import peers  # noqa: E402
from scenarios import SCENARIOS, Bases, Scenario, push_bases  # noqa: E402

from support.registry import RealRegistry, running_registry  # noqa: E402

RATIOS = HERE / "ratios.json"
PAIRS, TOLERANCE = 5, 1.25
MANY, MANY_QUICKLY = 100_000, 10_000
QUICK = ("warm", "fresh", "change", "last", "touch", "stages")


class Result(NamedTuple):
    """:param builders: their names; ours is the first, buildah the second.
    :param rounds: a sample of each, of builds that followed each other.
    """

    scenario: Scenario
    builders: Sequence[str]
    rounds: Sequence[Sequence[Sample]]

    @property
    def ratios(self) -> List[float]:
        """To the quickest of the others."""
        return [ours.seconds / min(peer.seconds for peer in peers) for ours, *peers in self.rounds]

    @property
    def to_buildah(self) -> float:
        return statistics.median(ours.seconds / peer.seconds for ours, peer, *_ in self.rounds)

    def head(self) -> List[str]:
        figures = ["ratio", "min to max", "goal", "processor", "downloaded", "largest process"]
        return ["scenario", *self.builders, *figures]

    def cells(self) -> List[str]:
        sides = list(zip(*self.rounds))
        seconds, cpu = (
            [statistics.median(getattr(sample, name) for sample in side) for side in sides]
            for name in ("seconds", "cpu")
        )
        moved, peak = (
            [max(getattr(sample, name) for sample in side) / 1e6 for side in sides]
            for name in ("downloaded", "peak")
        )
        return [
            self.scenario.title,
            *(f"{value:.2f} s" for value in seconds),
            f"**{statistics.median(self.ratios):.2f}**",
            f"{min(self.ratios):.2f} to {max(self.ratios):.2f}",
            f"{self.scenario.goal}",
            f"{_side_by_side(cpu, 1)} s",
            f"{_side_by_side(moved, 1)} MB",
            f"{_side_by_side(peak, 0)} MB",
        ]


def _side_by_side(values: Sequence[float], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)


def compare(scenarios: Sequence[Scenario], pairs: int, many: int, directory: Path) -> List[Result]:
    with running_registry(directory / "registry") as registry:
        bases, machines = _prepared(directory, registry, many)
        builders: List[Builder] = [Ours(machines, registry), *peers(directory, registry)]
        try:
            return [_compared(scenario, pairs, bases, builders) for scenario in scenarios]
        finally:
            for builder in builders:
                builder.stop()


def _prepared(
    directory: Path, registry: RealRegistry, many: int
) -> Tuple[Bases, Dict[str, Machine]]:
    code, names = copy_code(directory / "code"), "AB"

    def make(name: str) -> Machine:
        return Machine.make(directory / name, registry.address, code)

    with ThreadPoolExecutor() as at_once:
        bases = at_once.submit(push_bases, registry, many=many)
        machines = dict(zip(names, at_once.map(make, names)))
        return bases.result(), machines


def _compared(scenario: Scenario, pairs: int, bases: Bases, builders: Sequence[Builder]) -> Result:
    rounds = []
    for number in range(pairs):
        rounds.append([scenario.run(bases, builder, number) for builder in builders])
        times = ", ".join(f"{sample.seconds:.2f} s" for sample in rounds[-1])
        print(f"... {scenario.name} {number + 1}/{pairs}: {times}", file=sys.stderr, flush=True)
    return Result(scenario, [builder.name for builder in builders], rounds)


def table(results: Sequence[Result]) -> str:
    head = results[0].head()
    rows = [head, ["---"] * len(head), *(result.cells() for result in results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def regressions(results: Sequence[Result], known: Dict[str, float]) -> List[str]:
    """By the peer that every machine can have."""
    return [
        f"{result.scenario.name}: {result.to_buildah:.2f}, and it was {known[result.scenario.name]:.2f}"
        for result in results
        if result.to_buildah > known.get(result.scenario.name, math.inf) * TOLERANCE
    ]


def _remove(directory: Path) -> None:
    """In the background: it takes a minute or two, for half a million files."""
    print(f"... {directory} is being removed", file=sys.stderr)
    subprocess.Popen(["rm", "-rf", directory], stdin=subprocess.DEVNULL, start_new_session=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="one pair of the short scenarios")
    parser.add_argument("--pairs", type=int, help=f"how many of each (default: {PAIRS})")
    parser.add_argument("--check", action="store_true", help="fail on a regression of over 25 %%")
    parser.add_argument(
        "--update", action="store_true", help="write what is better to benchmarks/ratios.json"
    )
    options = parser.parse_args()
    wanted = options.scenario or (QUICK if options.quick else names)
    if options.quick and (options.check or options.update):
        parser.error("with --quick each is built once, which is slower than the medians of --check")
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"no scenario is called {unknown[0]}; there are {', '.join(names)}")
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        pairs = options.pairs or (1 if options.quick else PAIRS)
        many = MANY_QUICKLY if options.quick else MANY
        results = compare(scenarios, pairs, many, directory)
    finally:
        _remove(directory)
    print(table(results))
    known = json.loads(RATIOS.read_text()) if RATIOS.exists() else {}
    if options.update:
        new = {result.scenario.name: round(result.to_buildah, 3) for result in results}
        best = {name: min(ratio, known.get(name, math.inf)) for name, ratio in new.items()}
        RATIOS.write_text(json.dumps({**known, **best}, indent=1, sort_keys=True) + "\n")
    worse = regressions(results, known) if options.check else []
    for line in worse:
        print(f"worse than before: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
