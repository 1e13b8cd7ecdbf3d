"""Measure what this builder costs, on throw-away machines at a registry on loopback, and print it as a table.

    sudo python3 benchmarks/figures.py                   # everything, about a quarter of an hour
    sudo python3 benchmarks/figures.py fresh steps       # some of it
    sudo python3 benchmarks/figures.py --json out.json   # all samples as well

It needs what `scripts/test` installs. Nothing else should run meanwhile. Your tree, your caches and your Pants daemon are
left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

import builds  # noqa: E402
import executor  # noqa: E402
import layers  # noqa: E402
import memory  # noqa: E402
import planning  # noqa: E402
from machines import Machine, copy_code  # noqa: E402
from tables import Row, markdown  # noqa: E402

from support.registry import RealRegistry, running_registry  # noqa: E402


class Bench:
    """The registry, and machines that are made when they are first asked for."""

    def __init__(self, directory: Path, registry: RealRegistry) -> None:
        self.directory, self.registry = directory, registry
        self.bases = builds.push_base(registry)
        self.code = copy_code(directory / "code")
        self.machines: Dict[str, Machine] = {}

    def machine(self, name: str, *, resident: bool = True) -> Machine:
        if name not in self.machines:
            _say(f"machine {name} starts")
            root = self.directory / name
            made = Machine.make(root, self.registry.address, self.code, resident=resident)
            self.machines[name] = made
        return self.machines[name]

    def bare(self, name: str) -> Machine:
        return Machine.bare(self.directory / name, self.registry.address, self.code)

    def stop(self) -> None:
        for machine in self.machines.values():
            machine.stop()


FIGURES: Dict[str, Callable[[Bench], List[Row]]] = {
    "same": lambda b: builds.nothing_changed(b.machine("A"), b.bases),
    "growth": lambda b: builds.growth(b.machine("A"), b.bases[1]),
    "fresh": lambda b: builds.all_in_registry(
        b.machine("A"), b.machine("B"), b.bases[0], b.registry
    ),
    "runner": lambda b: builds.fresh_runner(b.machine("A"), b.bare, b.bases[0]),
    "last": lambda b: builds.last_file_changed(
        b.machine("A"), b.machine("B"), b.bases[0], b.registry
    ),
    "many": lambda b: builds.small_step_over_many_files(b.machine("A"), b.registry),
    "steps": lambda b: builds.twenty_steps(b.machine("A"), b.bases[1]),
    "parts": lambda b: executor.parts_of_a_step(b.machine("C", resident=False), b.bases[1]),
    "planning": lambda b: planning.parts(b.machine("A"), b.code),
    "layers": lambda b: layers.limits(b.machine("A")),
    "memory": lambda b: memory.peaks(
        b.machine("C", resident=False), b.machine("D", resident=False), b.bases[1]
    ),
}


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def measure(names: List[str], directory: Path) -> List[Row]:
    rows: List[Row] = []
    with running_registry(directory / "registry") as registry:
        bench = Bench(directory, registry)
        try:
            for name in names:
                _say(name)
                found = FIGURES[name](bench)
                print(markdown(found), file=sys.stderr, flush=True)
                rows.extend(found)
        finally:
            bench.stop()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    options = parser.parse_args()
    unknown = set(options.figures) - set(FIGURES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    if os.geteuid():
        parser.error("the steps of a Dockerfile run as root: run this as root")
    directory = Path(tempfile.mkdtemp(prefix="figures-")).resolve()
    try:
        rows = measure(options.figures or list(FIGURES), directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, {platform.machine()}\n")
    print(markdown(rows))
    if options.json:
        Path(options.json).write_text(json.dumps([row._asdict() for row in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
