"""The bench that a case is put on: both builders, the bases, and a context."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, List, Set

from conformance.harness.bases import flat, image, multi
from conformance.harness.buildah import Buildah, OracleError
from conformance.harness.cases import Case
from conformance.harness.compare import against_written, differences
from conformance.harness.context import bases_of, write
from conformance.harness.flatten import Flat
from conformance.harness.normalise import normal
from conformance.harness.ours import Ours
from conformance.harness.remotes import Remotes, remotes
from support.base_image import push
from support.registry import running_registry


@dataclass(frozen=True)
class Bench:
    """:param doubting: cases that say buildah is no measure are put to it all the same: does it differ still?
    :param pushed: the bases that are in the registry by now: each goes there when a case first names it.
    """

    directory: Path
    registry: str
    remotes: Remotes
    ours: Ours
    buildah: Buildah
    doubting: bool = False
    pushed: Set[str] = field(default_factory=set)

    def check(self, case: Case) -> None:
        """Build the case with both, and fail with every difference."""
        context = self.directory / "context"
        shutil.rmtree(context, ignore_errors=True)
        write(case, context, self.registry, self.remotes)
        self._push(bases_of(case) - self.pushed)
        images = self.ours.build(case, context)
        asked = list(case.platforms)
        found = _rows("platforms", asked, [each.platform for each in images] if asked else asked)
        if case.is_written:
            for each in images:
                lines = against_written(case, flat(case.over), each)
                found += [f"from what the case says ({case.section}): {line}" for line in lines]
        if not case.without_buildah:
            judged = self.buildah.build(case, context)
            found += [f"from buildah: {line}" for line in _beside(case, judged, images)]
        elif self.doubting and self._agrees(case, context, images):
            found.append(f"from its own word: buildah agrees, although {case.without_buildah}")
        assert not found, f"{case.place}: {case.about}\ndiffers " + "\ndiffers ".join(found)

    def _push(self, names: Set[str]) -> None:
        for name in names:
            for each in multi() if name == "multi" else [image(name)]:
                push(each, f"{self.registry}/base/{name}:1")
        self.pushed.update(names)

    def _agrees(self, case: Case, context: Path, images: List[Flat]) -> bool:
        with contextlib.suppress(OracleError):
            return not _beside(case, self.buildah.build(case, context), images)
        return False


def _beside(case: Case, judged: List[Flat], images: List[Flat]) -> List[str]:
    pairs = zip(judged, images)
    return [line for theirs, got in pairs for line in differences(normal(case, theirs, got), got)]


def _rows(what: str, expected: List[str], got: List[str]) -> List[str]:
    return [] if expected == got else [f"in {what}: expected {expected}, got {got}"]


@contextlib.contextmanager
def bench(directory: Path, runtime: str = "auto", doubting: bool = False) -> Iterator[Bench]:
    """A registry, servers to fetch from, and both builders, until the block ends."""
    far = remotes(directory / "remotes")
    with running_registry(directory / "registry") as registry, far as fetched:
        buildah = Buildah(directory / "buildah")
        buildah.directory.mkdir()
        ours = Ours(directory / "ours", runtime)
        yield Bench(directory, registry.address, fetched, ours, buildah, doubting)
        shutil.rmtree(buildah.directory, ignore_errors=True)
