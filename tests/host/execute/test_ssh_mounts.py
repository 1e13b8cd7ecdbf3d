"""ssh mounts of a RUN: an agent answers, for the user that it is meant for, and only what a RUN may ask."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Iterator, List

import pytest

from imagebuild.errors import UsageError
from imagebuild.execute.credentials import lent_socket
from imagebuild.execute.pure_requests import SshSource
from imagebuild.llb.ops import BindMount, SshMount
from imagebuild.runtime import syscalls
from imagebuild.runtime.agent import lent_agent
from support.steps import Steps

SOCKET = "/run/buildkit/ssh_agent.0"
MOUNT = SshMount(SOCKET)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "id"
    command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "canary", "-f", str(path))
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def agent(tmp_path: Path, key: Path) -> Iterator[Path]:
    """The user's own agent, with one key."""
    path = tmp_path / "user-agent"
    process = subprocess.Popen(
        ("ssh-agent", "-D", "-a", str(path)),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: syscalls.prctl(  # noqa: PLW1509 - no threads here
            syscalls.PR_SET_PDEATHSIG, signal.SIGKILL
        ),
    )
    while not path.exists():
        time.sleep(0.01)
    added = ("ssh-add", "-q", str(key))
    subprocess.run(added, env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True)
    yield path
    process.terminate()
    process.wait()


def keys_of(path: Path) -> str:
    command = ("ssh-add", "-L")
    done = subprocess.run(
        command, env={**os.environ, "SSH_AUTH_SOCK": str(path)}, stdout=subprocess.PIPE, check=False
    )
    return done.stdout.decode()


def ask(path: Path, kind: int, body: bytes = b"") -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(struct.pack(">IB", 1 + len(body), kind) + body)
        client.settimeout(5)
        return client.recv(1 << 16)


def test_the_agent_of_the_user(steps: Steps, agent: Path) -> None:
    source = SshSource("default", (str(agent),))

    ran = steps.run(f"echo $SSH_AUTH_SOCK; stat -c '%a %u:%g %F' {SOCKET}", MOUNT, ssh=(source,))

    assert (f"{SOCKET}\n600 0:0 socket\n", ()) == (ran.log, ran.layer)


def test_a_client_in_the_run(steps: Steps, agent: Path) -> None:
    """The machine's own ssh-add, brought in with what it needs."""
    needed = subprocess.run(
        ("ldd", shutil.which("ssh-add") or ""), stdout=subprocess.PIPE, check=True
    )
    words = needed.stdout.decode().split()
    for path in {word for word in words if word.startswith("/")} | {shutil.which("ssh-add") or ""}:
        target = steps.context / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    mounts = [
        BindMount(f"/{path.name}", 0, path.name)
        for path in steps.context.iterdir()
        if path.name != "bin"
    ]
    source = SshSource("default", (str(agent),))
    for user, mount in (("", MOUNT), ("app", SshMount(SOCKET, uid=1000, gid=1000))):
        ran = steps.run("/usr/bin/ssh-add -L", *mounts, mount, ssh=(source,), user=user)
        assert keys_of(agent) == ran.log


def test_keys_by_path(steps: Steps, key: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    shutil.copy(key, loose)
    loose.chmod(0o644)
    with lent_socket(MOUNT, (SshSource("default", (str(loose),)),), str(tmp_path / "dir")) as path:
        assert [key.with_suffix(".pub").read_text().split()[1]] == keys_of(Path(path)).split()[1::3]


def test_what_a_run_may_not_ask(agent: Path, tmp_path: Path) -> None:
    """Nothing that changes the user's agent gets through."""
    before, path = keys_of(agent), tmp_path / "lent"
    with lent_agent(str(agent), str(path), mode=0o600, uid=0, gid=0):
        assert 12 == ask(path, 11)[4]
        refused: List[int] = [
            ask(path, kind)[4] for kind in (1, 9, 17, 18, 19, 20, 22, 23, 25, 27, 255)
        ]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(struct.pack(">IB", 1 << 30, 11))
            with suppress(ConnectionResetError):
                assert b"" == client.recv(10)
        assert 12 == ask(path, 11)[4], "it still answers"

    assert {5} == set(refused)
    assert before == keys_of(agent) != ""


def test_many_clients(agent: Path, tmp_path: Path) -> None:
    path = tmp_path / "lent"
    with lent_agent(str(agent), str(path), mode=0o600, uid=0, gid=0):
        assert {12} == {ask(path, 11)[4] for _ in range(40)}


def test_a_store_with_a_long_path(tmp_path: Path, agent: Path) -> None:
    """A socket's path has at most 107 bytes, and a store's need not."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    (directory / "e").mkdir()
    steps = Steps.at(directory / "e")

    ran = steps.run(
        f"test -S {SOCKET} && echo there", MOUNT, ssh=(SshSource("default", (str(agent),)),)
    )

    assert "there\n" == ran.log


def test_of_several_the_first_is_in_the_variable(steps: Steps, agent: Path) -> None:
    one, two = (SshSource(name, (str(agent),)) for name in ("one", "two"))
    mounts = (SshMount("/a", "none"), SshMount("/b", "two"), SshMount("/c", "one"))

    assert "/b\n" == steps.run("echo $SSH_AUTH_SOCK", *mounts, ssh=(one, two)).log
    env = (("PATH", "/bin"), ("SSH_AUTH_SOCK", "/own"))
    assert "/own\n" == steps.run("echo $SSH_AUTH_SOCK", *mounts, ssh=(one, two), env=env).log


def test_what_is_missing(steps: Steps, tmp_path: Path) -> None:
    required = SshMount(SOCKET, required=True)
    nobody = SshSource("default", (str(tmp_path / "nobody"),))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "dead"))
    dead = SshSource("default", (str(tmp_path / "dead"),))
    text = tmp_path / "text"
    text.write_text("no key")

    assert "[]\n" == steps.run("echo [$SSH_AUTH_SOCK]; ls /run", MOUNT).log
    for ssh, mount, message in (
        ((), required, 'this RUN requires ssh "default", and the build has none of that id'),
        ((SshSource("default"),), MOUNT, "SSH_AUTH_SOCK is not set"),
        ((nobody,), MOUNT, "cannot be used: No such file"),
        ((dead,), MOUNT, "no ssh agent answers"),
        ((SshSource("default", (str(text),)),), MOUNT, "is not a key that ssh can use"),
        ((SshSource("default", (dead.paths[0], str(text))),), MOUNT, "a socket beside something"),
    ):
        with pytest.raises(UsageError, match=message):
            steps.run("true", mount, ssh=ssh)


def test_a_key_with_a_passphrase(steps: Steps, tmp_path: Path) -> None:
    path = tmp_path / "locked"
    command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", str(path))
    subprocess.run(command, check=True)

    with pytest.raises(UsageError, match="a private key without a passphrase") as error:
        steps.run("true", MOUNT, ssh=(SshSource("default", (str(path),)),))

    assert 'ssh=["default"]' in str(error.value)
