"""From a target and the options to a plan: stages, arguments, labels, names, cache repository."""

from __future__ import annotations

from typing import Sequence, Tuple

import pytest
from pants.engine.internals.scheduler import ExecutionError

from pants_kaniko.plans import PlannedImage
from support.backend import Backend, text_of
from support.registry import RealRegistry

DOCKERFILE = """\
ARG VERSION=1.0
FROM scratch AS Base
ARG WHO=nobody
LABEL who=$WHO
FROM base AS debug
WORKDIR /debug
FROM base
WORKDIR /srv
"""
REGISTRIES = (
    "--kaniko-registries={'a': {'address': 'a.example', 'default': True},"
    " 'b': {'address': 'b.example:5000', 'repository': 'b/{target_repository}'}}"
)


def planned(backend: Backend, fields: str, *options: str, **env: str) -> PlannedImage:
    backend.set_options(*options, env=env)
    backend.write(
        {"app/BUILD": f'kaniko_image(name="image", {fields})', "app/Dockerfile": DOCKERFILE}
    )
    return backend.plan("app:image")


def stages(image: PlannedImage) -> Tuple[str, ...]:
    return tuple(origin.stage for origin in image.handle.plan.origins)


STAGES = [
    ("", (), ("2",)),
    ('target_stage="debug"', (), ("debug",)),
    ('target_stage="base"', ("--kaniko-build-target-stage=DEBUG",), ("debug",)),
    ("", ("--kaniko-build-target-stage=missing",), ("2",)),
]


@pytest.mark.parametrize(("fields", "options", "expected"), STAGES)
def test_only_the_target_stage_has_steps(
    backend: Backend, fields: str, options: Sequence[str], expected: Tuple[str, ...]
) -> None:
    assert expected == stages(planned(backend, fields, *options))


ARGUMENTS = [
    ((), "", "nobody"),
    (("--kaniko-build-args=['WHO=option']",), "", "option"),
    (("--kaniko-build-args=['WHO=option']",), 'extra_build_args=["WHO=field"]', "field"),
    ((), 'extra_build_args=["WHO"]', "environment"),
]


@pytest.mark.parametrize(("options", "fields", "expected"), ARGUMENTS)
def test_build_args_come_from_options_fields_and_environment(
    backend: Backend, options: Sequence[str], fields: str, expected: str
) -> None:
    image = planned(backend, fields, *options, WHO="environment")

    assert (("who", expected),) == image.handle.plan.config.labels


UNDECLARED = [
    (("--kaniko-build-args=['SHARED=1']",), "", []),
    ((), 'extra_build_args=["OWN=1"]', ["OWN"]),
    (("--kaniko-build-args=['OWN=1', 'SHARED=1']",), 'extra_build_args=["OWN=2"]', ["OWN"]),
]


@pytest.mark.parametrize(("options", "fields", "expected"), UNDECLARED)
def test_only_the_target_s_own_build_args_have_to_be_declared(
    backend: Backend, options: Sequence[str], fields: str, expected: Sequence[str]
) -> None:
    warnings = planned(backend, fields, *options).handle.plan.warnings

    assert [
        f'app/Dockerfile: the build argument "{name}" is declared by no ARG and has no effect'
        for name in expected
    ] == [text for text in warnings if "build argument" in text]


MISSING_BASES = [
    ("FROM scratch\nFROM {base}\n", 2, "FROM {base}"),
    ("FROM scratch\nCOPY --from={base} a /\n", 2, "COPY --from={base} a /"),
]


@pytest.mark.parametrize(("dockerfile", "line", "text"), MISSING_BASES)
def test_a_base_image_that_is_not_there_names_the_line_that_wants_it(
    backend: Backend, registry: RealRegistry, dockerfile: str, line: int, text: str
) -> None:
    base = f"{registry.address}/missing:1"
    backend.write(
        {
            "app/BUILD": 'kaniko_image(name="image")',
            "app/Dockerfile": dockerfile.format(base=base),
        }
    )
    with pytest.raises(ExecutionError) as caught:
        backend.plan("app:image")

    said = text_of(caught.value)
    assert said.startswith(f"app/Dockerfile:{line}: ")
    assert f">>  {line} | {text.format(base=base)}" in said
    assert f'the image "{base}" is not in its registry' in said


def test_labels_are_filled_in(backend: Backend) -> None:
    image = planned(backend, 'image_labels={"version": "v{build_args.VERSION}"}')

    assert "v1.0" == dict(image.handle.plan.config.labels)["version"]


NAMES = [
    ("", [("", ("image:latest",))]),
    ('registries=["@b"]', [("b.example:5000", ("b.example:5000/b/image:latest",))]),
    (
        'registries=["@a", "c.example"], repository="Team/{name}", image_tags=["{build_args.VERSION}", "x"]',
        [
            ("a.example", ("a.example/team/image:1.0", "a.example/team/image:x")),
            ("c.example", ("c.example/team/image:1.0", "c.example/team/image:x")),
        ],
    ),
]


@pytest.mark.parametrize(("fields", "expected"), NAMES)
def test_names(backend: Backend, fields: str, expected: object) -> None:
    options = [REGISTRIES] if fields else []
    names = planned(backend, fields, *options).names

    assert expected == [(name.registry, name.refs) for name in names]


CACHES = [
    ("", (), ""),
    ("", (REGISTRIES,), "a.example/image/cache"),
    ('repository="{directory}/x"', (REGISTRIES,), "a.example/app/x/cache"),
    ("", (REGISTRIES, "--kaniko-cache-repo=c.example/{name}/layers"), "c.example/image/layers"),
    (
        'cache_repo="d.example/cache"',
        (REGISTRIES, "--kaniko-cache-repo=c.example/x"),
        "d.example/cache",
    ),
]


@pytest.mark.parametrize(("fields", "options", "expected"), CACHES)
def test_cache_repository(
    backend: Backend, fields: str, options: Sequence[str], expected: str
) -> None:
    assert expected == planned(backend, fields, *options).handle.settings.cache.repository


TTLS = [
    ("", (), 0),
    ("", ("--kaniko-cache-ttl=336h",), 1209600),
    ('cache_ttl="1h30m"', ("--kaniko-cache-ttl=9",), 5400),
]


@pytest.mark.parametrize(("fields", "options", "expected"), TTLS)
def test_cache_ttl(backend: Backend, fields: str, options: Sequence[str], expected: int) -> None:
    assert expected == planned(backend, fields, *options).handle.settings.cache.ttl


def test_a_moved_line_is_another_plan_with_the_same_steps(backend: Backend) -> None:
    """So that messages name the line of today, and no process sees the difference."""
    first = planned(backend, "").handle
    backend.write({"app/Dockerfile": "# comment\n" + DOCKERFILE})
    backend.new_session()
    second = backend.plan("app:image").handle

    assert first != second
    assert first.graph == second.graph
    assert first.input_steps == second.input_steps


WRONG = [
    (
        'registries=["@missing"]',
        (),
        "No registry has the alias 'missing'. Configured in `[kaniko].registries` are: none.",
    ),
    (
        'image_tags=["{build_args.MISSING}"]',
        (),
        "The build arg 'MISSING' has no value. Those that have one are: VERSION.",
    ),
    ('image_tags=["a b"]', (), 'image name "image:a b" is not valid'),
    ('repository="UPPER//x"', (), '"upper//x" is not a repository name'),
    ('target_stage="debg"', (), "did you mean debug?"),
    (
        "",
        ("--kaniko-runtime=docker",),
        '`[kaniko].runtime` must be one of "auto", "namespace", "chroot"',
    ),
    (
        "",
        ("--kaniko-cache-ttl=soon",),
        "`[kaniko].cache_ttl` must be a duration, but was 'soon'. Use for example \"336h\"",
    ),
    ("", ("--kaniko-registries={'a': {'adress': 'x'}}",), "has the unknown key 'adress'"),
]


@pytest.mark.parametrize(("fields", "options", "expected"), WRONG)
def test_what_is_wrong_is_said(
    backend: Backend, fields: str, options: Sequence[str], expected: str
) -> None:
    with pytest.raises(ExecutionError) as caught:
        planned(backend, fields, *options)

    assert expected in text_of(caught.value)
