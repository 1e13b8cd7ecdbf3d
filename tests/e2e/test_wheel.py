"""The wheel, in a repository that has nothing else of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.repository import Repository

PANTS_TOML = """
[GLOBAL]
pants_version = "2.17.1"
plugins = ["pants-kaniko=={version}"]
backend_packages = ["pants_kaniko"]

[python-repos]
find_links = ["file://{wheels}"]

[anonymous-telemetry]
enabled = false
"""


@pytest.fixture
def wheel() -> Path:
    """The wheel that Pants put into the test's directory."""
    (found,) = Path.cwd().glob("pants_kaniko-*.whl")
    return found.resolve()


def test_a_second_repository_loads_the_wheel_by_its_name_alone(wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]
    repository = Repository(tmp_path)
    repository.write("pants.toml", PANTS_TOML.format(version=version, wheels=wheel.parent))

    assert "kaniko_image" in repository.run("help", "kaniko_image").stdout
    assert "default_repository" in repository.run("help", "kaniko").stdout
