"""What Pants finds by itself: dependencies of a Dockerfile, and Dockerfiles without a target."""

from __future__ import annotations

from typing import Sequence

import pytest
from pants.core.goals.tailor import PutativeTargets
from pants.engine.target import InferredDependencies
from pants.testutil.rule_runner import RuleRunner

from imagebuild.registry.options import RegistryOptions
from pants_kaniko.engine_get.dependencies import InferKanikoDependencies, KanikoInferenceFieldSet
from pants_kaniko.engine_get.tailor import PutativeKanikoTargetsRequest
from pants_kaniko.registries import Registries, RegistriesError
from pants_kaniko.targets import tag_of
from support.backend import Backend

FILES = {
    "app/BUILD": """\
kaniko_image(name="image")
files(name="conf", sources=["conf/*"])
archive(name="bundle", files=[":conf"], format="tar")
archive(name="pressed", files=[":conf"], format="tar.gz")
""",
    "app/conf/one.ini": "",
    "app/conf/two.ini": "",
    "lib/BUILD": 'resource(name="r", source="r.txt")\narchive(name="other", files=[":r"], format="zip")',
    "lib/r.txt": "",
}

COPIES = [
    ("COPY app/bundle.tar /", ["app:bundle"]),
    ("ADD lib/other.zip app/bundle.tar /", ["app:bundle", "lib:other"]),
    ("COPY app/pressed.tar.gz /", ["app:pressed"]),
    ("COPY app/odd..name /", []),
    ("COPY app/conf/one.ini /", ["app/conf/one.ini:../conf"]),
    ("COPY app/conf /", ["app/conf/one.ini:../conf", "app/conf/two.ini:../conf"]),
    ("COPY app/conf/t*.ini ./lib/r.txt /", ["app/conf/two.ini:../conf", "lib:r"]),
    ("COPY . /", []),
    ("COPY ${WHAT}/bundle.tar /", []),
    ("COPY --from=busybox app/bundle.tar /", []),
    ("NONSENSE", []),
]


@pytest.mark.parametrize(("instruction", "expected"), COPIES)
def test_dependencies_are_what_is_copied(
    backend: Backend, instruction: str, expected: Sequence[str]
) -> None:
    backend.write({**FILES, "app/Dockerfile": f"FROM scratch\n{instruction}\n"})
    field_set = KanikoInferenceFieldSet.create(backend.target("app:image"))
    inferred = backend.runner.request(InferredDependencies, [InferKanikoDependencies(field_set)])

    assert list(expected) == sorted(str(address) for address in inferred.include)


def putative(runner: RuleRunner) -> list[tuple[str, str, object]]:
    request = PutativeKanikoTargetsRequest(("", "app", "lib"))
    found = runner.request(PutativeTargets, [request])
    return [(target.path, target.name, dict(target.kwargs)) for target in found]


def test_tailor_adds_a_target_for_each_dockerfile_without_one(backend: Backend) -> None:
    backend.write(
        {
            "app/Dockerfile": "",
            "lib/Dockerfile.dev": "",
            "lib/Dockerfile": "",
            "lib/BUILD": 'kaniko_image(name="owner")',
        }
    )

    assert [
        ("app", "image", {}),
        ("lib", "image", {"source": "Dockerfile.dev"}),
    ] == putative(backend.runner)


def test_tailor_can_be_told_not_to(backend: Backend) -> None:
    backend.set_options("--no-kaniko-tailor")
    backend.write({"app/Dockerfile": ""})

    assert [] == putative(backend.runner)


TAGS = [
    ("docker.io/library/debian:12", "12"),
    ("localhost:5000/x", "latest"),
    ("localhost:5000/x:1@sha256:" + "0" * 64, "1"),
]


@pytest.mark.parametrize(("ref", "expected"), TAGS)
def test_tags(ref: str, expected: str) -> None:
    assert expected == tag_of(ref)


BAD_TABLES = [
    ({"a": "registry.example"}, "must be a table, but was 'registry.example'"),
    ({"a": {}}, "has no address"),
    ({"a": {"address": "x", "insecure": "yes"}}, "'insecure' must be a bool, but was 'yes'"),
    ({"a": {"address": "x", "mirrors": "m"}}, "'mirrors' must be a list"),
    ({"a": {"address": "x"}, "b": {"address": "x"}}, "twice: as 'a' and as 'b'"),
]


@pytest.mark.parametrize(("table", "expected"), BAD_TABLES)
def test_registries_that_are_wrong(table: dict[str, object], expected: str) -> None:
    with pytest.raises(RegistriesError) as caught:
        Registries.from_table(table)

    assert expected in str(caught.value)


def test_how_a_registry_is_reached() -> None:
    entry = {"address": "x", "mirrors": ["m"], "auth_hosts": ["auth.example"]}
    (options,) = Registries.from_table({"a": entry}).options

    assert RegistryOptions("x", mirrors=("m",), auth_hosts=("auth.example",)) == options


def test_a_table_of_docker_is_one_of_ours() -> None:
    table = {
        "default": {
            "address": "x",
            "use_local_alias": True,
            "extra_image_tags": ["t"],
            "skip_push": True,
        },
        "b": {"address": "y", "repository": "r", "default": False},
    }
    first, second = Registries.from_table(table).configured

    assert (True, True, ("t",), "") == (
        first.default,
        first.skip_push,
        first.extra_image_tags,
        first.repository,
    )
    assert (False, False, (), "r") == (
        second.default,
        second.skip_push,
        second.extra_image_tags,
        second.repository,
    )
