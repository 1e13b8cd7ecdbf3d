"""What the builders that this one is compared with have in common: each is a command line, and a machine of it a directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import processes
from builders import Files, Sample, downloaded
from machines import set_aside, write_changed
from processes import Peak

from support.registry import RealRegistry

Command = List[str]

# Takes a directory and a command. /dev has what no program can do without, and there is no containerd but the command's own.
_PRIVATE = """
set -e
dev=$1/dev && shift && mkdir -p "$dev"
mount -t tmpfs -o mode=755 dev "$dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$dev"
ln -s /proc/self/fd "$dev/fd"
mkdir "$dev/pts" "$dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$dev/pts" && ln -s pts/ptmx "$dev/ptmx"
mount --rbind "$dev" /dev
[ ! -d /run/containerd ] || mount -t tmpfs containerd /run/containerd
exec "$@"
"""


class Peer:
    """A `Builder` that is a command line; a machine of it is a directory.

    :cvar programs: what has to be on PATH.
    """

    name = ""
    remembers = False
    programs: Sequence[str] = ()

    def __init__(self, directory: Path, registry: RealRegistry) -> None:
        self.directory, self.registry = directory / self.name, registry

    @classmethod
    def is_here(cls) -> bool:
        return all(map(shutil.which, cls.programs))

    def commands(self, project: Path, machine: str, *, cached: bool) -> List[Command]:
        """What builds the project, one after the other."""
        raise NotImplementedError

    def write(self, project: str, dockerfile: str, files: Files) -> None:
        for path, text in {"Dockerfile": dockerfile, **files}.items():
            write_changed(self.directory / "projects" / project / path, text)

    def build(self, project: str, machine: str = "A", *, cached: bool = True) -> Sample:
        self.start(machine)
        commands = self.commands(self.directory / "projects" / project, machine, cached=cached)
        seen = len(self.registry.accesses())
        with Peak(self.roots) as peak:
            seconds, cpu = self._timed(commands)
        return Sample(seconds, cpu, downloaded(self.registry, seen), peak.bytes)

    def build_again(self, project: str) -> Sample:
        """The quickest way is not to ask the registry, which has nothing that the machine has not."""
        return self.build(project, cached=False)

    def forget(self, machine: str) -> None:
        set_aside(self.directory / machine)

    def start(self, machine: str) -> None:
        """Have the machine ready; what that takes is not timed."""
        (self.directory / machine).mkdir(parents=True, exist_ok=True)

    def stop(self) -> None:
        """End what runs for it."""

    def roots(self) -> List[int]:
        """Processes that all of its work is below."""
        return [os.getpid()]

    def environment(self) -> Dict[str, str]:
        return {**os.environ}

    def reference(self, project: Path, tag: str) -> str:
        return f"{self.registry.address}/{self.name}/{project.name}:{tag}"

    def _timed(self, commands: Sequence[Command]) -> Tuple[float, float]:
        """Wall and processor seconds of them all."""
        log = self.directory / "output"
        for attempt in range(5):
            os.sync()
            before, started = self._cpu(), time.perf_counter()
            with log.open("wb") as output:
                done = [self._call(command, output.fileno()) for command in commands]
            seconds, cpu = time.perf_counter() - started, self._cpu() - before
            if not any(done):
                return seconds, cpu
            # Now and then buildah fails at its very start, with "sealing memfd copy: Device or resource busy".
            if b"sealing memfd copy" not in log.read_bytes() or attempt == 4:
                break
        raise SystemExit(f"{self.name} failed: {commands}\n{log.read_text()[-4000:]}")

    def _call(self, command: Command, output: int) -> int:
        return subprocess.call(
            command,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def _cpu(self) -> float:
        daemons = [pid for pid in self.roots() if pid != os.getpid()]
        return sum(os.times()[2:4]) + processes.seconds(daemons)


def private(directory: Path, command: Command) -> Command:
    """The command in a mount namespace with a /dev of its own, which is in `directory`."""
    return ["unshare", "--mount", "sh", "-c", _PRIVATE, "-", str(directory), *command]


def flag(value: bool) -> str:
    return "true" if value else "false"
