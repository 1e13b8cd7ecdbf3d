"""What is compared: a builder with two machines at one registry; and this one, through Pants. The others are in `peers`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Protocol

import processes
from machines import NO_CACHE_REPO, Machine
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

    def stop(self) -> None:
        """End what runs for it."""


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

    def stop(self) -> None:
        for machine in self.machines.values():
            machine.stop()

    def _cpu(self) -> float:
        """Processor seconds of our children (the client), and of the daemons with what they have started."""
        return sum(os.times()[2:4]) + processes.seconds(self._daemons())

    def _daemons(self) -> List[int]:
        return [machine.daemon for machine in self.machines.values()]


def downloaded(registry: RealRegistry, since: int) -> int:
    """Bytes of blobs that were sent after the first `since` requests."""
    return sum(
        access.size
        for access in registry.accesses(since)
        if access.method == "GET" and "/blobs/" in access.path
    )
