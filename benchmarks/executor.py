"""Where the time of a small step goes: the executor run as the backend runs it, without Pants around it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Sequence

from machines import Machine
from tables import Row, repeated

FLAGS = ("-s", "-S", "-E", "-B", "-X", "utf8")
TIMES = 15

# Runs steps in one process, the first of which pays for imports, and prints the seconds of each part of the last.
DRIVER = """
import json, sys, time
executor, store, *requests = sys.argv[1:]
sys.path[0] = executor
start = time.perf_counter()
import main as launcher
sys.meta_path.insert(0, launcher.Bundle(f"{executor}/{launcher.BUNDLE}"))
from imagebuild.cli import main
from imagebuild.execute import exec_step, new_layer, step
from imagebuild.store.store import Store
imports = time.perf_counter() - start
spent = {}
def timed(where, name, label):
    function = getattr(where, name)
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[label] = spent.get(label, 0) + time.perf_counter() - start
    setattr(where, name, wrapper)
choose = exec_step.choose
class Timed:
    def __init__(self, runtime):
        self.name, self.run = runtime.name, runtime.run
        timed(self, "run", "command")
def timed_choose(*args):
    return Timed(choose(*args))
exec_step.choose = timed_choose
timed(exec_step, "choose", "choice of the runtime")
timed(new_layer, "layer_from_upper", "capture")
timed(Store, "extracted", "extracted layers")
timed(Store, "put_record", "record")
timed(exec_step, "tree_of", "tree")
for request in requests:
    spent.clear()
    start = time.perf_counter()
    assert main(["step", "--store", store, "--request", request, "--result", "/dev/null"]) == 0
    total = time.perf_counter() - start
print(json.dumps({"imports": imports, "total": total, **spent}))
"""


def parts_of_a_step(machine: Machine, base: str) -> List[Row]:
    python, directory = machine.executor()
    machine.image("parts", f"FROM {base}\nRUN true parts\n", {})
    machine.package("parts", "--keep-sandboxes=always", "--kaniko-cache-read-only")
    request = _request(machine, "parts")
    whole = []
    for number in range(TIMES + 2):
        file = _variant(machine, request, f"whole {number}")
        arguments = [str(directory / "main.py"), "step", "--store", str(machine.store)]
        arguments += ["--request", str(file), "--result", str(machine.root / "result.json")]
        whole.append(_seconds([python, *FLAGS, *arguments]))
    start = repeated(lambda _: _seconds([python, *FLAGS, "-c", ""]), TIMES)
    parts = [_driven(machine, python, directory, request, number) for number in range(TIMES)]
    labels = ["imports", "total", *sorted(set(parts[0]) - {"imports", "total"})]
    return [
        Row("a small step by the executor alone", whole[2:], "s", "0.1 s"),
        Row("  start of the interpreter", start, "s"),
        *(Row(f"  {label}", [part[label] for part in parts], "s") for label in labels),
    ]


def _driven(
    machine: Machine, python: str, directory: Path, request: Dict[str, object], number: int
) -> Dict[str, float]:
    files = [str(_variant(machine, request, f"driven {number} {part}")) for part in (0, 1)]
    command = [python, *FLAGS, "-c", DRIVER, str(directory), str(machine.store), *files]
    found: Dict[str, float] = json.loads(subprocess.check_output(command))
    return found


def _request(machine: Machine, mark: str) -> Dict[str, object]:
    """The request of the step whose command has `mark` in it, from its sandbox."""
    for file in (machine.root / "tmp").glob("pants-sandbox-*/request.json"):
        request: Dict[str, object] = json.loads(file.read_text())
        if "step" in request and mark in file.read_text():
            return request
    raise SystemExit("no sandbox has the request of a step")


def _variant(machine: Machine, request: Dict[str, object], mark: str) -> Path:
    """The same request for a command that never ran."""
    name = mark.replace(" ", "-")
    file = machine.root / f"{name}.request.json"
    file.write_text(json.dumps(request).replace("true parts", f"true {mark}"))
    return file


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.check_call(command, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started
