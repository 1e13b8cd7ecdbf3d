"""Throw-away machines for benchmarks: each a small repository with caches and a Pants daemon of its own, at one registry."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

CHECKOUT = Path(__file__).resolve().parent.parent

NO_CACHE_REPO = ("--kaniko-cache-repo=", "--kaniko-registries={}")
"""Options for a build that caches on its machine only."""

PANTS_TOML = """\
[GLOBAL]
pants_version = "2.17.1"
pythonpath = ["{code}/pants-plugins", "{code}/python"]
plugins = ["dockerfile-parse==2.0.1"]
backend_packages = ["pants_kaniko"]
process_execution_local_enable_nailgun = {resident}

[subprocess-environment]
env_vars.add = ["HOME={home}"]

[kaniko.registries.here]
address = "{registry}"
default = true

[anonymous-telemetry]
enabled = false
"""

# Takes the place of the executor's interpreter: notes the subcommand and the most memory of each call.
TRACER = """\
#!{python} -SE
import resource, subprocess, sys
code = subprocess.call(["{python}", *sys.argv[1:]])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
words = iter(sys.argv)
any(word.endswith("main.py") for word in words)
called = next(words, "-")
if called == "-cp":
    called = [next(words) for _ in range(3)][-1]
with open("{log}", "a") as log:
    log.write(f"{{called}} {{peak}}\\n")
sys.exit(code)
"""


class Call(NamedTuple):
    """One process of the executor; `peak` is its largest resident set in bytes."""

    subcommand: str
    peak: int


class Run(NamedTuple):
    """One run of Pants: wall seconds, and all that it printed."""

    seconds: float
    output: str


def copy_code(directory: Path) -> Path:
    """The backend and the core as they are now, whatever is edited in the checkout while benchmarks run."""
    unwanted = shutil.ignore_patterns("__pycache__")
    for tree in ("pants-plugins", "src/python"):
        shutil.copytree(CHECKOUT / tree, directory / Path(tree).name, ignore=unwanted)
    return directory


def set_aside(directory: Path) -> None:
    """Put `directory` out of the way of what is measured next; it goes with all else in the end.

    To remove 100,000 files would make the next builder's disk slow for minutes: ext4 gives no inode away soon after it was
    freed, and looks at each of those again for every new file. No fresh machine has such a disk.
    """
    if directory.exists():
        directory.rename(tempfile.mkdtemp(prefix="forgotten-", dir=directory.parent))


def write_changed(file: Path, text: str) -> None:
    """Leave a file alone that has this text already: Pants' daemon looks at its whole graph for every file that is written,
    which for the 2,000 of a cold build took longer than that."""
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@dataclass(frozen=True)
class Machine:
    """As far as builds can tell, a machine: nothing of it is shared with another but the registry and the kernel."""

    root: Path
    registry: str

    @staticmethod
    def bare(root: Path, registry: str, code: Path, *, resident: bool = True) -> Machine:
        """On which nothing has run yet.

        :param code: what `copy_code` made.
        :param resident: False where each call of the executor is to be a process of its own, for `traced`.
        """
        made = Machine(root, registry)
        home = root / "home"  # where the Pex that `./pants` makes has its caches
        settings = {"code": code, "registry": registry, "home": home}
        made.write("pants.toml", PANTS_TOML.format(**settings, resident=str(resident).lower()))
        for directory in (home, root / "tmp"):
            directory.mkdir()
        return made

    @staticmethod
    def make(root: Path, registry: str, code: Path, *, resident: bool = True) -> Machine:
        """With Pants started and the executor made, neither of which is part of most figures; as `bare`."""
        made = Machine.bare(root, registry, code, resident=resident)
        made.image("warm", "FROM scratch\nCOPY file /\n", {"file": "warm"})
        made.package("warm")
        return made

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def daemon(self) -> int:
        """Process id of Pants' daemon."""
        (file,) = self.repository.glob(".pids/**/pid")
        return int(file.read_text())

    @property
    def store(self) -> Path:
        return self.root / "caches" / "kaniko_store"

    def write(self, path: str, text: str) -> None:
        write_changed(self.repository / path, text)

    def image(self, name: str, dockerfile: str, files: dict[str, str], fields: str = "") -> None:
        """Write the target ``name:image``, whose only output is its place in the registry unless `fields` say else."""
        fields = 'context_root="./", ' + (fields or 'formats=["registry"]')
        self.write(
            f"{name}/BUILD",
            'files(name="files", sources=["**/*", "!BUILD", "!Dockerfile"])\n'
            f'kaniko_image(name="image", dependencies=[":files"], {fields})\n',
        )
        self.write(f"{name}/Dockerfile", dockerfile)
        for path, text in files.items():
            self.write(f"{name}/{path}", text)

    def package(self, name: str, *options: str) -> Run:
        return self.pants(*options, "package", f"{name}:image")

    def pants(self, *arguments: str) -> Run:
        """Run Pants as its users do, through the launcher of this checkout and the native client behind it.

        :raises SystemExit: when it fails, with what it printed.
        """
        log = self.root / "output"
        started = time.perf_counter()
        with log.open("wb") as output:
            code = subprocess.call(
                [str(CHECKOUT / "pants"), *arguments],
                cwd=self.repository,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        seconds = time.perf_counter() - started
        text = log.read_text()
        if code:
            raise SystemExit(f"./pants {' '.join(arguments)} failed:\n{text[-4000:]}")
        return Run(seconds, text)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TMPDIR": str(self.root / "tmp"),
            "PANTS_LOCAL_STORE_DIR": str(self.root / "store"),
            "PANTS_NAMED_CACHES_DIR": str(self.root / "caches"),
            "PANTS_DYNAMIC_UI": "false",
        }

    def forget(self) -> None:
        """Empty the builder's store. The daemon, which keeps what it has computed, has to be asked something new."""
        set_aside(self.store)
        self.store.mkdir()

    def executor(self) -> Tuple[str, Path]:
        """The interpreter of the executor, and the directory that it was laid out in."""
        (link,) = (self.root / "caches" / "kaniko_pythons").iterdir()
        (bundle,) = (self.root / "tmp").glob("immutable_inputs*/**/modules.bin")
        return os.path.realpath(link), bundle.parent

    @contextlib.contextmanager
    def traced(self) -> Iterator[List[Call]]:
        """The processes of the executor that run inside the block are in the list after it. It must not be resident."""
        calls: List[Call] = []
        (link,) = (self.root / "caches" / "kaniko_pythons").iterdir()
        python, log = os.readlink(link), self.root / "calls"
        log.write_text("")
        link.unlink()
        link.write_text(TRACER.format(python=python, log=log))
        link.chmod(0o755)
        try:
            yield calls
        finally:
            link.unlink()
            link.symlink_to(python)
        for line in log.read_text().splitlines():
            subcommand, kilobytes = line.split()
            calls.append(Call(subcommand, int(kilobytes) * 1024))

    def stop(self) -> None:
        """End the daemon."""
        for file in self.repository.glob(".pids/**/pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)
