"""An interactive command (``pants run``) on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import termios
import time
from pathlib import Path
from typing import Any, Callable, Tuple

import pytest
from host.runtime.programs import elf

from imagebuild.runtime.spec import ProcessSpec


def on_a_terminal(runner: Any, script: str, talk: Callable[[int], object]) -> Tuple[int, str]:
    """Run a script with the terminal of a forked copy of the test; its exit code and what the terminal showed."""
    upper, work = runner.directories()
    spec = ProcessSpec(("sh", "-c", script), (("PATH", "/bin"),), terminal=True)
    pid, master = pty.fork()
    if pid == 0:
        code = 99
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            run = runner.runtime.run
            status = run(
                [str(runner.base)], str(upper), str(work), spec, stdout=1, stderr=2, stdin=0
            )
            foreground = os.tcgetpgrp(0) == os.getpgrp()
            code = status.code if foreground else 98
        finally:
            os._exit(code)
    shown = read_until(master, b"ready")
    talk(master)
    shown += read_until(master, b"")
    os.close(master)
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status), shown.decode()


def read_until(fd: int, what: bytes) -> bytes:
    """Everything up to a text, or to the end for b""; 10 seconds at most."""
    shown, deadline = b"", time.monotonic() + 10
    while time.monotonic() < deadline and not (what and what in shown):
        try:
            block = os.read(fd, 4096)
        except OSError:  # the terminal has no other end any more
            return shown
        shown += block
    return shown


def test_input_output_and_exit_code_pass_through(run: Any) -> None:
    script = "test -t 0 && test -t 1 && echo ready; read line; echo got $line; exit 5"

    code, shown = on_a_terminal(run, script, lambda fd: os.write(fd, b"hello\n"))

    assert 5 == code
    assert "got hello" in shown


def test_control_c_reaches_the_command_once(run: Any) -> None:
    script = "n=0; trap 'n=$((n+1))' INT; echo ready; sleep 0.5; sleep 0.3; exit $((40 + n))"

    code, _ = on_a_terminal(run, script, lambda fd: os.write(fd, b"\x03"))

    assert 41 == code


def test_a_shell_with_job_control_gives_the_terminal_back(run: Any) -> None:
    script = "sh -i -c 'echo ready; read x; exit 6'"

    code, _ = on_a_terminal(run, script, lambda fd: os.write(fd, b"\n"))

    assert 6 == code


def test_settings_of_the_terminal_are_restored(namespace: Any) -> None:
    """A command that dies in raw mode leaves no broken terminal."""
    script = "echo ready; busybox stty raw -echo 2>/dev/null; read x; exit 0"
    upper, work = namespace.directories()
    master, slave = pty.openpty()
    expected = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        spec = ProcessSpec(("sh", "-c", script), (("PATH", "/bin"),), terminal=True)
        namespace.runtime.run(
            [str(namespace.base)],
            str(upper),
            str(work),
            spec,
            stdout=slave,
            stderr=slave,
            stdin=slave,
        )
        os._exit(0)
    read_until(master, b"ready")
    time.sleep(0.2)
    os.write(master, b"\n")
    os.waitpid(pid, 0)

    assert expected == termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_terminal_cannot_be_typed_into(namespace: Any, tmp_path: Path, uid: int) -> None:
    """TIOCSTI would run commands in the user's own shell after the container has ended."""
    # exit(-ioctl(0, TIOCSTI, address of a byte))
    code = bytes.fromhex(
        "b810000000 31ff be12540000 ba00004000 0f05 f7d8 89c7 b83c000000 0f05".replace(" ", "")
    )
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "type").write_bytes(elf(code))
    (layer / "type").chmod(0o755)
    master, slave = pty.openpty()

    ran = namespace("/type", lower=[namespace.base, layer], stdin=slave, uid=uid, gid=uid)

    assert 1 == ran.status.code  # EPERM
    os.close(master)
    os.close(slave)
