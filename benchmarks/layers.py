"""Writing and extracting layers against what this machine can do: the stages by themselves, and `tar`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

from executor import FLAGS
from machines import Machine
from tables import Row, repeated

SMALL_FILES, SMALL_SIZE = 20_000, 5_000
LARGE = 500_000_000
WRITTEN_GOAL, EXTRACTED_GOAL = "1.25", "1.3"

# Writes the layer of a directory; and reads, hashes and compresses the same bytes one after another.
WRITE = """
import hashlib, json, os, sys, time
executor, tree, out, compression = sys.argv[1:]
sys.path[0] = executor
import main
sys.meta_path.insert(0, main.Bundle(f"{executor}/{main.BUNDLE}"))
from imagebuild.layer.capture import capture_upper
from imagebuild.layer.compression import compressor
from imagebuild.layer.entry import ROOT
from imagebuild.layer.tree import TreeView
from imagebuild.layer.writer import LayerWriter

PIECE = 1 << 20
spent = {}

def timed(name, function):
    start = time.perf_counter()
    function()
    spent[name] = time.perf_counter() - start

def pieces(path):
    with open(path, "rb", 0) as file:
        while piece := file.read(PIECE):
            yield piece

def read():
    for directory, _, names in os.walk(tree):
        for name in names:
            for piece in pieces(f"{directory}/{name}"):
                pass

def write(compression, path):
    with open(path, "wb", 0) as file:
        writer = LayerWriter(file, compression=compression)
        below = TreeView(())
        capture_upper(tree, writer, epoch=0, root=below.lookup(ROOT), below=below.lookup)
        writer.finish()

def digest():
    sha256 = hashlib.sha256()
    for piece in pieces(f"{out}.tar"):
        sha256.update(piece)

def compress():
    made = compressor(compression)
    for piece in pieces(f"{out}.tar"):
        made.compress(piece)
    made.flush()

write("none", f"{out}.tar")
timed("reading", read)
timed("sha256", digest)
timed("compression", compress)
processor = time.process_time()
timed("whole", lambda: write(compression, out))
spent["processor"] = time.process_time() - processor
print(json.dumps(spent))
"""

# Extracts a layer into an empty directory.
EXTRACT = """
import os, sys, time
executor, blob, directory = sys.argv[1:]
sys.path[0] = executor
import main
sys.meta_path.insert(0, main.Bundle(f"{executor}/{main.BUNDLE}"))
from imagebuild.layer.extract import extract_layer
start = time.perf_counter()
with open(blob, "rb") as file:
    extract_layer(file, os.open(directory, os.O_RDONLY), helper=True)
print(time.perf_counter() - start)
"""


def limits(machine: Machine) -> List[Row]:
    """Files lie in the page cache; what is written goes to the disk that the machine is on."""
    home = machine.root / "layers"
    trees = {
        "20,000 files of 5 KB": _small_files(home / "small"),
        "500 MB, half noise, half zeros": _large_file(home / "large"),
    }
    rows: List[Row] = []
    for name, tree in trees.items():
        for compression in ("gzip", "zstd"):
            rows.extend(_written(machine, name, tree, home / f"{tree.name}.{compression}"))
        rows.append(_extracted(machine, name, home / f"{tree.name}.gzip"))
    return rows


def _written(machine: Machine, name: str, tree: Path, blob: Path) -> List[Row]:
    compression = blob.suffix[1:]
    samples: List[Dict[str, float]] = []

    def slowest_stage(spent: Dict[str, float]) -> float:
        return max(spent[part] for part in ("reading", "sha256", "compression"))

    def ratio(_: int) -> float:
        spent = json.loads(_run(machine, WRITE, str(tree), str(blob), compression))
        samples.append(spent)
        return float(spent["whole"] / slowest_stage(spent))

    ratios = repeated(ratio)
    cores = os.cpu_count() or 1
    least = [max(slowest_stage(spent), spent["processor"] / cores) for spent in samples]
    by_cores = [spent["whole"] / seconds for spent, seconds in zip(samples, least)]
    note = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in samples[-1].items())
    figure = f"written as {compression}, by the slowest stage: {name}"
    return [
        Row(figure, ratios, "", WRITTEN_GOAL, note),
        Row(f"  by what {cores} cores allow for its processor seconds", by_cores, ""),
    ]


def _extracted(machine: Machine, name: str, blob: Path) -> Row:
    times: List[Tuple[float, float]] = []

    def ratio(_: int) -> float:
        ours, theirs = (blob.parent / who for who in ("ours", "tar"))
        for directory in (ours, theirs):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        own = float(_run(machine, EXTRACT, str(blob), str(ours)))
        start = time.perf_counter()
        subprocess.run(["tar", "-xzf", str(blob), "-C", str(theirs)], check=True)
        times.append((own, time.perf_counter() - start))
        return times[-1][0] / times[-1][1]

    ratios = repeated(ratio)
    note = "{:.2f} s, tar {:.2f} s".format(*times[-1])
    return Row(f"extracted, by tar -xz: {name}", ratios, "", EXTRACTED_GOAL, note)


def _run(machine: Machine, driver: str, *arguments: str) -> str:
    python, directory = machine.executor()
    command = [python, *FLAGS, "-c", driver, str(directory), *arguments]
    return subprocess.check_output(command, text=True)


def _small_files(directory: Path) -> Path:
    """Text of which a third is left when it is compressed, as it is of code."""
    directory.mkdir(parents=True)
    for number in range(SMALL_FILES):
        folder = directory / str(number // 100)
        folder.mkdir(exist_ok=True)
        text = "".join(f"line {number * 7919 % (line + 13)} of {number}\n" for line in range(400))
        (folder / str(number)).write_text(text[:SMALL_SIZE])
    return directory


def _large_file(directory: Path) -> Path:
    directory.mkdir(parents=True)
    fill: List[Callable[[int], bytes]] = [os.urandom, bytes]
    with (directory / "file").open("wb") as file:
        for make in fill:
            for _ in range(LARGE // 2 // 1_000_000):
                file.write(make(1_000_000))
    return directory
