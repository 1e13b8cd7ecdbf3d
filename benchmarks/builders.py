"""The builders that are compared: this one through Pants, and buildah. Each has two machines at one registry."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Protocol, Sequence

import processes
from machines import NO_CACHE_REPO, Machine, set_aside, write_changed
from processes import Peak

from support.registry import RealRegistry

Files = Dict[str, str]


class Sample(NamedTuple):
    """One timed build.

    :param cpu: processor seconds of everything that worked for it, the registry left out.
    :param downloaded: bytes of blobs that the registry sent for it.
    :param peak: bytes of the most memory that one of its processes had, Pants' daemon and client left out.
    """

    seconds: float
    cpu: float
    downloaded: int
    peak: int


class Builder(Protocol):
    """Builds on machine "A" or "B". What A builds with a cache, B finds in the registry."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def remembers(self) -> bool:
        """Whether a machine has to be asked something new after `forget`, for a daemon of it knows the old."""

    def write(self, project: str, dockerfile: str, files: Files) -> None:
        """Make or change a project; files that are not named stay as they are."""

    def build(self, project: str, machine: str = "A", *, cached: bool = True) -> Sample:
        """:param cached: read from and write to a cache in the registry."""

    def build_again(self, project: str) -> Sample:
        """Build on machine "A", in the quickest way that there is for what it has built before."""

    def forget(self, machine: str) -> None:
        """Make a machine one that has never built anything."""


@dataclass(frozen=True)
class Ours:
    """`pants package` through the native client; the daemons run. The image's place is in the registry."""

    machines: Dict[str, Machine]
    registry: RealRegistry
    name: str = "ours"
    remembers: bool = True

    def write(self, project: str, dockerfile: str, files: Files) -> None:
        for machine in self.machines.values():
            machine.image(project, dockerfile, files)

    def build(self, project: str, machine: str = "A", *, cached: bool = True) -> Sample:
        os.sync()  # or it would wait for what the build before has left to write
        before, seen = self._cpu(), len(self.registry.accesses())
        with Peak(self._daemons) as peak:
            run = self.machines[machine].package(project, *(() if cached else NO_CACHE_REPO))
        spent = self._cpu() - before
        return Sample(run.seconds, spent, downloaded(self.registry, seen), peak.bytes)

    def build_again(self, project: str) -> Sample:
        return self.build(project)

    def forget(self, machine: str) -> None:
        self.machines[machine].forget()

    def _cpu(self) -> float:
        """Processor seconds of our children (the client), and of the daemons with what they have started."""
        return sum(os.times()[2:4]) + processes.seconds(self._daemons())

    def _daemons(self) -> List[int]:
        return [machine.daemon for machine in self.machines.values()]


@dataclass(frozen=True)
class Buildah:
    """`buildah bud --layers` with a storage for each machine; its cache in the registry is that of `--cache-to`."""

    directory: Path
    registry: RealRegistry
    name: str = "buildah"
    remembers: bool = False

    def write(self, project: str, dockerfile: str, files: Files) -> None:
        for path, text in {"Dockerfile": dockerfile, **files}.items():
            write_changed(self.directory / "projects" / project / path, text)

    def build(self, project: str, machine: str = "A", *, cached: bool = True) -> Sample:
        context = self.directory / "projects" / project
        cache = f"{self.registry.address}/buildah/cache"
        options = ["--layers", "--isolation=chroot", "--network=host", "--tls-verify=false"]
        options += ["--format=oci", "--jobs=4", "--tag", f"{project}:image"]
        if cached:
            options += ["--cache-from", cache, "--cache-to", cache]
        seen = len(self.registry.accesses())
        with Peak(lambda: [os.getpid()]) as peak:
            seconds, cpu = self._timed(machine, ["bud", *options, str(context)])
        return Sample(seconds, cpu, downloaded(self.registry, seen), peak.bytes)

    def build_again(self, project: str) -> Sample:
        """It would ask the registry for each step, though it has them all."""
        return self.build(project, cached=False)

    def forget(self, machine: str) -> None:
        set_aside(self.directory / machine)

    def _timed(self, machine: str, arguments: Sequence[str]) -> tuple[float, float]:
        storage = self.directory / machine
        storage.mkdir(parents=True, exist_ok=True)
        command: List[str] = ["unshare", "--mount", "buildah", "--storage-driver=overlay"]
        command += ["--root", str(storage / "root"), "--runroot", str(storage / "run"), *arguments]
        log = self.directory / "output"
        # Now and then it fails at its very start, with "sealing memfd copy: Device or resource busy".
        for _ in range(5):
            os.sync()
            before, started = sum(os.times()[2:4]), time.perf_counter()
            with log.open("wb") as output:
                code = subprocess.call(command, stdout=output, stderr=subprocess.STDOUT)
            seconds, cpu = time.perf_counter() - started, sum(os.times()[2:4]) - before
            if code == 0:
                return seconds, cpu
            if b"sealing memfd copy" not in log.read_bytes():
                break
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-4000:]}")


def downloaded(registry: RealRegistry, since: int) -> int:
    """Bytes of blobs that were sent after the first `since` requests."""
    return sum(
        access.size
        for access in registry.accesses(since)
        if access.method == "GET" and "/blobs/" in access.path
    )
