"""A case built by the builder under test: in this process, without Pants."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from conformance.harness.cases import Case
from conformance.harness.flatten import Flat, flatten_layout
from imagebuild.execute.build import BuildOptions, build, export_layout
from imagebuild.execute.effects import Effects
from imagebuild.oci.descriptor import Platform
from imagebuild.store.store import Store
from support.builds import HERE


@dataclass(frozen=True)
class Ours:
    """Our builder with its store below `directory`."""

    directory: Path

    def build(self, case: Case, context: Path) -> Flat:
        """Build the case with every step run, and flatten the image as its OCI layout has it.

        :raises ImageBuildError: as any build does.
        """
        effects = Effects(Store(str(self.directory / "store")), {})
        built = build(str(context), case.dockerfile, _options(case), effects)
        out = self.directory / "image"
        shutil.rmtree(out, ignore_errors=True)
        export_layout(built, str(out), effects)
        [image] = flatten_layout(out)
        return image


def _options(case: Case) -> BuildOptions:
    labels = (label.partition("=") for label in case.options.get("labels", "").split())
    return BuildOptions(
        _platform(case),
        target=case.options.get("target", ""),
        build_args=case.build_args,
        labels=tuple((name, value) for name, _, value in labels),
        use_cache=False,
    )


def _platform(case: Case) -> Platform:
    parts: Tuple[str, ...] = tuple(case.options.get("platform", "").split("/"))
    return Platform(*parts) if len(parts) > 1 else HERE
