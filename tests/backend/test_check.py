"""`pants check`: what it says of the Dockerfiles of targets, and when it fails."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

import pytest
from pants.core.goals.check import Check, CheckResults
from pants.engine.internals.scheduler import ExecutionError

from imagebuild.oci.descriptor import Platform
from pants_kaniko.checks import KanikoCheckFieldSet, KanikoCheckRequest
from support.backend import Backend, text_of
from support.base_image import Image, busybox, busybox_layer, image_of, push, push_index
from support.registry import RealRegistry

GOOD = 'FROM scratch\nCOPY app.txt /\nCMD ["/app"]\n'
BAD = 'FROM scratch\nCOPY app.txt missing.txt /\nWORKDIR app\nCMD ["/app"]\n'
DOUBTFUL = "FROM scratch\nCOPY app.txt /\nCMD /app\n"


def image(name: str, dockerfile: str, fields: str = "", **files: str) -> Dict[str, str]:
    """A directory with a Dockerfile, its target, and a file to copy."""
    build = f"""\
files(name="txt", sources=["*.txt"])
kaniko_image(name="image", context_root="./", dependencies=[":txt"], {fields})
"""
    given = {"BUILD": build, "Dockerfile": dockerfile, "app.txt": "", **files}
    return {f"{name}/{file}": text for file, text in given.items()}


def checked(backend: Backend, names: Sequence[str], *options: str, **env: str) -> CheckResults:
    backend.set_options(*options, env=env)
    targets = [backend.target(f"{name}:image") for name in names]
    field_sets = [KanikoCheckFieldSet.create(target) for target in targets]
    return backend.runner.request(CheckResults, [KanikoCheckRequest(field_sets)])


def one(backend: Backend, files: Dict[str, str], *options: str, **env: str) -> Tuple[int, str]:
    """Exit code and output for the target app:image."""
    backend.write(files)
    (result,) = checked(backend, ["app"], *options, **env).results
    assert result.partition_description == "app:image"
    return result.exit_code, result.stdout + result.stderr


def goal(backend: Backend, *options: str) -> int:
    caches = f"--named-caches-dir={backend.caches}"
    return backend.runner.run_goal_rule(
        Check, global_args=[caches, *options], args=["::"], env_inherit={"PATH", "HOME"}
    ).exit_code


def test_a_good_dockerfile_says_nothing(backend: Backend) -> None:
    assert (0, "") == one(backend, image("app", GOOD))


def test_findings_are_printed_as_a_linter_does(backend: Backend) -> None:
    expected = """\
app/Dockerfile:2: CopySourceNotFound: error: COPY: "missing.txt" matches no file in the build context
    expected: a path or Go glob among the 2 context files (nearest: "app.txt")
    fix: add the target that makes it to `dependencies`, correct the path, or see whether .dockerignore excludes it
app/Dockerfile:3: WorkdirRelativePath: warning: Relative workdir "app" can have unexpected results if the base image changes
    fix: write an absolute path
Found 1 error and 1 warning.
"""
    assert (1, expected) == one(backend, image("app", BAD))


def test_every_target_is_checked_and_one_error_fails_the_goal(backend: Backend) -> None:
    backend.write({**image("good", GOOD), **image("bad", BAD), **image("doubtful", DOUBTFUL)})

    results = checked(backend, ["good", "bad", "doubtful"]).results
    assert [0, 1, 0] == [result.exit_code for result in results]
    assert 1 == goal(backend)


def test_warnings_alone_do_not_fail_the_goal(backend: Backend) -> None:
    backend.write({**image("good", GOOD), **image("doubtful", DOUBTFUL)})

    assert 0 == goal(backend)
    assert 1 == goal(backend, "--kaniko-check=error=true")


OPTIONS = [
    (DOUBTFUL, "", 0, True),
    (DOUBTFUL, "error=true", 1, True),
    (DOUBTFUL, "skip=JSONArgsRecommended;error=true", 0, False),
    (f"# check=error=false\n{DOUBTFUL}", "error=true", 0, True),
    (f"# check=error=true\n{DOUBTFUL}", "", 1, True),
    (f"# check=skip=all\n{DOUBTFUL}", "error=true", 0, False),
]


@pytest.mark.parametrize(("dockerfile", "option", "exit_code", "said"), OPTIONS)
def test_the_option_and_the_directive(
    backend: Backend, dockerfile: str, option: str, exit_code: int, said: bool
) -> None:
    found, text = one(backend, image("app", dockerfile), f"--kaniko-check={option}")

    assert (exit_code, said) == (found, "JSONArgsRecommended" in text)


def test_a_wrong_option_is_an_error(backend: Backend) -> None:
    backend.write(image("app", GOOD))
    with pytest.raises(ExecutionError) as caught:
        checked(backend, ["app"], "--kaniko-check=skp=all")

    assert '`[kaniko].check` is wrong: "skp=all" of the check options is not an option.' in text_of(
        caught.value
    )


def test_the_tool_and_a_target_can_be_skipped(backend: Backend) -> None:
    backend.write({**image("app", BAD, "skip_check=True"), **image("good", GOOD)})

    assert not KanikoCheckFieldSet.is_applicable(backend.target("app:image"))
    assert 0 == goal(backend)
    assert checked(backend, ["app"], "--kaniko-skip").skipped


def test_a_file_that_dockerignore_excludes(backend: Backend) -> None:
    ignore = {"Dockerfile.dockerignore": "*.txt\n"}
    exit_code, text = one(backend, image("app", GOOD, "", **ignore))

    assert 1 == exit_code
    assert "app/Dockerfile:2: CopyIgnoredFile: warning: " in text
    assert "app/Dockerfile:2: CopySourceNotFound: error: " in text


STAGES = "FROM scratch\nCOPY app.txt /\nFROM scratch AS debug\nCOPY debug.log /\n"


@pytest.mark.parametrize(
    ("fields", "options", "exit_code"),
    [
        ("", (), 1),
        ('target_stage="0"', (), 0),
        ('target_stage="0"', ("--kaniko-build-target-stage=debug",), 1),
        ('target_stage="missing"', (), 1),
    ],
)
def test_files_of_other_stages_are_not_missed(
    backend: Backend, fields: str, options: Sequence[str], exit_code: int
) -> None:
    assert exit_code == one(backend, image("app", STAGES, fields), *options)[0]


ARGS = "ARG VERSION\nARG TAG=1\nFROM scratch\nARG NAME\nCOPY $NAME /\n"
BUILD_ARGS = [
    ('extra_build_args=["NAME=app.txt"]', (), ["TAG", "VERSION"]),
    ('extra_build_args=["NAME"], image_tags=["{build_args.TAG}"]', (), ["VERSION"]),
    ('repository="a/{build_args.VERSION}"', ("--kaniko-build-args=['NAME', 'X=1']",), ["TAG"]),
    ('extra_build_args=["NAME", "X=1"]', (), ["TAG", "VERSION", "X"]),
]


@pytest.mark.parametrize(("fields", "options", "expected"), BUILD_ARGS)
def test_build_args_and_what_uses_them(
    backend: Backend, fields: str, options: Sequence[str], expected: Sequence[str]
) -> None:
    exit_code, text = one(backend, image("app", ARGS, fields), *options, NAME="app.txt")
    names = [name for name in ("TAG", "VERSION") if f"ARG {name} is never used" in text]
    undeclared = ["X"] if 'the build argument "X" is declared by no ARG' in text else []

    assert (0, list(expected)) == (exit_code, names + undeclared)


def test_instructions_of_a_build_file(backend: Backend) -> None:
    instructions = 'kaniko_image(name="image", source=None, instructions=["FROM scratch", "RUM x"])'
    exit_code, text = one(backend, {"app/BUILD": instructions})

    assert 1 == exit_code
    assert text.startswith('app/Dockerfile.image:2: UnknownInstruction: error: "RUM" is not')


def test_a_dockerignore_that_is_wrong_fails_its_own_target_only(backend: Backend) -> None:
    ignore = {"Dockerfile.dockerignore": "[\n"}
    backend.write({**image("app", GOOD, "", **ignore), **image("good", GOOD)})

    app, good = checked(backend, ["app", "good"]).results
    assert (1, 0) == (app.exit_code, good.exit_code)
    assert app.stderr.startswith('app/Dockerfile.dockerignore:1: "[" is not a valid pattern')


def test_nothing_is_built_and_base_images_are_asked_for(backend: Backend) -> None:
    files = image("app", "FROM 127.0.0.1:1/base:1\nRUN false\nCOPY app.txt /\n")
    one(backend, files)

    assert ["resolve"] == backend.calls()
    one(backend, files, "--no-kaniko-check-base-images")
    assert [] == backend.calls()


def test_a_registry_that_cannot_be_reached_is_gone_on_without(backend: Backend) -> None:
    dockerfile = "FROM 127.0.0.1:1/base:1\nLABEL a=$OTHER\nCMD /app\n"
    with_it = one(backend, image("app", dockerfile))
    without = one(backend, image("app", dockerfile), "--no-kaniko-check-base-images")
    note = (
        'app/Dockerfile:1: note: the image "127.0.0.1:1/base:1" is not looked at: '
        "http://127.0.0.1:1 can't be reached: connection refused\n"
    )

    assert (0, "JSONArgsRecommended" in without[1]) == (without[0], True)
    assert without == (with_it[0], with_it[1].replace(note, ""))
    assert note in with_it[1]


def for_arm64(config: Dict[str, Any]) -> Image:
    """An image of one layer, and of no index that would say what it is for."""
    return image_of([busybox_layer(busybox())], config, architecture="arm64")


@pytest.fixture
def amd64(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A machine of this platform, whatever it is."""
    monkeypatch.setattr("pants_kaniko.targets.platform_of", lambda _: Platform("linux", "amd64"))
    return backend


def test_a_base_image_for_another_platform(amd64: Backend, registry: RealRegistry) -> None:
    base = f"{registry.address}/for-arm64:1"
    push(for_arm64({}), base)
    found = one(amd64, image("app", f"# no index\nFROM {base}\nCOPY app.txt /\n"))
    expected = f"""\
app/Dockerfile:2: InvalidBaseImagePlatform: warning: Base image {base} was pulled with platform "linux/arm64", expected \
"linux/amd64" for current build
    fix: use an image that is for linux/amd64
Found 0 errors and 1 warning.
"""

    assert (0, expected) == found


def test_variables_of_the_base_image(amd64: Backend, registry: RealRegistry) -> None:
    base = f"{registry.address}/variables:1"
    push(image_of([], {"Env": ["APP_HOME=/srv"]}, architecture="amd64"), base)
    dockerfile = f"FROM {base}\nCOPY app.txt $APP_HOME/\nCOPY app.txt $APPLICATION/\n"
    exit_code, text = one(amd64, image("app", dockerfile))

    assert 0 == exit_code
    assert text.startswith(
        "app/Dockerfile:3: UndefinedVar: warning: Usage of undefined variable '$APPLICATION'\n"
    )
    assert "Found 0 errors and 1 warning." in text
    assert (0, "") == one(amd64, image("app", dockerfile), "--no-kaniko-check-base-images")


BOTH = 'platforms=["linux/amd64", "linux/arm64"]'


def test_every_platform_of_the_target_is_checked(amd64: Backend, registry: RealRegistry) -> None:
    base = f"{registry.address}/both:1"
    images = {
        "amd64": image_of([], {"Env": ["A=1"]}, architecture="amd64"),
        "arm64": image_of([], {"Env": ["B=1"]}, architecture="arm64"),
    }
    push_index(images, base)
    dockerfile = f"""\
FROM --platform=$BUILDPLATFORM {base} AS build
LABEL a=$A
FROM {base}
ARG TARGETARCH
COPY app.$TARGETARCH.txt /
LABEL a=$A c=$C
"""
    files = image("app", dockerfile, BOTH, **{"app.amd64.txt": ""})
    exit_code, text = one(amd64, files)
    lines = [line for line in text.splitlines() if not line.startswith(("    fix", "    exp"))]

    assert 1 == exit_code
    assert [
        'app/Dockerfile:5: CopySourceNotFound: error: COPY: "app.arm64.txt" matches no file in the build context',
        "    platform: linux/arm64",
        "app/Dockerfile:6: UndefinedVar: warning: Usage of undefined variable '$A'",
        "    platform: linux/arm64",
        "app/Dockerfile:6: UndefinedVar: warning: Usage of undefined variable '$C'",
        "Found 1 error and 2 warnings.",
    ] == lines
    assert ["resolve"] == amd64.calls()


def test_a_platform_that_the_base_image_is_not_there_for(
    amd64: Backend, registry: RealRegistry
) -> None:
    base = f"{registry.address}/one:1"
    push_index({"amd64": image_of([], {"Env": ["A=1"]}, architecture="amd64")}, base)
    exit_code, text = one(amd64, image("app", f"FROM {base}\nLABEL a=$B\n", BOTH))

    assert 1 == exit_code
    assert (
        text
        == f"""\
app/Dockerfile:1: InvalidBaseImagePlatform: error: the image "{base}" has nothing for linux/arm64
    expected: one of linux/amd64
    fix: use an image that is built for this platform
    platform: linux/arm64
app/Dockerfile:2: UndefinedVar: warning: Usage of undefined variable '$B'
    fix: give it a value with ARG or ENV in this stage, or write ${{B:-}}
    platform: linux/amd64
Found 1 error and 1 warning.
"""
    )


def test_triggers_of_base_images_may_name_further_images(
    amd64: Backend, registry: RealRegistry
) -> None:
    tools, base = f"{registry.address}/tools:1", f"{registry.address}/with-triggers:1"
    push(for_arm64({}), tools)
    triggers = [f"COPY --from={tools} /bin/sh /", "COPY package.json /"]
    push(image_of([], {"OnBuild": triggers}, architecture="amd64"), base)
    exit_code, text = one(amd64, image("app", f'FROM {base}\nCMD ["/app"]\n'))

    assert 1 == exit_code
    assert ["resolve", "resolve"] == amd64.calls()
    assert f"app/Dockerfile:1: InvalidBaseImagePlatform: warning: Base image {tools} was" in text
    assert "app/Dockerfile:1: CopySourceNotFound: error: FROM: the trigger" in text


def test_images_that_cannot_be_read_are_each_gone_on_without(
    backend: Backend, registry: RealRegistry
) -> None:
    good, missing = f"{registry.address}/good:1", f"{registry.address}/missing:1"
    push(image_of([], {"Env": ["A=1"]}), good)
    dockerfile = (
        f"FROM {good}\nLABEL a=$B\nCOPY --from={missing} /a /\nCOPY --from=127.0.0.1:1/b /b /\n"
    )
    exit_code, text = one(backend, image("app", dockerfile))

    assert 0 == exit_code
    assert (
        f"""\
app/Dockerfile:3: note: the image "{missing}" is not looked at: it is not in its registry
app/Dockerfile:4: note: the image "127.0.0.1:1/b:latest" is not looked at: http://127.0.0.1:1 can't be reached: \
connection refused
Found 0 errors and 1 warning.
"""
        in text
    )


def test_what_could_not_be_read_is_asked_for_again(
    backend: Backend, registry: RealRegistry
) -> None:
    digest = push(image_of([], {"Env": ["A=1"]}), f"{registry.address}/pinned:1")
    pinned = f"FROM {registry.address}/pinned@{digest}\n"
    for line, calls in ((pinned, []), (pinned.replace("/pinned", "/other"), ["resolve"])):
        one(backend, image("app", f"{line}LABEL a=$A\n"))
        assert ["resolve"] == backend.calls()
        one(backend, image("app", f"{line}LABEL a=$A\n"))
        assert calls == backend.calls()


def test_a_check_needs_no_executor(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is made of what a package index has."""
    monkeypatch.setattr("pants_kaniko.shapes.process", lambda *_: 1 / 0)
    exit_code, text = one(backend, image("app", "FROM 127.0.0.1:1/base:1\nLABEL a=$OTHER\n"))

    assert 0 == exit_code
    assert text.endswith(" is not looked at: division by zero\n")
