"""Figures of whole builds: nothing changed, everything cached in the registry, one file changed, and small steps."""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import Callable, Dict, List, Sequence, Set, Tuple

from machines import NO_CACHE_REPO, Machine, Run
from tables import Row, repeated

from support.base_image import busybox, busybox_layer, image_of, push
from support.registry import Access, RealRegistry

STEPS = 20
MANY_FILES = 100_000

# Ten steps, of which the first decides whether any of them was ever built before.
TEN_STEPS = """\
FROM {base}
WORKDIR /app
COPY variant.txt ./
RUN mkdir -p data && cp variant.txt data/
RUN seq 1000 > data/numbers
ENV MODE=fast
RUN sort -r data/numbers > data/sorted
COPY lib/ lib/
RUN ls lib > data/names
RUN wc -l data/numbers > data/lines
RUN chmod -R a+rX data
COPY main.txt ./
USER app
CMD ["cat", "main.txt"]
"""
_SECONDS = re.compile(r"RUN .* - ([0-9.]+) ?s$", re.MULTILINE)


def sources(variant: str, main: str = "main") -> dict[str, str]:
    return {
        "variant.txt": f"{variant}\n",
        "main.txt": f"{main}\n",
        **{f"lib/{number}.txt": f"{number}\n" * 50 for number in range(20)},
    }


def push_base(registry: RealRegistry) -> Tuple[str, str]:
    """A small base image, by its tag and by its digest."""
    tag = f"{registry.address}/base/small:1"
    digest = push(image_of([busybox_layer(busybox())]), tag)
    return tag, f"{tag}@{digest}"


def nothing_changed(machine: Machine, bases: Tuple[str, str]) -> List[Row]:
    rows = []
    for kind, base in zip(("tag", "digest"), bases):
        name = f"same_{kind}"
        machine.image(name, TEN_STEPS.format(base=base), sources(name))
        for _ in range(3):  # build; look up once more, for it missed the first time; settle
            machine.package(name)
        seconds = repeated(lambda _, name=name: machine.package(name).seconds, 11)  # type: ignore[misc]
        rows.append(Row(f"nothing changed, ten steps, base by {kind}", seconds, "s", "0.3 s"))
    empty = repeated(lambda _: machine.pants("--version").seconds, 11)
    return [*rows, Row("for comparison: `./pants --version`", empty, "s")]


def growth(machine: Machine, base: str) -> List[Row]:
    """Two images of which nothing changed, built in turn."""
    names = {f"grown_{count}": count for count in (5, 80)}
    for name, count in names.items():
        steps = "".join(f"RUN echo {number} > /file\n" for number in range(count - 1))
        machine.image(name, f"FROM {base}\n{steps}", {})
        for _ in range(3):
            machine.package(name)
    seconds: Dict[str, List[float]] = {name: [] for name in names}
    for _ in range(21):
        for name, samples in seconds.items():
            samples.append(machine.package(name).seconds)
    few, many = (sorted(samples)[len(samples) // 2] for samples in seconds.values())
    return [
        *(
            Row(f"nothing changed, {count} instructions", seconds[name], "s")
            for name, count in names.items()
        ),
        Row("  between the two", [many - few], "s", "0.01 s"),
    ]


def all_in_registry(first: Machine, fresh: Machine, base: str, registry: RealRegistry) -> List[Row]:
    """`first` builds and pushes to the cache, `fresh` has nothing."""
    accesses: List[Sequence[Access]] = []

    def build(number: int) -> float:
        files = sources(f"fresh {number}")
        for machine in (first, fresh):
            machine.image("fresh", TEN_STEPS.format(base=base), files)
        first.package("fresh")
        fresh.forget()
        before = len(registry.accesses())
        run = fresh.package("fresh")
        assert "10 steps: 10 cached (registry)" in run.output, run.output
        accesses.append(registry.accesses(before))
        return run.seconds

    seconds = repeated(build)
    layers = _layers(fresh, "fresh")
    return [
        Row("fresh machine, ten steps in the registry", seconds, "s", "", "daemon runs"),
        Row("  requests to the registry", [len(asked) for asked in accesses], ""),
        Row("  layers downloaded", [_downloads(asked, layers) for asked in accesses], "", "0"),
    ]


_LOGGED = re.compile(r"^(\d+):(\d+):(\d+\.\d+) \[INFO\] (.*)$", re.MULTILINE)


def fresh_runner(first: Machine, make: Callable[[str], Machine], base: str) -> List[Row]:
    """A runner of CI: Pants is installed, and nothing has ever run. All steps are in the registry.

    :param make: a new machine of that kind, by its name.
    """
    totals: List[float] = []
    parts: Dict[str, List[float]] = {}
    for number in range(3):
        files = sources(f"runner {number}")
        runner = make(f"runner{number}")
        for machine in (first, runner):
            machine.image("runner", TEN_STEPS.format(base=base), files)
        first.package("runner")
        run = runner.package("runner")
        runner.stop()
        assert "10 steps: 10 cached (registry)" in run.output, run.output
        totals.append(run.seconds)
        for name, seconds in _parts(run).items():
            parts.setdefault(name, []).append(seconds)
    return [
        Row("fresh runner of CI, ten steps in the registry", totals, "s"),
        *(Row(f"  {name}", samples, "s") for name, samples in parts.items()),
    ]


def _parts(run: Run) -> Dict[str, float]:
    """Seconds from one line of the log to the next one that says that something is done; the last is written at the end."""
    marks = {
        "the daemon starts": "pantsd started",
        "plugins": "Completed: Resolving plugins",
        "Pants reads its rules": "Scheduler initialized",
        "the executor's libraries, from the package index": "Completed: Fetch the image executor",
        "the executor is laid out": "Completed: Prepare the image executor",
    }
    found = [
        (int(hours) * 3600 + int(minutes) * 60 + float(seconds), text)
        for hours, minutes, seconds, text in _LOGGED.findall(run.output)
    ]
    ends = {
        name: next((at for at, text in found if text.startswith(mark)), None)
        for name, mark in marks.items()
    }
    known = {name: at for name, at in ends.items() if at is not None}
    end = found[-1][0]
    parts, start = {}, end - run.seconds
    for name, at in {**known, "the build": end}.items():
        parts[name], start = at - start, at
    return parts


def last_file_changed(
    first: Machine, fresh: Machine, base: str, registry: RealRegistry
) -> List[Row]:
    accesses: List[Sequence[Access]] = []

    def build(number: int) -> float:
        for machine, main in ((first, "old"), (fresh, "new")):
            machine.image("last", TEN_STEPS.format(base=base), sources(f"last {number}", main))
        first.package("last")
        fresh.forget()
        before = len(registry.accesses())
        run = fresh.package("last")
        assert "9 cached (registry), 1 built" in run.output, run.output
        accesses.append(registry.accesses(before))
        return run.seconds

    seconds = repeated(build)
    layers = _layers(fresh, "last")
    return [
        Row("fresh machine, file of the last COPY changed", seconds, "s", "", "daemon runs"),
        Row("  layers downloaded", [_downloads(asked, layers) for asked in accesses], "", "0"),
    ]


def small_step_over_many_files(machine: Machine, registry: RealRegistry) -> List[Row]:
    base = f"{registry.address}/base/many:1"
    push(image_of([busybox_layer(busybox()), many_files(MANY_FILES)]), base)
    cold = _touch(machine, base, "cold")  # downloads and extracts
    runs = [_touch(machine, base, f"warm{number}") for number in range(7)]
    return [
        Row("`RUN touch` over 100,000 files: the step", [step for _, step in runs], "s", "0.5 s"),
        Row("  the whole build of it", [wall for wall, _ in runs], "s"),
        Row("  the first one, with download and extraction", [cold[0]], "s"),
    ]


def _touch(machine: Machine, base: str, name: str) -> Tuple[float, float]:
    machine.image("many", f"FROM {base}\nRUN touch /x.{name}\n", {})
    run = machine.package("many", "--kaniko-cache-read-only")
    (step,) = _SECONDS.findall(run.output)
    return run.seconds, float(step)


def twenty_steps(machine: Machine, base: str) -> List[Row]:
    """What each of many small steps adds to a build."""
    rows = []
    modes = (
        ("no cache repository", NO_CACHE_REPO),
        ("cache read only", ("--kaniko-cache-read-only",)),
        ("cache read and written", ()),
    )
    for mode, options in modes:
        for _ in range(2):
            _trues(machine, base, f"warm {mode}", options)
        empty = repeated(lambda _, o=options: machine.package("trues", *o).seconds)  # type: ignore[misc]
        rest = sorted(empty)[len(empty) // 2]
        each = [
            (_trues(machine, base, f"{number} {mode}", options) - rest) / STEPS
            for number in range(7)
        ]
        rows.append(Row(f"each of twenty `RUN true`, {mode}", each, "s", "0.1 s"))
    return rows


def _trues(machine: Machine, base: str, variant: str, options: Sequence[str]) -> float:
    steps = "".join(f"RUN true {variant} {number}\n" for number in range(STEPS))
    machine.image("trues", f"FROM {base}\n{steps}", {})
    run = machine.package("trues", *options)
    assert "20 built" in run.output or variant.startswith("warm"), run.output
    return run.seconds


def many_files(count: int) -> bytes:
    """A layer of small files, a hundred to a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(count):
            info = tarfile.TarInfo(f"many/{number // 100}/{number % 100}")
            content = f"{number}\n".encode() * 20
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _layers(machine: Machine, name: str) -> Set[str]:
    (document,) = (machine.repository / "dist" / name).glob("*.image.json")
    return {layer["digest"] for layer in json.loads(document.read_text())["layers"]}


def _downloads(accesses: Sequence[Access], layers: Set[str]) -> int:
    return sum(
        access.method == "GET" and access.path.rpartition("/")[2] in layers for access in accesses
    )
