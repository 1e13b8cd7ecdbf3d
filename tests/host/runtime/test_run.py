"""How a command is started and how its end is told, the same in every runtime."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
from host.runtime.programs import elf

from imagebuild.errors import StepError
from imagebuild.runtime.spec import ExitStatus, ProcessSpec

ENDS = [
    ("exit 0", 0),
    ("exit 7", 7),
    ("exit 255", 255),
    ("false", 1),
    ("sleep 9 & kill -9 $!; wait $!", 137),
]


@pytest.mark.parametrize("script, code", ENDS, ids=[script for script, _ in ENDS])
def test_the_exit_code_is_the_commands(run: Any, script: str, code: int) -> None:
    assert ExitStatus(code) == run.sh(script).status


def test_death_by_signal_is_told(run: Any, base: Path, tmp_path: Path) -> None:
    """By a signal that even process 1 of a namespace dies of: one that the kernel raises for a fault."""
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "faulty").write_bytes(elf(b"\x0f\x0b"))  # ud2
    (layer / "faulty").chmod(0o755)

    status = run("/faulty", lower=[base, layer]).status

    assert (128 + signal.SIGILL, signal.SIGILL) == (status.code, status.signal)


def test_the_environment_is_exactly_the_given_one(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 43, 44: nothing of the executor's own environment."""
    monkeypatch.setenv("REGISTRY_TOKEN", "canary")
    env = (("PATH", "/bin"), ("B", "two words"), ("A", "1"))

    ran = run("env", env=env)

    assert sorted(f"{k}={v}" for k, v in env) == sorted(ran.out.splitlines())


@pytest.mark.parametrize("cwd", ["/", "/data/sub", "/data/../tmp"])
def test_cwd(run: Any, cwd: str) -> None:
    assert os.path.normpath(cwd) == run("pwd", cwd=cwd).out.strip()


@pytest.mark.parametrize("cwd", ["/nowhere", "/data/file", "/proc/self/fd/5", "/proc/self/fd/3"])
def test_a_cwd_that_is_no_directory_of_the_image_is_refused(run: Any, cwd: str) -> None:
    """Row 26 (CVE-2024-21626): least of all one that is a leaked descriptor."""
    with pytest.raises(StepError) as caught:
        run("true", cwd=cwd)

    assert f'the working directory "{cwd}" cannot be entered' in caught.value.message
    assert f"WORKDIR {cwd}" in caught.value.hint


def test_user_and_groups_are_exactly_the_given_ones(run: Any) -> None:
    """Row 42: the builder's own groups are dropped."""
    ran = run.sh("id -u; id -g; id -G", uid=1000, gid=1001, groups=(1001, 27, 100))

    assert ["1000", "1001", "1001 27 100"] == ran.out.splitlines()
    assert ["0", "0", "0"] == run.sh("id -u; id -g; id -G").out.splitlines()


def test_umask_is_0022(run: Any) -> None:
    ran = run.sh("umask; echo x > /data/new; mkdir /data/dir")

    assert "0022" == ran.out.strip()
    assert 0o644 == (ran.upper / "data/new").stat().st_mode & 0o7777
    assert 0o755 == (ran.upper / "data/dir").stat().st_mode & 0o7777


def test_stdin_is_empty_unless_given(run: Any) -> None:
    assert "0" == run.sh("wc -c").out.strip()
    reading, writing = os.pipe()
    os.write(writing, b"heredoc\n")
    os.close(writing)

    assert "heredoc\n" == run.sh("cat", stdin=reading).out
    os.close(reading)


def test_stdout_and_stderr_stay_apart_and_can_be_large(run: Any) -> None:
    ran = run.sh("yes | head -c 300000; echo oops >&2")

    assert (300_000, "oops\n") == (len(ran.out), ran.err)


def test_one_log_for_both_keeps_the_order(run: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    upper, work = run.directories()
    spec = ProcessSpec(("sh", "-c", "echo 1; echo 2 >&2; echo 3"), (("PATH", "/bin"),))
    with open(log, "wb") as file:
        run.runtime.run(
            [str(run.base)], str(upper), str(work), spec, stdout=file.fileno(), stderr=file.fileno()
        )

    assert "1\n2\n3\n" == log.read_text()


def test_the_caller_does_something_meanwhile(run: Any) -> None:
    """The command waits for it, so it is not called before or after."""
    reading, writing = os.pipe()

    ran = run.sh("head -c 100", stdin=reading, meanwhile=lambda: os.write(writing, b"x" * 100))
    os.close(writing)

    assert 100 == len(ran.out)


def test_the_command_does_not_outlive_a_caller_that_fails(run: Any) -> None:
    def fail() -> None:
        raise KeyError("meanwhile")

    started = time.monotonic()
    with pytest.raises(KeyError, match="meanwhile"):
        run.sh("sleep 60", meanwhile=fail)

    assert time.monotonic() - started < 30


def test_a_log_cannot_be_truncated_by_the_command(namespace: Any) -> None:
    ran = namespace.sh("echo first; echo second > /dev/stdout; echo third", uid=1000, gid=1000)

    assert "first\nsecond\nthird\n" == ran.out


def test_sigpipe_has_its_default_effect(run: Any) -> None:
    """Python ignores it, and a program that inherits that fails with EPIPE."""
    ran = run.sh("yes | head -n 1; echo done")

    assert ("y\ndone\n", "") == (ran.out, ran.err)


LOOKUPS: Dict[str, Tuple[Tuple[str, ...], Dict[str, str], int, str]] = {
    "absent name": (("nope",), {}, 127, '"nope": not found in PATH of the image'),
    "absent path": (("/bin/nope",), {}, 127, '"/bin/nope": not found in the image'),
    "empty": (("",), {}, 127, '"": not found in PATH of the image'),
    "absent shell": (("/bin/bash", "-c", "true"), {}, 127, "the shell of RUN"),
    "directory": (("/etc",), {}, 126, "Permission denied"),
    "not executable": (("/etc/passwd",), {}, 126, "Permission denied"),
    "no interpreter": (("/script",), {}, 126, '"/bin/python9" that /script asks for is not in'),
    "no #! line": (("/plain",), {}, 126, "a script without a #! line"),
    "not on this PATH": (("true",), {"PATH": "/etc:/data"}, 127, "not found in PATH"),
    "dead link": (("/dead",), {}, 127, '"/dead": not found in the image'),
}


@pytest.mark.parametrize("args, env, code, message", LOOKUPS.values(), ids=LOOKUPS)
def test_a_command_that_cannot_start_says_why(
    run: Any,
    base: Path,
    tmp_path: Path,
    args: Tuple[str, ...],
    env: Dict[str, str],
    code: int,
    message: str,
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    for name, text in (("script", "#!/bin/python9 -u\n"), ("plain", "echo hi\n")):
        (layer / name).write_text(text)
        (layer / name).chmod(0o755)
    (layer / "dead").symlink_to("/nowhere")

    ran = run(*args, env=tuple((env or {"PATH": "/bin"}).items()), lower=[base, layer])

    assert code == ran.status.code
    assert message in ran.status.message
    assert f"{ran.status.message}\n" == ran.err


def test_path_is_searched_inside_the_root_in_order(run: Any, base: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    for name in ("first", "second"):
        (layer / name).mkdir(parents=True)
        (layer / name / "tool").write_text(f"#!/bin/sh\necho {name}\n")
    (layer / "second/tool").chmod(0o755)
    (layer / "first/tool").chmod(0o644)  # not executable: execvp goes on

    ran = run("tool", env=(("PATH", "/absent:/first:/second:/bin"),), lower=[base, layer])

    assert "second\n" == ran.out


def test_without_a_path_dockers_default_is_searched(run: Any) -> None:
    assert 0 == run("true", env=()).status.code


@pytest.mark.parametrize("kernel", ["new", "old"])
def test_only_three_descriptors_are_open(
    namespace: Any, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    """Row 26: also where the caller forgot to mark its own, and where there is no close_range."""
    if kernel == "old":
        monkeypatch.setattr("imagebuild.runtime.syscalls._SYS_CLOSE_RANGE", 9999)
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        ran = namespace.sh("for fd in /proc/self/fd/*; do readlink $fd > /x && echo $fd; done")
    finally:
        os.close(leaked)

    assert [f"/proc/self/fd/{n}" for n in (0, 1, 2)] == ran.out.split()


UNSPEAKABLE = {
    "a NUL in an argument": (("true", "a\0b"), (("PATH", "/bin"),)),
    "a NUL in a variable": (("true",), (("PATH", "/bin"), ("A", "\0"))),
    "a variable without a name": (("true",), (("PATH", "/bin"), ("", "x"))),
}


@pytest.mark.parametrize("args, env", UNSPEAKABLE.values(), ids=UNSPEAKABLE)
def test_what_execve_cannot_say_is_an_error(run: Any, args: Tuple[str, ...], env: Any) -> None:
    ran = run(*args, env=env)

    assert 126 == ran.status.code
    assert "cannot be executed: " in ran.status.message
