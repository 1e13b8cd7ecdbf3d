"""A RuleRunner with the whole backend. Its executor is the core of this checkout, run by this Python: processes, the
engine's memory of them and the store are the real ones; only the PEX is left out, for it needs a package index."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Type, cast

from pants.backend.shell.target_types import ShellSourceTarget
from pants.core.goals.check import CheckResults
from pants.core.goals.package import BuiltPackage
from pants.core.goals.publish import PublishProcesses
from pants.core.goals.run import RunRequest
from pants.core.goals.tailor import PutativeTargets
from pants.core.register import rules as core_rules
from pants.core.target_types import (
    ArchiveTarget,
    FilesGeneratorTarget,
    FileTarget,
    ResourcesGeneratorTarget,
    ResourceTarget,
)
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent
from pants.engine.internals.parametrize import Parametrize
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.process import FallibleProcessResult, Process
from pants.engine.rules import Get, QueryRule, collect_rules, rule
from pants.engine.target import InferredDependencies, Target
from pants.testutil.rule_runner import RuleRunner

from pants_kaniko import register
from pants_kaniko.calls import Executor, ExecutorAnswer, ExecutorCall
from pants_kaniko.checks import KanikoCheckRequest
from pants_kaniko.engine_get import dependencies, executor, publish, run, tailor
from pants_kaniko.package_types import BuiltKanikoImage, KanikoPackageFieldSet
from pants_kaniko.plans import BuildContext, ContextRequest, PlannedImage, PlanRequest
from pants_kaniko.requests import BuildStep, BuiltStep

LOG, OUTCOME = "calls.log", "outcome"
MAIN = """\
import os, sys

sys.path[:0] = {path!r}
from imagebuild.cli import main
from pants_kaniko import executor_main

def logged(arguments):
    code = main(arguments)
    with open("kaniko_store/{log}", "a") as log:
        log.write(arguments[0] + "\\n")
    if os.path.exists(f"kaniko_store/after.{{arguments[0]}}"):
        with open(f"kaniko_store/after.{{arguments[0]}}") as script:
            exec(script.read())
    return code

executor_main.run(logged)
"""


@rule
async def executor_of_this_checkout() -> Executor:
    path = [entry for entry in sys.path if entry]
    main = FileContent("main.py", MAIN.format(path=path, log=LOG).encode())
    return Executor(await Get(Digest, CreateDigest([main])), sys.executable, resident=True)


class Backend:
    """The backend in a build root of its own, with caches of its own."""

    def __init__(
        self,
        directory: Path,
        *bootstrap: str,
        rules: Iterable[Any] = (),
        target_types: Iterable[Type[Target]] = (),
    ) -> None:
        """:param bootstrap: options of the daemon.
        :param rules: and `target_types`: of another backend beside this one.
        """
        self.caches, self.store = directory / "caches", directory / "pants-store"
        self._options: Tuple[Tuple[str, ...], Mapping[str, str]] = ((), {})
        self.runner = RuleRunner(
            rules=[*_rules(), *rules],
            target_types=[
                *register.target_types(),
                *target_types,
                ArchiveTarget,
                FileTarget,
                FilesGeneratorTarget,
                ResourceTarget,
                ResourcesGeneratorTarget,
                ShellSourceTarget,
            ],
            objects={"parametrize": Parametrize},
            bootstrap_args=[
                f"--named-caches-dir={self.caches}",
                f"--local-store-dir={self.store}",
                *bootstrap,
            ],
        )
        self.set_options()

    def set_options(self, *args: str, env: Mapping[str, str] = {}) -> None:
        """The options of the runs that follow; starts one."""
        self._options = (args, env)
        self.new_session()

    def new_session(self) -> None:
        """What the next run of Pants is under the same daemon."""
        args, env = self._options
        caches = f"--named-caches-dir={self.caches}"
        self.runner.set_options([caches, *args], env=env, env_inherit={"PATH", "HOME"})

    def write(self, files: Mapping[str, str]) -> None:
        self.runner.write_files(cast(Any, dict(files)))

    def target(self, address: str) -> Target:
        path, _, name = address.partition(":")
        return self.runner.get_target(Address(path, target_name=name))

    def context(self, address: str) -> BuildContext:
        request = ContextRequest(self.target(address).address)
        return self.runner.request(BuildContext, [request])

    def plan(self, address: str) -> PlannedImage:
        return self.runner.request(PlannedImage, [PlanRequest(self.target(address).address)])

    def step(self, address: str, number: int, *, alone: bool = False) -> BuiltStep:
        """One step of the image, with all that it needs."""
        request = BuildStep(self.plan(address).handle, number, alone=alone)
        return self.runner.request(BuiltStep, [request])

    def package(self, address: str) -> BuiltPackage:
        field_set = KanikoPackageFieldSet.create(self.target(address))
        return self.runner.request(BuiltPackage, [field_set])

    def image(self, address: str) -> BuiltKanikoImage:
        """The image that `package` makes."""
        artifact = self.package(address).artifacts[-1]
        assert isinstance(artifact, BuiltKanikoImage)
        return artifact

    def publish(self, address: str) -> PublishProcesses:
        """What `publish` would run in the foreground; all that comes before it is done."""
        package = self.package(address)
        field_set = publish.PublishKanikoImageFieldSet.create(self.target(address))
        request = publish.PublishKanikoImageRequest(field_set, (package,))
        return self.runner.request(PublishProcesses, [request])

    def process(self, process: Process) -> FallibleProcessResult:
        """What would run in the foreground, in the background."""
        return self.runner.request(FallibleProcessResult, [process])

    def container(self, address: str) -> RunRequest:
        """What `run` would start."""
        return self.runner.request(RunRequest, [run.KanikoRunFieldSet.create(self.target(address))])

    def files(self, package: BuiltPackage) -> Dict[str, bytes]:
        contents = self.runner.request(DigestContents, [package.digest])
        return {file.path: file.content for file in contents}

    def origins(self, address: str) -> Tuple[str, ...]:
        """Where each layer came from, as ``NAME.image.json`` has it."""
        return tuple(layer["origin"] for layer in self._layers(address))

    def content_keys(self, address: str) -> Tuple[Optional[str], ...]:
        """Each layer's content key, from the same file."""
        return tuple(layer["content_key"] for layer in self._layers(address))

    def _layers(self, address: str) -> List[Dict[str, Any]]:
        files = self.files(self.package(address))
        (document,) = (data for path, data in files.items() if path.endswith(".image.json"))
        return cast(List[Dict[str, Any]], json.loads(document)["layers"])

    def meanwhile(self, subcommand: str, script: str) -> None:
        """What happens to the store after each call of a subcommand, in Python; the store is `kaniko_store`."""
        (self.caches / "kaniko_store" / f"after.{subcommand}").write_text(script)

    def calls(self) -> List[str]:
        """The subcommands of the executor that came to an end since the last time this was asked.

        Others may have been started: the engine calls off, and starts once more, what an earlier run wanted too. How many were
        set aside, `outcomes` says: that hangs on how long they wait.
        """
        return sorted(call for call in self._log() if call != OUTCOME)

    def outcomes(self) -> int:
        """How many calls were set aside, and their outcome taken, since `calls` or this was asked."""
        return self._log().count(OUTCOME)

    def _log(self) -> List[str]:
        log = self.caches / "kaniko_store" / LOG
        found = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return found


def text_of(error: ExecutionError) -> str:
    """The one error behind what the engine raises."""
    found = list(error.wrapped_exceptions)
    assert len(found) == 1
    return str(found[0])


def _rules() -> Iterable[Any]:
    installing = {getattr(item, "rule", item) for item in executor.rules()}
    return [
        *core_rules(),  # type: ignore[no-untyped-call]
        *(item for item in register.rules() if getattr(item, "rule", item) not in installing),
        *collect_rules({"rule": executor_of_this_checkout}),
        QueryRule(BuildContext, [ContextRequest]),
        QueryRule(BuiltStep, [BuildStep]),
        QueryRule(CheckResults, [KanikoCheckRequest]),
        QueryRule(PlannedImage, [PlanRequest]),
        QueryRule(BuiltPackage, [KanikoPackageFieldSet]),
        QueryRule(PublishProcesses, [publish.PublishKanikoImageRequest]),
        QueryRule(RunRequest, [run.KanikoRunFieldSet]),
        QueryRule(InferredDependencies, [dependencies.InferKanikoDependencies]),
        QueryRule(DigestContents, [Digest]),
        QueryRule(ExecutorAnswer, [ExecutorCall]),
        QueryRule(FallibleProcessResult, [Process]),
        QueryRule(PutativeTargets, [tailor.PutativeKanikoTargetsRequest]),
    ]
