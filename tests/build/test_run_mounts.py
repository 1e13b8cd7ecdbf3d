"""RUN --mount in whole builds: what each kind gives, what makes a step run again, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Tuple

import pytest

from imagebuild.errors import ImageBuildError
from imagebuild.execute.pure_requests import SecretSource, SshSource
from support.builds import Machine

CANARY = "canary-51c0de"

# Dockerfile lines after FROM, and files of the image with their content.
KINDS: Dict[str, Tuple[str, Dict[str, str]]] = {
    "bind": (
        "RUN --mount=type=bind,source=src,target=/s cat /s/a /s/sub/b > /got",
        {"got": "a\nb\n"},
    ),
    "bind of a file, by default from the context": (
        "WORKDIR /w\nRUN --mount=source=src/a,target=deep/a cp deep/a /got",
        {"got": "a\n"},
    ),
    "bind that may be written": (
        "RUN --mount=target=/s,rw echo more >> /s/src/a && cp /s/src/a /got",
        {"got": "a\nmore\n"},
    ),
    "bind of an earlier stage": (
        "RUN --mount=from=made,source=/out,target=/o cat /o/f > /got",
        {"got": "made\n"},
    ),
    "bind of an image": (
        "RUN --mount=from=BASE,source=/etc/group,target=/g head -1 /g > /got",
        {"got": "root:x:0:\n"},
    ),
    "cache": (
        "RUN --mount=type=cache,target=/c echo 1 >> /c/f\n"
        "RUN --mount=type=cache,target=/c echo 2 >> /c/f && cp /c/f /got",
        {"got": "1\n2\n"},
    ),
    "cache with an id, under two targets": (
        "RUN --mount=type=cache,id=x,target=/a echo 1 > /a/f\n"
        "RUN --mount=type=cache,id=x,target=/b,sharing=locked cp /b/f /got",
        {"got": "1\n"},
    ),
    "cache that begins with files of a stage": (
        "RUN --mount=type=cache,from=made,source=/out,target=/c cat /c/f > /got",
        {"got": "made\n"},
    ),
    "tmpfs": (
        "RUN --mount=type=tmpfs,target=/t,size=1m dd if=/dev/zero of=/t/f bs=1M count=2 2>/dev/null; "
        "stat -c %s /t/f > /got",
        {"got": "1048576\n"},
    ),
    "script": (
        "RUN <<EOF\n#!/bin/busybox sh\necho $0 > /got\nEOF",
        {"got": "/dev/pipes/EOF\n"},
    ),
    "script with a mount": (
        "RUN --mount=type=tmpfs,target=/t <<one\n#!/bin/sh\ntouch /t/x\nls /t > /got\none",
        {"got": "x\n"},
    ),
    "no network": (
        "RUN --network=none ls /sys/class/net > /got",
        {"got": "lo\n"},
    ),
}
FILES = {"src/a": "a\n", "src/sub/b": "b\n", "other": "x"}
MADE = "FROM BASE AS made\nRUN mkdir /out && echo made > /out/f\n"


@pytest.mark.parametrize("lines, expected", KINDS.values(), ids=KINDS)
def test_kinds(here: Machine, lines: str, expected: Dict[str, str]) -> None:
    root = here.unpack(here.build(f"{MADE}FROM BASE\n{lines}\n", FILES))

    assert expected == {path: (root / path).read_text() for path in expected}
    assert [] == [
        name for name in ("s", "o", "g", "c", "t", "a", "b", "w/deep") if (root / name).exists()
    ]


def test_what_makes_a_step_with_a_bind_run_again(here: Machine) -> None:
    dockerfile = "FROM BASE\nRUN --mount=source=src,target=/s cat /s/a > /got\n"

    def origins(files: Dict[str, str]) -> Tuple[str, ...]:
        return here.build(dockerfile, files).origins

    assert ("built",) == origins(FILES)
    assert ("local",) == origins({**FILES, "other": "changed"})
    assert ("built",) == origins({**FILES, "src/sub/b": "changed"})
    assert ("built",) == origins({**FILES, "src/new": ""})
    assert ("local",) == origins(FILES)


def test_a_bind_of_a_stage_depends_on_what_it_shows(here: Machine) -> None:
    """Early cut-off: the stage is built again, and what is mounted of it is the same."""

    def origins(made: str, source: str) -> Tuple[str, ...]:
        return here.build(
            f"FROM BASE AS s\nRUN mkdir /o /p && {made}\n"
            f"FROM BASE\nRUN --mount=from=s,source={source},target=/m ls /m > /got\n"
        ).origins

    assert ("built", "built") == origins("echo 1 > /o/f; echo 1 > /p/f", "/o")
    assert ("built", "local") == origins("echo 1 > /o/f; echo 2 > /p/f", "/o")
    assert ("built", "built") == origins("echo 2 > /o/f; echo 2 > /p/f", "/o")


def test_a_bind_of_a_stage_on_a_fresh_machine(here: Machine) -> None:
    """What is mounted comes from the registry when the step has to run."""
    stage = "FROM BASE AS s\nRUN mkdir /o && echo 1 > /o/f\n"
    first = stage + "FROM BASE\nRUN --mount=from=s,source=/o,target=/m cat /m/f > /got\n"
    here.build(first)
    there = here.fresh("there")

    assert ("registry", "registry") == there.build(first).origins
    other = there.fresh("other").build(first.replace("> /got", "> /other"))
    assert ("registry", "built") == other.origins


def test_a_cache_mount_is_in_no_key(here: Machine) -> None:
    lines = "RUN --mount=type=cache,target=/c echo x >> /c/f; wc -l < /c/f > /got\n"

    assert ("built",) == here.build(f"FROM BASE\n{lines}").origins
    assert ("local",) == here.build(f"FROM BASE\n{lines}").origins
    root = here.unpack(here.build(f"FROM BASE\nENV A=1\n{lines}"))
    assert "2\n" == (root / "got").read_text()


def token(here: Machine) -> SecretSource:
    path = here.directory / "token"
    path.write_text(CANARY)
    return SecretSource("token", str(path))


def test_a_secret_is_seen_and_kept_nowhere(here: Machine) -> None:
    dockerfile = (
        "FROM BASE\n"
        "RUN --mount=type=secret,id=token rev /run/secrets/token > /got && cat /run/secrets/token\n"
        "RUN --mount=type=secret,id=token,env=TOKEN echo $TOKEN; echo $TOKEN | rev >> /got\n"
        "RUN --mount=type=secret,id=other,env=OTHER,target=/o test ! -e /o && echo [$OTHER] >> /got\n"
    )
    built = here.build(dockerfile, secrets=(token(here),))
    root = here.unpack(built)

    assert f"{CANARY[::-1]}{CANARY[::-1]}\n[]\n" == (root / "got").read_text()
    places = [here.directory / "store", here.directory / "image.oci", here.registry.storage]
    found = [
        path
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink() and CANARY.encode() in path.read_bytes()
    ]
    assert [] == found


def test_another_value_runs_nothing_again(here: Machine) -> None:
    dockerfile = "FROM BASE\nRUN --mount=type=secret,id=token md5sum < /run/secrets/token > /got\n"
    first = here.build(dockerfile, secrets=(token(here),))
    Path(token(here).path).write_text("another")

    again = here.build(dockerfile, secrets=(SecretSource("token", token(here).path),))

    assert (("built",), ("local",)) == (first.origins, again.origins)
    assert first.image.digest == again.image.digest


REQUIRED = {
    "secret": (
        "RUN --mount=type=secret,id=token,required true",
        'Dockerfile:2: this RUN requires the secret "token", and the build has none of that id\n'
        'fix: name its file in the field `secrets`: secrets={"token": "path/of/the/file"}',
    ),
    "ssh": (
        "RUN --mount=type=ssh,required true",
        'Dockerfile:2: this RUN requires ssh "default", and the build has none of that id\n'
        'fix: name it in the field `ssh`: ssh=["default"] for your agent, or ["default=path/of/the/key"]',
    ),
}


@pytest.mark.parametrize("line, message", REQUIRED.values(), ids=REQUIRED)
def test_what_is_required_and_missing(here: Machine, line: str, message: str) -> None:
    with pytest.raises(ImageBuildError) as error:
        here.build(f"FROM BASE\n{line}\n")

    assert message == str(error.value)


def test_an_agent_that_is_not_mounted_is_not_asked(here: Machine) -> None:
    """A step gets what it mounts by id, and the socket of the others need not even be there."""
    dockerfile = "FROM BASE\nRUN --mount=type=ssh echo [$SSH_AUTH_SOCK] > /got\n"

    root = here.unpack(here.build(dockerfile, ssh=(SshSource("other", ("/nowhere",)),)))

    assert "[]\n" == (root / "got").read_text()


def test_a_mount_does_not_follow_the_context_out(here: Machine) -> None:
    (here.directory / "outside").write_text(CANARY)

    with pytest.raises(ImageBuildError):
        here.build(
            "FROM BASE\nRUN --mount=source=link,target=/m cat /m > /got\n",
            {"link": f"->{here.directory}/outside"},
        )
