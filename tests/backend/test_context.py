"""What of a target's dependencies is in its build context, and under which path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Sequence

import pytest
from pants.core.target_types import FileSourceField
from pants.engine.addresses import Address
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.rules import QueryRule, collect_rules, rule
from pants.engine.target import FieldSet, InferDependenciesRequest, InferredDependencies
from pants.engine.unions import UnionRule

from pants_kaniko.engine_get.context import ContextTargets
from pants_kaniko.plans import ContextRequest
from support.backend import Backend, text_of

FILES = {
    "app/Dockerfile": "FROM scratch\n",
    "app/one.txt": "1",
    "app/sub/two.txt": "2",
    "lib/three.txt": "3",
    "lib/tool.sh": "#!/bin/sh\n",
    "lib/BUILD": """\
file(name="three", source="three.txt")
shell_source(name="tool", source="tool.sh")
archive(name="packed", files=[":three"], format="tar")
""",
}


def assert_context(backend: Backend, build: str, *, expected: Sequence[str], **more: str) -> None:
    backend.write({**FILES, "app/BUILD": build, **more})
    context = backend.context("app:image")

    assert list(expected) == [entry.path for entry in context.entries]
    assert set(expected) == set(context.files)


def test_files_of_direct_dependencies_keep_their_paths(backend: Backend) -> None:
    build = 'files(name="txt", sources=["**/*.txt"])\nkaniko_image(name="image", dependencies=[":txt", "lib:three"])'
    expected = ["app/Dockerfile", "app/one.txt", "app/sub/two.txt", "lib/three.txt"]
    assert_context(backend, build, expected=expected)


def test_packages_lie_under_their_output_path_and_bring_none_of_their_sources(
    backend: Backend,
) -> None:
    build = 'kaniko_image(name="image", dependencies=["lib:packed"])'
    assert_context(backend, build, expected=["app/Dockerfile", "lib/packed.tar"])


BEHIND_FILES = {
    "of the generator": 'files(name="txt", sources=["*.txt"], dependencies=["lib:packed"])',
    "of one of its files": """
files(name="txt", sources=["*.txt"], overrides={"one.txt": {"dependencies": ["lib:packed"]}})
""",
    "by default": """
__defaults__({files: {"dependencies": ["lib:packed"]}})
files(name="txt", sources=["*.txt"])
""",
    "two away": """
files(name="other", sources=["sub/*"], dependencies=["lib:packed"])
files(name="txt", sources=["*.txt"], dependencies=[":other"])
""",
}


@pytest.mark.parametrize("build", BEHIND_FILES.values(), ids=BEHIND_FILES)
def test_packages_that_files_depend_on_are_there(backend: Backend, build: str) -> None:
    build += '\nkaniko_image(name="image", dependencies=[":txt"])'
    assert_context(backend, build, expected=["app/Dockerfile", "app/one.txt", "lib/packed.tar"])


@pytest.mark.parametrize("ignored", ["!!lib:packed", "!lib:packed"])
def test_packages_that_are_left_out_are_not(backend: Backend, ignored: str) -> None:
    """One ! is for direct dependencies only, as everywhere."""
    build = f"""
files(name="txt", sources=["*.txt"], dependencies=["lib:packed"])
kaniko_image(name="image", dependencies=[":txt", "lib:three", "{ignored}"])
"""
    expected = ["app/Dockerfile", "app/one.txt", "lib/three.txt"]
    behind = [] if ignored.startswith("!!") else ["lib/packed.tar"]
    assert_context(backend, build, expected=sorted([*expected, *behind]))


LEAVES = """
files(name="txt", sources=["**/*.txt"])
files(name="behind", sources=["*.txt"], dependencies=["lib:packed"])
kaniko_image(name="image", dependencies=[":txt", ":behind", "lib:three"])
"""


def test_files_with_nothing_behind_them_are_no_targets_each(tmp_path: Path) -> None:
    """The price of each would be paid in every run."""
    backend = Backend(tmp_path, rules=[QueryRule(ContextTargets, (ContextRequest,))])
    backend.write({**FILES, "app/BUILD": LEAVES})
    request = ContextRequest(backend.target("app:image").address)

    found = backend.runner.request(ContextTargets, [request])

    assert ["app:txt"] == [target.address.spec for target in found.leaves]
    assert {"app/one.txt:behind", "lib:three"} == {target.address.spec for target in found.direct}
    assert "lib:packed" in {target.address.spec for target in found.needed}


@dataclass(frozen=True)
class TextFiles(FieldSet):
    required_fields = (FileSourceField,)
    source: FileSourceField


class InferOfTexts(InferDependenciesRequest[TextFiles]):
    infer_from = TextFiles


@rule
async def infer_of_texts(request: InferOfTexts) -> InferredDependencies:
    if not request.field_set.source.file_path.endswith("one.txt"):
        return InferredDependencies([])
    return InferredDependencies([Address("lib", target_name="packed")])


def test_packages_that_another_backend_infers_of_files_are_there(tmp_path: Path) -> None:
    rules = [*collect_rules(globals()), UnionRule(InferDependenciesRequest, InferOfTexts)]
    build = """
files(name="txt", sources=["*.txt"])
kaniko_image(name="image", dependencies=[":txt"])
"""
    expected = ["app/Dockerfile", "app/one.txt", "lib/packed.tar"]
    assert_context(Backend(tmp_path, rules=rules), build, expected=expected)


def test_a_file_that_is_not_there_is_told(backend: Backend) -> None:
    build = 'file(name="no", source="no.txt")\nkaniko_image(name="image", dependencies=[":no"])'
    backend.write({**FILES, "app/BUILD": build})
    with pytest.raises(ExecutionError) as caught:
        backend.context("app:image")

    assert "must have 1 file, but it had 0" in text_of(caught.value)


def test_one_of_the_files_is_enough(backend: Backend) -> None:
    build = """
files(name="txt", sources=["**/*.txt"])
kaniko_image(name="image", dependencies=["./one.txt:txt"])
"""
    assert_context(backend, build, expected=["app/Dockerfile", "app/one.txt"])


@pytest.mark.parametrize(("parameter", "behind"), [("a", ["lib/packed.tar"]), ("b", [])])
def test_files_may_be_parametrized(backend: Backend, parameter: str, behind: Sequence[str]) -> None:
    build = f"""
files(name="txt", sources=["*.txt"], dependencies=parametrize(a=["lib:packed"], b=[]))
kaniko_image(name="image", dependencies=[":txt@dependencies={parameter}"])
"""
    assert_context(backend, build, expected=["app/Dockerfile", "app/one.txt", *behind])


def test_resources_and_shell_sources_are_files_too(backend: Backend) -> None:
    build = 'resources(name="r", sources=["*.txt"])\nkaniko_image(name="image", dependencies=[":r", "lib:tool"])'
    assert_context(backend, build, expected=["app/Dockerfile", "app/one.txt", "lib/tool.sh"])


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("app", ["Dockerfile", "one.txt"]),
        ("./", ["Dockerfile", "one.txt"]),
        (".", ["Dockerfile", "one.txt"]),
        ("lib", ["three.txt"]),
    ],
)
def test_context_root_is_cut_off(backend: Backend, root: str, expected: Sequence[str]) -> None:
    build = f"""\
files(name="txt", sources=["*.txt"])
kaniko_image(name="image", context_root={root!r}, dependencies=[":txt", "lib:three"])
"""
    assert_context(backend, build, expected=expected)


IGNORE_FILES = [
    ({".dockerignore": "**/*.txt\n!lib/three.*\n"}, ["app/Dockerfile", "lib/three.txt"]),
    (
        {"app/Dockerfile.dockerignore": "lib\n", ".dockerignore": "app\n"},
        ["app/Dockerfile", "app/one.txt"],
    ),
]


@pytest.mark.parametrize(
    ("ignores", "expected"), IGNORE_FILES, ids=["root", "beside the Dockerfile"]
)
def test_dockerignore_takes_files_out(
    backend: Backend, ignores: Dict[str, str], expected: Sequence[str]
) -> None:
    build = 'files(name="txt", sources=["*.txt"])\nkaniko_image(name="image", dependencies=[":txt", "lib:three"])'
    assert_context(backend, build, expected=expected, **ignores)


def test_the_digest_of_a_file_is_that_of_its_bytes(backend: Backend) -> None:
    backend.write({**FILES, "app/BUILD": 'kaniko_image(name="image", dependencies=["lib:three"])'})
    entry = backend.context("app:image").entries[-1]

    assert entry.digest is not None
    assert "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce" == entry.digest.hex
    assert 1 == entry.size


DOCKERFILES = [
    ('kaniko_image(name="image", source=None)', "has no Dockerfile"),
    ('kaniko_image(name="image", source="Dockerfile.other")', "has no Dockerfile"),
    (
        'kaniko_image(name="image", instructions=["FROM scratch"])',
        "has both a Dockerfile (app/Dockerfile)",
    ),
]


@pytest.mark.parametrize(("build", "expected"), DOCKERFILES)
def test_a_target_has_one_dockerfile(backend: Backend, build: str, expected: str) -> None:
    backend.write({**FILES, "app/BUILD": build})
    with pytest.raises(ExecutionError) as caught:
        backend.context("app:image")

    assert expected in text_of(caught.value)
