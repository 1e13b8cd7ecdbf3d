"""Run this builder and buildah in turn, on throw-away machines at a registry on loopback, and print how they compare.

    scripts/bench                   # every scenario, five pairs of each, about 12 minutes
    scripts/bench --quick           # one pair of the short ones, about two minutes
    scripts/bench fresh last        # some of them
    scripts/bench --check           # and fail where a ratio is 25 % worse than in benchmarks/ratios.json

A ratio is our wall time divided by buildah's, for builds that follow each other. It needs root and what `scripts/test`
installs, and nothing else should run meanwhile. Your tree, your caches and your Pants daemon are left alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

from builders import Buildah, Builder, Ours, Sample  # noqa: E402
from machines import Machine, copy_code  # noqa: E402
from scenarios import SCENARIOS, Bases, Scenario, push_bases  # noqa: E402

from support.registry import RealRegistry, running_registry  # noqa: E402

RATIOS = HERE / "ratios.json"
PAIRS, TOLERANCE = 5, 1.25
MANY, MANY_QUICKLY = 100_000, 10_000
QUICK = ("warm", "fresh", "change", "last", "touch", "stages")

HEAD = ["scenario", "ours", "buildah", "ratio", "min to max", "goal", "processor", "downloaded"]
HEAD += ["largest process"]


class Result(NamedTuple):
    """:param pairs: our sample and buildah's, of builds that followed each other."""

    scenario: Scenario
    pairs: Sequence[tuple[Sample, Sample]]

    @property
    def ratios(self) -> List[float]:
        return [ours.seconds / peer.seconds for ours, peer in self.pairs]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def cells(self) -> List[str]:
        sides = [[pair[side] for pair in self.pairs] for side in (0, 1)]
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
            f"{seconds[0]:.2f} s",
            f"{seconds[1]:.2f} s",
            f"**{self.ratio:.2f}**",
            f"{min(self.ratios):.2f} to {max(self.ratios):.2f}",
            f"{self.scenario.goal}",
            f"{cpu[0]:.1f} / {cpu[1]:.1f} s",
            f"{moved[0]:.1f} / {moved[1]:.1f} MB",
            f"{peak[0]:.0f} / {peak[1]:.0f} MB",
        ]


def compare(scenarios: Sequence[Scenario], pairs: int, many: int, directory: Path) -> List[Result]:
    with running_registry(directory / "registry") as registry:
        bases, machines = _prepared(directory, registry, many)
        try:
            builders: List[Builder] = [Ours(machines, registry)]
            builders.append(Buildah(directory / "buildah", registry))
            return [_compared(scenario, pairs, bases, builders) for scenario in scenarios]
        finally:
            for machine in machines.values():
                machine.stop()


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
    found = []
    for number in range(pairs):
        ours, peer = (scenario.run(bases, builder, number) for builder in builders)
        found.append((ours, peer))
        print(
            f"... {scenario.name} {number + 1}/{pairs}: {ours.seconds:.2f} s, {peer.seconds:.2f} s",
            file=sys.stderr,
            flush=True,
        )
    return Result(scenario, found)


def table(results: Sequence[Result]) -> str:
    rows = [HEAD, ["---"] * len(HEAD), *(result.cells() for result in results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def regressions(results: Sequence[Result], known: Dict[str, float]) -> List[str]:
    return [
        f"{result.scenario.name}: {result.ratio:.2f}, and it was {known[result.scenario.name]:.2f}"
        for result in results
        if result.scenario.name in known and result.ratio > known[result.scenario.name] * TOLERANCE
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
    parser.add_argument("--update", action="store_true", help="write benchmarks/ratios.json anew")
    options = parser.parse_args()
    wanted = options.scenario or (QUICK if options.quick else names)
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
        new = {result.scenario.name: round(result.ratio, 3) for result in results}
        RATIOS.write_text(json.dumps({**known, **new}, indent=1, sort_keys=True) + "\n")
    worse = regressions(results, known) if options.check else []
    for line in worse:
        print(f"worse than before: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
