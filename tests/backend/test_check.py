"""`pants check`: what it says of the Dockerfiles of targets, and when it fails."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

import pytest
from pants.core.goals.check import Check, CheckResults
from pants.engine.internals.scheduler import ExecutionError

from pants_kaniko.checks import KanikoCheckFieldSet, KanikoCheckRequest
from support.backend import Backend, text_of

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


def test_nothing_is_built_and_no_registry_is_asked(backend: Backend) -> None:
    one(backend, image("app", "FROM registry.example/base:1\nRUN false\nCOPY app.txt /\n"))

    assert [] == backend.calls()
