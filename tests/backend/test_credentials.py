"""Secrets and ssh agents: where the fields say they are, which step is told, and that no value is anywhere."""

from __future__ import annotations

import gzip
import logging
import os
import socket
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from pants.backend.docker.target_types import DockerImageBuildSecretsOptionField
from pants.base.build_environment import get_buildroot
from pants.base.build_root import BuildRoot
from pants.engine.addresses import Address
from pants.engine.fs import EMPTY_DIGEST
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.process import ProcessCacheScope
from pants.engine.target import InvalidFieldException

from imagebuild import canonical
from imagebuild.execute.pure_requests import SecretSource, SshSource, StepRequest
from imagebuild.llb.step import Step
from pants_kaniko import shapes
from pants_kaniko.credentials import credentials, variables
from pants_kaniko.ready import Ready
from pants_kaniko.requests import BuildStep
from pants_kaniko.target_types import KanikoImageTarget
from support.backend import Backend, text_of
from support.base_image import busybox, busybox_layer, image_of, push
from support.registry import RealRegistry

CANARY = "canary-9b1d42"
ADDRESS = Address("src/app", target_name="image")
PATHS = {
    "/var/secrets/token": "/var/secrets/token",
    "src/secrets/token": "{root}/src/secrets/token",
    "./token": "{root}/src/app/token",
    "../token": "{root}/src/token",
    ".hidden/token": "{root}/.hidden/token",
}


@pytest.fixture(autouse=True)
def _build_root(tmp_path: Path) -> Iterator[None]:
    with BuildRoot().temporary(str(tmp_path)):
        yield


def target(**fields: Any) -> KanikoImageTarget:
    return KanikoImageTarget(fields, ADDRESS)


@pytest.mark.parametrize("path, expected", PATHS.items(), ids=list(PATHS))
def test_paths_are_those_of_docker_image(path: str, expected: str) -> None:
    found = credentials(target(secrets={"id": path}), {}).secrets
    theirs = DockerImageBuildSecretsOptionField({"id": path}, ADDRESS).option_values()

    assert (SecretSource("id", expected.format(root=get_buildroot())),) == found
    assert [f"id={source.id},src={source.path}" for source in found] == list(theirs)


def test_paths_below_the_home_directory() -> None:
    image = target(secrets={"id": "~/.npmrc"})

    assert ("HOME",) == variables(image)
    assert (SecretSource("id", "/home/me/.npmrc"),) == credentials(
        image, {"HOME": "/home/me"}
    ).secrets
    with pytest.raises(InvalidFieldException, match="HOME is not set"):
        credentials(image, {})


SSH: Dict[str, Any] = {
    "default": SshSource("default", ("/agent",)),
    "other": SshSource("other", ("/agent",)),
    "id=/sock": SshSource("id", ("/sock",)),
    "id=~/a,./b": SshSource("id", ("/home/me/a", "{root}/src/app/b")),
}


@pytest.mark.parametrize("entry, expected", SSH.items(), ids=list(SSH))
def test_ssh_entries(entry: str, expected: SshSource) -> None:
    environ = {"HOME": "/home/me", "SSH_AUTH_SOCK": "/agent"}
    image = target(ssh=[entry])
    (found,) = credentials(image, {name: environ[name] for name in variables(image)}).ssh

    paths = tuple(path.format(root=get_buildroot()) for path in expected.paths)
    assert SshSource(expected.id, paths) == found


def test_an_agent_that_is_not_running_is_told_as_such() -> None:
    assert (SshSource("default"),) == credentials(target(ssh=["default"]), {}).ssh
    assert () == variables(target())


# --- whole builds -----------------------------------------------------------------------------------------------------

BUILD = """\
kaniko_image(
    name="image",
    network="none",
    secrets={"token": "./token", "unused": "/nowhere"},
    ssh=["default"],
)
"""
DOCKERFILE = """\
FROM BASE
RUN echo no secret > /first
RUN --mount=type=secret,id=token,env=TOKEN,target=/token cat /token; echo $TOKEN; rev /token > /got
RUN --mount=type=ssh test -S $SSH_AUTH_SOCK
RUN --mount=type=cache,target=/c echo x >> /c/f; wc -l < /c/f > /lines
RUN --mount=type=secret,id=token --mount=type=cache,target=/c echo ran >> /c/runs
"""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """Something that listens."""
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(8)
        yield path


@pytest.fixture
def image(backend: Backend, registry: RealRegistry, agent: Path) -> Backend:
    push(image_of([busybox_layer(busybox())]), _base(registry))
    write(backend, registry, DOCKERFILE)
    options = f"--kaniko-registries={{'r': {{'address': '{registry.address}', 'insecure': True}}}}"
    backend.set_options(options, env={"SSH_AUTH_SOCK": str(agent)})
    return backend


def _base(registry: RealRegistry) -> str:
    return f"{registry.address}/base/busybox:1"


def write(backend: Backend, registry: RealRegistry, dockerfile: str) -> None:
    text = dockerfile.replace("BASE", _base(registry))
    backend.write({"app/BUILD": BUILD, "app/Dockerfile": text, "app/token": CANARY})


def test_a_step_is_told_of_what_it_mounts_and_of_nothing_else(image: Backend, agent: Path) -> None:
    handle = image.plan("app:image").handle
    calls = [
        shapes.step_call(
            BuildStep(handle, number),
            Ready(Step(step.format_version, step.op, step.platform, step.epoch, (), ())),
            (),
            EMPTY_DIGEST,
        )
        for number, step in enumerate(handle.input_steps)
    ]
    requests = [canonical.loads(StepRequest, call.request) for call in calls]
    token = SecretSource("token", os.path.join(image.runner.build_root, "app/token"))
    default = SshSource("default", (str(agent),))

    assert [((), ()), ((token,), ()), ((), (default,)), ((), ()), ((token,), ())] == [
        (request.secrets, request.ssh) for request in requests
    ]
    pure, once = ProcessCacheScope.SUCCESSFUL, ProcessCacheScope.PER_SESSION
    assert [pure, once, once, pure, once] == [call.scope for call in calls]


def test_no_value_reaches_anything_that_stays(
    image: Backend, registry: RealRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Pants' store with its cache of processes, our store, what is packaged, the registry, the log."""
    caplog.set_level(logging.DEBUG)

    files = image.files(image.package("app:image"))

    layers = [gzip.decompress(data) for data in files.values() if data[:2] == b"\x1f\x8b"]
    assert [layer for layer in layers if CANARY[::-1].encode() in layer], "the step saw it"
    assert [] == holders(CANARY, image.store, image.caches, registry.storage)
    assert [] == [data for data in (*files.values(), *layers) if CANARY.encode() in data]
    assert CANARY not in caplog.text
    logs = [path.read_text() for path in (image.caches / "kaniko_store/logs").iterdir()]
    assert "******\n" in logs
    assert [] != holders("busybox", image.store), "the search finds what is there"


def holders(text: str, *roots: Path) -> List[Path]:
    """Files that hold a text."""
    return [
        path
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes()
    ]


def test_another_value_runs_nothing_again(image: Backend) -> None:
    """The engine may ask the executor once more, which finds its record: what must not run is the command."""
    first = image.image("app:image").image
    for value in ("another", "and another"):
        image.write({"app/token": value})
        image.new_session()

        assert first == image.image("app:image").image
    (runs,) = image.caches.rglob("runs")
    assert "ran\n" == runs.read_text()


FAILURES = {
    "required and not given": (
        "RUN --mount=type=secret,id=pass,required true",
        'requires the secret "pass", and the build has none of that id',
    ),
    "given and not there": (
        "RUN --mount=type=secret,id=unused true",
        'the secret "unused" cannot be read from /nowhere: No such file',
    ),
    "printed by a step that fails": (
        "RUN --mount=type=secret,id=token echo got $(cat /run/secrets/token); exit 3",
        "got ***\n",
    ),
}


@pytest.mark.parametrize("line, expected", FAILURES.values(), ids=FAILURES)
def test_an_error_names_the_line_and_no_value(
    image: Backend, registry: RealRegistry, line: str, expected: str
) -> None:
    write(image, registry, f"FROM BASE\n{line}\n")
    image.new_session()

    with pytest.raises(ExecutionError) as error:
        image.package("app:image")

    text = text_of(error.value)
    assert "app/Dockerfile:2: " in text
    assert expected in text
    assert CANARY not in text
    assert [] == holders(CANARY, image.store, image.caches)
