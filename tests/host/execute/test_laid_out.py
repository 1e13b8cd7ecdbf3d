"""Steps by the executor that processes run: with lean modules, and children that can load no more of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Tuple

import pytest

from imagebuild import canonical
from imagebuild.execute.pure_requests import StepResult
from support.laid_out import PYTHON, laid_out
from support.steps import Steps

FAILURES = [
    ({"args": ("nosuch",)}, '"nosuch": not found in PATH of the image'),
    ({"args": ("/bin",)}, '"/bin" cannot be executed: /bin: Permission denied'),
    ({"user": "stranger"}, 'there is no "stranger" in the image\'s etc/passwd'),
    ({}, "exited 7"),
]


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laid_out(tmp_path_factory.mktemp("laid-out"))


@pytest.fixture(params=["namespace", "chroot"])
def either(request: Any, tmp_path: Path) -> Steps:
    return Steps.at(tmp_path, runtime=request.param)


def step(executor: Path, steps: Steps, script: str, **options: Any) -> Tuple[int, str]:
    """Exit code and messages."""
    request, result = steps.directory / "request.json", steps.directory / "result.json"
    request.write_bytes(canonical.dumps(steps.request(script, (), **options)))
    paths = ("--request", request, "--result", result, "--store", steps.store.root)
    done = subprocess.run(
        [*PYTHON, executor / "main.py", "step", *paths], stderr=subprocess.PIPE, check=False
    )
    return done.returncode, done.stderr.decode()


def test_it_makes_the_layer_that_the_core_makes(executor: Path, either: Steps) -> None:
    script = "echo text > file; mkdir dir; ln -s file dir/link; touch 'odd\\name' '#odd'"

    assert (0, "") == step(executor, either, script)
    result = canonical.loads(StepResult, (either.directory / "result.json").read_bytes())
    assert result.layer is not None
    index = either.store.index_of(result.layer.diff_id)
    assert index is not None
    found = {entry.path.decode() for entry in index.scan()} - {"."}

    assert set(either.run(script).layer) == found
    assert {"file", "dir/link", "odd\\name", "#odd"} <= found


@pytest.mark.parametrize(("options", "message"), FAILURES, ids=[text for _, text in FAILURES])
def test_failures_are_told(executor: Path, either: Steps, options: Any, message: str) -> None:
    code, said = step(executor, either, "exit 7", **options)

    assert 10 == code
    assert message in said
    assert "Traceback" not in said
