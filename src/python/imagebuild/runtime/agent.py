"""Lend an ssh agent to a RUN: a socket of our own in front of the agent, which passes on what a RUN may ask for.

A RUN may list keys and have things signed. It may not add, remove or lock keys: the agent is its user's (as in BuildKit).
The protocol is that of draft-miller-ssh-agent: a length of four bytes, a byte that says what it is, and the rest.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import struct
import time
from typing import Callable, Iterator, NoReturn, Optional, Sequence

from imagebuild.errors import HostError, UsageError
from imagebuild.runtime import syscalls
from imagebuild.runtime.spec import DEFAULT_PATH

REQUEST_IDENTITIES, SIGN_REQUEST = 11, 13
_ALLOWED = frozenset((REQUEST_IDENTITIES, SIGN_REQUEST))
_FAILURE = struct.pack(">IB", 1, 5)
_MAX_MESSAGE = 256 << 10
_MAX_KEY = 100 << 10
_MAX_CLIENTS = 16
_START_SECONDS = 5.0


@contextlib.contextmanager
def lent_agent(agent: str, path: str, *, mode: int, uid: int, gid: int) -> Iterator[None]:
    """A socket at `path` that answers as the agent at the socket `agent` does, until the context ends.

    :raises UsageError: where no agent answers.
    """
    with contextlib.closing(_connect(agent)), contextlib.closing(_listen(path)) as server:
        os.chown(path, uid, gid)
        os.chmod(path, mode & 0o777)
        pid = os.fork()
        if pid == 0:
            _end_with(_accept, server, agent)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextlib.contextmanager
def key_agent(keys: Sequence[str], directory: str) -> Iterator[str]:
    """An agent that holds the private keys in the files `keys`; the path of its socket in the empty `directory`.

    :raises HostError: where OpenSSH is not installed.
    :raises UsageError: for a file that is no key, or needs a passphrase.
    """
    import shutil
    import subprocess

    program, adder = (shutil.which(name, path=DEFAULT_PATH) for name in ("ssh-agent", "ssh-add"))
    if program is None or adder is None:
        raise HostError(
            "a key for ssh needs the programs ssh-agent and ssh-add, which are not installed here",
            hint='install OpenSSH\'s client, or load the key into your own agent and use ssh=["default"]',
        )
    path = os.path.join(directory, "agent")
    process = subprocess.Popen(
        (program, "-D", "-a", "agent"),  # relative: a socket's path has at most 107 bytes
        cwd=directory,
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - a RUN is started before any thread
    )
    try:
        _await_socket(path, process.poll)
        for key in keys:
            _add_key(adder, directory, key)
        yield path
    finally:
        process.kill()
        process.wait()


def _add_key(adder: str, directory: str, key: str) -> None:
    import subprocess

    try:
        with open(key, "rb") as file:
            content = file.read(_MAX_KEY)
    except OSError as error:
        raise UsageError(
            f'the key "{key}" for ssh cannot be read: {os.strerror(error.errno or 0)}',
            hint="correct its path in `ssh`",
        ) from None
    added = subprocess.run(
        (adder, "-q", "-"),
        cwd=directory,
        env={"SSH_AUTH_SOCK": "agent"},
        input=content,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # no terminal to ask for a passphrase on
        check=False,
    )
    if added.returncode:
        raise UsageError(
            f'"{key}" is not a key that ssh can use here',
            expected="a private key without a passphrase, or the socket of an agent",
            hint='load the key into your own agent with ssh-add, and use ssh=["default"]',
        )


def _await_socket(path: str, ended: Callable[[], Optional[int]]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not os.path.exists(path):
        if ended() is not None or time.monotonic() > deadline:
            raise HostError("ssh-agent does not start", hint="try `ssh-agent -D` by hand")
        time.sleep(0.005)


def is_socket(path: str) -> bool:
    """:raises UsageError: where there is nothing."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise UsageError(
            f'"{path}", which `ssh` names, cannot be used: {os.strerror(error.errno or 0)}',
            expected="the socket of an agent, or a private key",
            hint="correct the path, or start the agent",
        ) from None


def _die_with_parent() -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def _listen(path: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # through the descriptor, for a socket's path has at most 107 bytes
        server.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
    server.listen(_MAX_CLIENTS)
    return server


def _connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    try:
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            client.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)
    except OSError as error:
        client.close()
        raise UsageError(
            f'no ssh agent answers at "{path}": {os.strerror(error.errno or 0)}',
            hint="start one (ssh-agent), and see that SSH_AUTH_SOCK names its socket",
        ) from None
    return client


def _end_with(
    work: Callable[[socket.socket, str], None], client: socket.socket, agent: str
) -> NoReturn:
    """Do `work` in a forked process, which ends with it, or with the process that forked it."""
    try:
        _die_with_parent()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the command gets them; what it needs stays
        work(client, agent)
    finally:
        os._exit(0)


def _accept(server: socket.socket, agent: str) -> None:
    """A process for each client: a signature may wait for its user, and nobody else should."""
    clients = 0
    while True:
        client, _ = server.accept()
        if clients >= _MAX_CLIENTS:
            os.waitpid(-1, 0)
            clients -= 1
        if os.fork() == 0:
            _end_with(_serve, client, agent)
        clients += 1
        client.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                clients -= 1


def _serve(client: socket.socket, agent: str) -> None:
    upstream = _connect(agent)
    while True:
        message = _read_message(client)
        if message is None:
            return
        if message[4:5] and message[4] in _ALLOWED:
            upstream.sendall(message)
            answer = _read_message(upstream)
            if answer is None:
                return
            client.sendall(answer)
        else:
            client.sendall(_FAILURE)


def _read_message(connection: socket.socket) -> Optional[bytes]:
    """One message with its length; None at the end, or for one that is too long."""
    head = _read(connection, 4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack(">I", head)
    if length > _MAX_MESSAGE:
        return None
    body = _read(connection, length)
    return head + body if len(body) == length else None


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data
