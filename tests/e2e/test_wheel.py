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

[python-bootstrap]
search_path = ["/nowhere"]

[anonymous-telemetry]
enabled = false
"""
BUILD = """
files(name="files", sources=["*.txt"])
kaniko_image(name="image", dependencies=[":files"], context_root="./")
"""


@pytest.fixture
def wheel() -> Path:
    """The wheel that Pants put into the test's directory."""
    (found,) = Path.cwd().glob("pants_kaniko-*.whl")
    return found.resolve()


@pytest.fixture
def repository(wheel: Path, tmp_path: Path) -> Repository:
    """Another repository, on a machine where nothing has run and Pants' own Python is the only one."""
    version = wheel.name.split("-")[1]
    caches = {
        "PANTS_LOCAL_STORE_DIR": str(tmp_path / "store"),
        "PANTS_NAMED_CACHES_DIR": str(tmp_path / "caches"),
    }
    made = Repository(tmp_path / "repository", caches)
    made.write("pants.toml", PANTS_TOML.format(version=version, wheels=wheel.parent))
    return made


def test_a_second_repository_loads_the_wheel_by_its_name_alone(repository: Repository) -> None:
    assert "kaniko_image" in repository.run("help", "kaniko_image").stdout
    assert "default_repository" in repository.run("help", "kaniko").stdout


def test_it_builds_an_image_with_nothing_else_installed(repository: Repository) -> None:
    repository.write("app/BUILD", BUILD)
    repository.write("app/hello.txt", "hello\n")
    repository.write("app/Dockerfile", "FROM scratch\nWORKDIR /srv\nCOPY hello.txt .\n")

    said = repository.run("package", "app:image").stderr

    assert "2 steps: 2 built" in said
    assert list((repository.root / "dist" / "app").iterdir())
