"""Secrets of a RUN: where it sees them, and that nobody else does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest

from imagebuild import canonical
from imagebuild.errors import CommandFailedError, NamespacesUnavailableError, UsageError
from imagebuild.execute.pure_requests import SecretSource
from imagebuild.llb.ops import CacheMount, SecretMount
from support.steps import Ran, Steps

CANARY = "canary-7f3a91"
FILE = SecretMount("token", "/run/secrets/token")


@pytest.fixture
def secret(tmp_path: Path) -> SecretSource:
    path = tmp_path / "outside" / "token.txt"
    path.parent.mkdir()
    path.write_text(f"{CANARY}\n")
    return SecretSource("token", str(path))


def run(steps: Steps, secret: SecretSource, script: str, *mounts: Any, **options: Any) -> Ran:
    return steps.run(script, *mounts, secrets=(secret,), **options)


def files_with(text: str, *roots: Path) -> List[str]:
    """Every file below `roots` that holds `text`."""
    found = []
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                found.append(str(path))
    return found


def test_as_a_file(steps: Steps, secret: SecretSource) -> None:
    script = "cd /run/secrets; stat -c '%a %u:%g %s' token; stat -f -c %T token; rev token"

    ran = run(steps, secret, script, FILE)

    assert (f"400 0:0 {len(CANARY) + 1}\ntmpfs\n{CANARY[::-1]}\n", ()) == (ran.log, ran.layer)


def test_with_owner_and_mode_for_a_user(steps: Steps, secret: SecretSource) -> None:
    mount = SecretMount("token", "/etc/app/token", mode=0o440, uid=1000, gid=50)

    ran = run(
        steps,
        secret,
        "stat -c '%a %u:%g' /etc/app/token; wc -c < /etc/app/token",
        mount,
        user="app",
    )

    assert ("440 1000:50\n14\n", ()) == (ran.log, ran.layer)
    with pytest.raises(CommandFailedError):
        run(steps, secret, "cat /run/secrets/token", FILE, user="app")


def test_as_a_variable(steps: Steps, secret: SecretSource) -> None:
    env = (("PATH", "/bin"), ("TOKEN", "from ENV"))

    ran = run(
        steps, secret, 'echo "$TOKEN" | rev; ls /run', SecretMount("token", env="TOKEN"), env=env
    )

    assert f"{CANARY[::-1]}\n\n" == ran.log, "whole, with the line end of its file"


def test_as_a_file_and_a_variable(steps: Steps, secret: SecretSource) -> None:
    script = '[ "$(cat /f)" = "${TOKEN%?}" ] && echo same; echo "$TOKEN" | rev'

    ran = run(steps, secret, script, SecretMount("token", "/f", "TOKEN"))

    assert f"same\n{CANARY[::-1]}\n\n" == ran.log


def test_a_variable_works_without_a_mount_namespace(steps: Steps, secret: SecretSource) -> None:
    steps.runtime = "chroot"

    ran = run(steps, secret, 'echo "$TOKEN" | rev', SecretMount("token", env="TOKEN"))

    assert f"{CANARY[::-1]}\n\n" == ran.log
    with pytest.raises(NamespacesUnavailableError, match="RUN --mount on /run/secrets/token needs"):
        run(steps, secret, "true", FILE)


def test_what_the_run_prints_is_masked_in_the_log(steps: Steps, secret: SecretSource) -> None:
    script = "cat /f; echo \"[$TOKEN]\"; cut -c 1-7 /f; sh -xc 'true $TOKEN' 2>&1; printf %s $TOKEN"

    ran = run(steps, secret, script, SecretMount("token", "/f", "TOKEN"))

    assert "***\n[***\n]\ncanary-\n+ true ***\n***" == ran.log


def test_the_tail_of_an_error_is_masked(
    steps: Steps, secret: SecretSource, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandFailedError) as error:
        run(steps, secret, "echo got $(cat /f); exit 3", SecretMount("token", "/f"))

    shown = capfd.readouterr().err
    assert "got ***\n" in shown
    assert CANARY not in shown + str(error.value)


def test_nothing_of_it_stays_on_the_machine(
    steps: Steps, secret: SecretSource, tmp_path: Path
) -> None:
    """Layers, records, indexes, logs, caches: with a step that fails, too."""
    both = SecretMount("token", "/deep/down/f", "TOKEN")
    cache = CacheMount("/c", "c")
    run(steps, secret, "cat /deep/down/f; echo $TOKEN; echo x > /made; echo y > /c/z", both, cache)
    with pytest.raises(CommandFailedError):
        run(steps, secret, "cat /deep/down/f; exit 1", both)

    assert [] == files_with(CANARY, tmp_path / "store", tmp_path / "context")
    assert [secret.path] == files_with(CANARY, tmp_path / "outside")


def test_a_step_that_writes_it_down_is_found_by_the_test_above(
    steps: Steps, secret: SecretSource, tmp_path: Path
) -> None:
    """The twin that shows that the search can find something."""
    run(steps, secret, "cat /run/secrets/token > /leaked", FILE)

    assert [] != files_with(CANARY, tmp_path / "store")


def test_neither_value_nor_path_is_in_a_key(steps: Steps, secret: SecretSource) -> None:
    with_secret, without = (
        steps.request("true", [FILE], secrets=secrets) for secrets in ((secret,), ())
    )

    assert canonical.fingerprint(with_secret.step) == canonical.fingerprint(without.step)
    assert secret.path not in canonical.dumps(with_secret.step).decode()


def test_it_is_in_no_argument_or_variable_of_the_builder(
    steps: Steps, secret: SecretSource
) -> None:
    """What other users of the machine can see in /proc while the step runs."""
    pid = os.fork()
    if pid == 0:
        try:
            run(steps, secret, "sleep 1", FILE)
        finally:
            os._exit(0)
    seen = []
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    seen += [process] if CANARY.encode() in (process / name).read_bytes() else []
                except OSError:
                    continue
    assert [] == seen


def test_a_missing_one(steps: Steps) -> None:
    optional = SecretMount("token", "/run/secrets/token", "TOKEN")
    required = SecretMount("token", "/run/secrets/token", required=True)

    ran = steps.run("ls /run; echo [$TOKEN]", optional)

    assert ("[]\n", ()) == (ran.log, ran.layer)
    with pytest.raises(UsageError) as error:
        steps.run("true", required)
    assert (
        'this RUN requires the secret "token", and the build has none of that id\n'
        'fix: name its file in the field `secrets`: secrets={"token": "path/of/the/file"}'
    ) == str(error.value)


def test_a_file_that_cannot_be_read(steps: Steps, tmp_path: Path) -> None:
    gone = SecretSource("token", str(tmp_path / "gone"))

    with pytest.raises(UsageError, match='"token" cannot be read from .*/gone: No such file'):
        run(steps, gone, "true", FILE)
    with pytest.raises(UsageError, match="Is a directory"):
        run(steps, SecretSource("token", str(tmp_path)), "true", FILE)


def test_limits(steps: Steps, tmp_path: Path) -> None:
    large, binary = tmp_path / "large", tmp_path / "binary"
    large.write_bytes(b"x" * (500 << 10))
    binary.write_bytes(b"a\0b")

    assert (
        "512000\n"
        == run(steps, SecretSource("token", str(large)), "wc -c < /run/secrets/token", FILE).log
    )
    with pytest.raises(UsageError, match="NUL byte"):
        run(steps, SecretSource("token", str(binary)), "true", SecretMount("token", env="T"))
    large.write_bytes(b"x" * (500 << 10) + b"y")
    with pytest.raises(UsageError, match="more than 512000 bytes"):
        run(steps, SecretSource("token", str(large)), "true", FILE)


def test_it_cannot_be_executed_and_writes_to_it_are_gone(steps: Steps, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("#!/bin/sh\necho ran\n")
    mount = SecretMount("token", "/s", mode=0o755)

    ran = run(steps, SecretSource("token", str(path)), "/s; echo changed > /s; cat /s; true", mount)

    assert "ran\n" not in ran.log
    assert "changed\n" in ran.log
    assert "#!/bin/sh\necho ran\n" == path.read_text()
