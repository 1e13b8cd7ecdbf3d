"""How long planning takes: a Dockerfile's text to its steps and their input keys, with no Pants and no process around it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import List

from machines import Machine
from scenarios import service
from tables import Row

PARSER = "dockerfile-parse==2.0.1"
INSTRUCTIONS = 80

# Plans a Dockerfile many times and prints the milliseconds of each part of each time.
DRIVER = """
import json, sys, time
core, dockerfile = sys.argv[1:]
sys.path.insert(0, core)
from imagebuild.dockerfile.parse import parse
from imagebuild.llb.keys import StepGraph, input_steps
from imagebuild.llb.plan import ContextEntry, ResolvedBase
from imagebuild.lower import lower
from imagebuild.oci.config import ConfigFile
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash

platform = Platform(os="linux", architecture="amd64")
layer = Layer(Hash.of(b"diff"), Descriptor("layer", Hash.of(b"blob"), 9))
config = ConfigFile(platform, diff_ids=(layer.diff_id,))
base = ResolvedBase("base", "r.example/base", Descriptor("m", Hash.of(b"m"), 9), config, (layer,))
names = ["deps.txt", "main.txt", *(f"lib/{number}.txt" for number in range(50))]
files = [ContextEntry(name, "file", Hash.of(name.encode()), 9) for name in names]
context = sorted([*files, ContextEntry("lib", "dir")], key=lambda entry: entry.path)

def parsed():
    return parse(dockerfile, "Dockerfile")

def lowered():
    given = dict(bases=(base,), context=context, build_args={}, target="", platform=platform)
    return lower(made["parse"], **given)

def keyed():
    return input_steps(StepGraph.of(made["lower"], 0))

times = []
for _ in range(200):
    made, spent = {}, {}
    for part, function in (("parse", parsed), ("lower", lowered), ("keys", keyed)):
        start = time.perf_counter()
        made[part] = function()
        spent[part] = (time.perf_counter() - start) * 1000
    times.append(spent)
print(json.dumps(times[20:]))
"""


def parts(machine: Machine, code: Path) -> List[Row]:
    """As Pants' own process plans: warm, under the same Python."""
    python, _ = machine.executor()
    home = machine.root / "planning"
    subprocess.run([python, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", PARSER], check=True, stdout=sys.stderr)
    text = service("base", "planned", INSTRUCTIONS)
    command = [str(home / "bin/python"), "-c", DRIVER, str(code / "python"), text]
    times = json.loads(subprocess.check_output(command))
    names = list(times[0])
    note = "; ".join(f"{name} {min(spent[name] for spent in times):.1f}" for name in names)
    whole = [sum(spent.values()) for spent in times]
    figure = f"{INSTRUCTIONS} instructions planned"
    return [Row(figure, whole, "ms", "5 ms", f"least of each part: {note}")]
