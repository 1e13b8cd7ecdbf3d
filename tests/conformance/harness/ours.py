"""A case built by the builder under test: in this process, without Pants."""

from __future__ import annotations

import contextlib
import shutil
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, List, Tuple

from conformance.harness.cases import Case
from conformance.harness.flatten import Flat, flatten_layout
from imagebuild.execute.build import build, export_layout
from imagebuild.execute.build_plan import BuildOptions
from imagebuild.execute.effects import Effects
from imagebuild.execute.pure_requests import SecretSource, SshSource
from imagebuild.oci.descriptor import Platform
from imagebuild.store.store import Store
from support.builds import HERE


@dataclass(frozen=True)
class Ours:
    """Our builder with its store below `directory`."""

    directory: Path
    runtime: str = "auto"

    def build(self, case: Case, context: Path) -> List[Flat]:
        """Build the case with every step run, and flatten its images as the OCI layout has them, one for each platform.

        :raises ImageBuildError: as any build does.
        """
        effects = Effects(Store(str(self.directory / "store")), {})
        with self._agent() as agent:
            options = replace(
                _options(case, self.runtime), secrets=self._secrets(case), ssh=_ssh(case, agent)
            )
            built = build(str(context), case.dockerfile, options, effects)
        out = self.directory / "image"
        shutil.rmtree(out, ignore_errors=True)
        export_layout(built, str(out), effects)
        return flatten_layout(out)

    def _secrets(self, case: Case) -> Tuple[SecretSource, ...]:
        directory = self.directory / "secrets"
        directory.mkdir(parents=True, exist_ok=True)
        for name, value in case.secrets:
            (directory / name).write_text(value)
        return tuple(SecretSource(name, str(directory / name)) for name, _ in case.secrets)

    @contextlib.contextmanager
    def _agent(self) -> Iterator[str]:
        """A socket that listens where an ssh agent would."""
        path = self.directory / "agent"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            yield str(path)


def _ssh(case: Case, agent: str) -> Tuple[SshSource, ...]:
    return tuple(SshSource(name, (agent,)) for name in case.ssh)


def _options(case: Case, runtime: str) -> BuildOptions:
    labels = (label.partition("=") for label in case.labels)
    return BuildOptions(
        HERE,
        platforms=tuple(Platform(*platform.split("/")) for platform in case.platforms),
        target=case.target,
        build_args=case.build_args,
        labels=tuple((name, value) for name, _, value in labels),
        use_cache=False,
        runtime=runtime,
    )
