"""Bad input: each case has its message, and leaves nothing half-written behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, NamedTuple, Tuple, Type

import pytest

from imagebuild.errors import (
    AuthenticationError,
    CommandFailedError,
    ContextError,
    DigestMismatchError,
    DockerfileError,
    ImageBuildError,
    NotFoundError,
    RegistryError,
    StepError,
)
from imagebuild.execute.build import build
from imagebuild.execute.build_plan import BuildOptions
from imagebuild.execute.effects import Effects
from imagebuild.execute.requests import CacheOptions
from support.builds import HERE, Machine, machine
from support.registry import running_registry


class Bad(NamedTuple):
    dockerfile: str
    error: Type[ImageBuildError]
    line: int
    says: Tuple[str, ...]


CASES: Dict[str, Bad] = {
    "empty Dockerfile": Bad("", DockerfileError, 1, ("no instructions", "FROM")),
    "unknown instruction": Bad("FROM BASE\nRUM true\n", DockerfileError, 2, ("RUM", "RUN")),
    "unknown flag": Bad("FROM BASE\nCOPY --frm=x a /\n", DockerfileError, 2, ("--frm", "--from")),
    "bad JSON form": Bad(
        'FROM BASE\nSHELL ["/bin/sh" "-c"]\n', DockerfileError, 2, ("SHELL", "JSON")
    ),
    "copy of nothing": Bad(
        "FROM BASE\nCOPY missing /\n", ContextError, 2, ('"missing"', "matches no file")
    ),
    "copy outside": Bad("FROM BASE\nCOPY ../x /\n", ContextError, 2, ("../x", "context")),
    "unknown stage": Bad(
        "FROM BASE AS a\nFROM BASE\nCOPY --from=9 /x /\n", DockerfileError, 3, ("9",)
    ),
    "copy of nothing from a stage": Bad(
        "FROM BASE AS a\nFROM BASE\nCOPY --from=a /missing /\n",
        ContextError,
        3,
        ("missing", "matches nothing"),
    ),
    "unknown user": Bad("FROM BASE\nUSER ghost\nRUN true\n", StepError, 3, ("ghost", "etc/passwd")),
    "unknown owner": Bad(
        "FROM BASE\nCOPY --chown=ghost here /\n", StepError, 2, ("ghost", "etc/passwd")
    ),
    "a uid that wraps": Bad(
        "FROM BASE\nUSER 4294967296\nRUN true\n", ImageBuildError, 2, ("4294967296",)
    ),
    "a command that exits 7": Bad(
        "FROM BASE\nRUN echo said; exit 7\n", CommandFailedError, 2, ("exited 7",)
    ),
    "a command that is not there": Bad(
        'FROM BASE\nRUN ["/no/such"]\n', StepError, 2, ("/no/such",)
    ),
    "a file over a directory": Bad(
        "FROM BASE\nCOPY here /x/\nRUN mkdir /y\nCOPY tree /\n", ContextError, 4, ("directory",)
    ),
}
FILES = {"here": "here", "tree/y": "a file where /y is a directory"}


@pytest.mark.parametrize("bad", CASES.values(), ids=CASES.keys())
def test_a_bad_dockerfile_is_explained_at_its_line(here: Machine, bad: Bad) -> None:
    with pytest.raises(bad.error) as caught:
        here.build(bad.dockerfile, FILES)

    text = str(caught.value)
    assert f"Dockerfile:{bad.line}" in text
    assert [] == [word for word in bad.says if word not in text], text
    assert [] == leftovers(here)


def test_the_output_of_a_failing_command_is_shown_and_kept(
    here: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandFailedError) as caught:
        here.build("FROM BASE\nRUN seq 1 80; echo oops >&2; exit 7\n")

    shown = capfd.readouterr().err.splitlines()
    assert 7 == caught.value.command_exit_code
    assert ["... 31 lines before this are in the full log", "32"] == shown[:2]
    assert "oops" == shown[-1]
    log = Path(caught.value.hint.rpartition(" ")[2])
    assert 81 == len(log.read_text().splitlines())


def test_no_dockerfile(here: Machine) -> None:
    with pytest.raises(ContextError, match='there is no "Dockerfile"'):
        build(str(here.directory), "Dockerfile", BuildOptions(HERE), Effects(here.store, {}))


def test_an_unreachable_registry(here: Machine) -> None:
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:1") as caught:
        here.build("FROM 127.0.0.1:1/nothing:1\n")

    assert caught.value.hint


def test_an_unknown_tag(here: Machine) -> None:
    missing = here.base.replace(":1", ":unknown")

    with pytest.raises(NotFoundError, match="is not in its registry") as caught:
        here.build(f"FROM {missing}\n")

    assert "tag" in caught.value.hint


def test_wrong_credentials(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry", password=True) as registry:
        here = Machine(tmp_path, registry, f"{registry.address}/x:1", "")
        with pytest.raises(AuthenticationError) as caught:
            here.build("FROM BASE\n", cache=CacheOptions())

    assert registry.address in str(caught.value)
    assert caught.value.hint


def test_other_bytes_than_the_digest_says(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry") as registry:
        here = machine(tmp_path / "here", registry)
        layer = here.build("FROM BASE\n").image.layers[0].descriptor
        blob = registry.blob_path(str(layer.digest))
        blob.write_bytes(b"x" * layer.size)

        with pytest.raises(DigestMismatchError) as caught:
            here.build("FROM BASE\nRUN true\n")

    assert str(layer.digest) in str(caught.value)
    assert not here.store.has_blob(layer.digest)
    assert [] == leftovers(here)


FULL = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.builds import Machine, write_files
from support.registry import RealRegistry
from imagebuild.errors import ImageBuildError
here = Machine(Path({directory!r}), None, {base!r}, "")
try:
    here.build({dockerfile!r}, {{"big": b"x"}}, compression="none")
except ImageBuildError as error:
    print(error)
else:
    sys.exit("the build fitted")
"""


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM BASE\nRUN head -c 40000000 /dev/urandom > /big\n",
        "FROM BASE\nRUN yes | head -c 9000000 > /a; cp /a /b\n",
    ],
    ids=["the command's own writes", "the layer"],
)
def test_a_full_disk(here: Machine, dockerfile: str) -> None:
    """The store on 16 MiB, in a mount namespace of its own: a clear error, and room again afterwards."""
    store = here.directory / "store"
    store.mkdir()
    program = FULL.format(
        path=sys.path, directory=str(here.directory), base=here.base, dockerfile=dockerfile
    )
    script = f"mount -t tmpfs -o size=24m full {store} && exec {sys.executable} -c '$PROGRAM'"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script.replace("'", '"')],
        env={**os.environ, "PROGRAM": program},
        capture_output=True,
        check=False,
    )

    said = (done.stdout + done.stderr).decode()
    assert "No space left" in said or "is full" in said, said
    assert "fix: free space" in said
    assert "Traceback" not in said


def leftovers(here: Machine) -> list[str]:
    """What a build must not leave: temporary files and directories, mounts, processes."""
    store = here.directory / "store"
    found = [
        str(path)
        for name in ("ingest", "work")
        if (store / name).exists()
        for path in (store / name).iterdir()
    ]
    return found + [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(store) in line
    ]
