"""The bench that a case is put on: both builders, the bases, and a context."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

from conformance.harness.bases import BASES, flat, image
from conformance.harness.buildah import Buildah
from conformance.harness.cases import Case
from conformance.harness.compare import against_written, differences
from conformance.harness.context import write
from conformance.harness.normalise import normal
from conformance.harness.ours import Ours
from support.base_image import push
from support.registry import running_registry


@dataclass(frozen=True)
class Bench:
    directory: Path
    registry: str
    ours: Ours
    buildah: Buildah

    def check(self, case: Case) -> None:
        """Build the case with both, and fail with every difference."""
        context = self.directory / "context"
        shutil.rmtree(context, ignore_errors=True)
        write(case, context, self.registry)
        got = self.ours.build(case, context)
        found: List[str] = []
        if case.tree is not None or case.config is not None:
            lines = against_written(case, flat(case.over), got)
            found += [f"from what the case says ({case.section}): {line}" for line in lines]
        if not case.without_buildah:
            judged = self.buildah.build(case, context)
            lines = differences(normal(judged, flat("base/busybox"), got), got)
            found += [f"from buildah: {line}" for line in lines]
        assert not found, f"{case.place}: {case.about}\ndiffers " + "\ndiffers ".join(found)


@contextlib.contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    """A registry with the bases, and both builders, until the block ends."""
    with running_registry(directory / "registry") as registry:
        for name in BASES:
            push(image(name), f"{registry.address}/base/{name}:1")
        buildah = Buildah(directory / "buildah")
        buildah.directory.mkdir()
        yield Bench(directory, registry.address, Ours(directory / "ours"), buildah)
        shutil.rmtree(buildah.directory, ignore_errors=True)
