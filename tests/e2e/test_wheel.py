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


def write_image(repository: Repository) -> None:
    repository.write("app/BUILD", BUILD)
    repository.write("app/hello.txt", "hello\n")
    repository.write("app/Dockerfile", "FROM scratch\nWORKDIR /srv\nCOPY hello.txt .\n")


def test_a_second_repository_loads_the_wheel_by_its_name_alone(repository: Repository) -> None:
    assert "kaniko_image" in repository.run("help", "kaniko_image").stdout
    assert "default_repository" in repository.run("help", "kaniko").stdout


def test_it_builds_an_image_with_nothing_else_installed(repository: Repository) -> None:
    write_image(repository)

    said = repository.run("package", "app:image").stderr

    assert "2 steps: 2 built" in said
    assert "kaniko_executor.pex" not in said
    assert list((repository.root / "dist" / "app").iterdir())


NO_AUTHORITY = """
[subprocess-environment]
env_vars.add = ["SSL_CERT_FILE=/dev/null", "SSL_CERT_DIR=/nowhere"]
"""


def test_pex_gets_the_libraries_where_they_cannot_be_fetched(repository: Repository) -> None:
    """It trusts its own authorities, or those of `[GLOBAL].ca_certs_path`."""
    toml = (repository.root / "pants.toml").read_text()
    repository.write("pants.toml", toml + NO_AUTHORITY)
    write_image(repository)

    said = repository.run("package", "app:image").stderr

    assert "Pex gets the image executor's libraries instead: https://" in said
    assert "Building kaniko_executor.pex" in said
    assert "2 steps: 2 built" in said
