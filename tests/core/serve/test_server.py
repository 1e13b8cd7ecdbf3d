"""The resident executor: what it runs, whom it serves, and when it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest

from imagebuild.serve.nailgun import (
    COMMAND,
    EXIT,
    STDERR,
    STDOUT,
    chunk,
)
from support.served import (
    WAIT,
    Chunks,
    Served,
    command,
    is_alive,
    received,
    serving,
    wait_for,
)


def value_of(chunks: Chunks) -> Any:
    """What a request printed as JSON, if it went well."""
    assert (EXIT, b"0") == chunks[-1], chunks
    return json.loads(dict(chunks)[STDOUT])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


def test_a_request_is_run_with_its_arguments_in_its_directory(served: Served) -> None:
    code = "import os; print(os.getcwd(), *arguments); code = 7"

    assert [(STDOUT, f"{served.directory} a b\n".encode()), (EXIT, b"7")] == served.ask(
        code, "a", "b"
    )


def test_both_outputs_come(served: Served) -> None:
    code = "import sys; sys.stderr.write('y'); print('x')"

    assert [(STDOUT, b"x\n"), (STDERR, b"y"), (EXIT, b"0")] == served.ask(code)


def test_much_output_arrives_whole(served: Served) -> None:
    chunks = dict(served.ask("print('x' * (3 << 20))"))

    assert (3 << 20) + 1 == len(chunks[STDOUT])


def test_a_request_that_fails_says_how(served: Served) -> None:
    raised = served.ask("raise ValueError('told')")
    left = served.ask("raise SystemExit(64)")
    killed = served.ask("import os; os.kill(os.getpid(), 9)")

    assert b"ValueError: told" in dict(raised)[STDERR]
    assert (EXIT, b"70") == raised[-1]
    assert [(EXIT, b"64")] == left
    assert [(EXIT, b"-9")] == killed
    assert [(EXIT, b"0")] == served.ask("pass")


def test_a_request_leaves_nothing_to_the_next_but_what_it_loaded(served: Served) -> None:
    look = "import sys; print('wave' in sys.modules, hasattr(sys, 'left'))"

    assert [(STDOUT, b"False False\n"), (EXIT, b"0")] == served.ask(look)
    served.ask("import sys, wave; sys.left = 1")
    wait_for(lambda: served.ask(look)[0] == (STDOUT, b"True False\n"))


def test_regular_expressions_are_compiled_once_for_all(served: Served) -> None:
    look = "import re; print('a+never+seen' in {key[1] for key in re._cache})"

    assert [(STDOUT, b"False\n"), (EXIT, b"0")] == served.ask(look)
    served.ask("import re; re.compile('a+never+seen', re.I)")
    wait_for(lambda: served.ask(look)[0] == (STDOUT, b"True\n"))


DESCRIPTORS = """\
import json, os
numbers = os.listdir("/proc/self/fd")
print(json.dumps([os.readlink(f"/proc/self/fd/{n}") for n in numbers if os.path.lexists(f"/proc/self/fd/{n}")]))
"""


def test_a_request_has_no_descriptor_of_the_server_or_its_client(served: Served) -> None:
    links = value_of(served.ask(DESCRIPTORS))

    assert not [link for link in links if link.startswith("socket:") or "client" in link]
    # Its own outputs, what it has learned, nothing on stdin, and the listing itself.
    assert 3 == len([link for link in links if link.startswith("pipe:")])
    assert "/dev/null" in links


def test_named_caches_that_were_deleted_are_made_again(served: Served, tmp_path: Path) -> None:
    (served.directory / "kaniko_store").symlink_to(tmp_path / "caches" / "kaniko_store")

    served.ask("open('kaniko_store/file', 'w').close()")

    assert (tmp_path / "caches" / "kaniko_store" / "file").exists()


STRANGER = """\
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
try:
    connection.sendall(bytes.fromhex(sys.argv[2]))
    answer = connection.recv(100)
except (ConnectionResetError, BrokenPipeError):
    answer = b""
sys.exit(len(answer))
"""


def test_only_who_started_it_is_served(served: Served, tmp_path: Path) -> None:
    request = chunk(b"A", f"open({str(tmp_path / 'ran')!r}, 'w')".encode()) + chunk(b"D", b"/")
    message = (request + chunk(COMMAND, b"x")).hex()

    stranger = subprocess.run(
        [sys.executable, "-c", STRANGER, str(served.port), message], timeout=WAIT, check=False
    )

    assert 0 == stranger.returncode
    assert not (tmp_path / "ran").exists()
    assert [(EXIT, b"0")] == served.ask("pass")


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\5Ahel", b"\xff\xff\xff\xffA" + bytes(100)])
def test_a_request_that_breaks_off_hurts_nobody(served: Served, data: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert [] == received(connection)

    assert [(EXIT, b"0")] == served.ask("pass")


LONG = """\
import os, time
try:
    with open("pid", "w") as file:
        print(os.getpid(), file=file)
    for _ in range(600):  # Python sees a signal that comes as it falls asleep when it wakes up
        time.sleep(0.1)
except KeyboardInterrupt:
    open("called off", "w").close()
    {then}
"""


@contextmanager
def long_request(served: Served, then: str = "raise") -> Iterator[Tuple[socket.socket, int]]:
    with served.send(LONG.format(then=then)) as connection:
        pid = served.directory / "pid"
        wait_for(lambda: pid.exists() and bool(pid.read_text()))
        yield connection, int(pid.read_text())


def test_a_request_that_nobody_waits_for_ends_in_good_order(served: Served) -> None:
    with long_request(served) as (connection, pid):
        connection.close()

        wait_for(lambda: not is_alive(pid))
    assert (served.directory / "called off").exists()
    assert -signal.SIGKILL == served.process.wait(WAIT)


@pytest.mark.parametrize("then", ["raise", "time.sleep(60)"])
def test_a_server_that_is_killed_takes_its_request_along(served: Served, then: str) -> None:
    with long_request(served, then) as (_, pid):
        served.process.kill()

        wait_for(lambda: not is_alive(pid))
    assert (served.directory / "called off").exists()


def children(served: Served) -> List[int]:
    pid = served.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def waiting(served: Served) -> int:
    """The fork that waits for a request."""
    wait_for(lambda: len(children(served)) == 1)
    return children(served)[0]


def test_the_fork_for_a_request_is_there_before_it(served: Served) -> None:
    pid = waiting(served)

    assert pid == value_of(served.ask("import os; print(os.getpid())"))
    assert pid != waiting(served)


def test_one_that_is_killed_before_it_has_a_request_is_made_up_for(served: Served) -> None:
    pid = waiting(served)

    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())

    assert pid != value_of(served.ask("import os; print(os.getpid())"))
    assert waiting(served)


def test_one_that_is_killed_as_its_request_comes_costs_that_request_alone(served: Served) -> None:
    pid = waiting(served)

    served.process.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    with served.send("pass") as connection:
        served.process.send_signal(signal.SIGCONT)
        assert received(connection) in ([], [(EXIT, b"-9")], [(EXIT, b"0")])

    assert [(EXIT, b"0")] == served.ask("pass")


def test_a_server_that_is_killed_takes_the_next_fork_along(served: Served) -> None:
    pid = waiting(served)

    served.process.kill()

    wait_for(lambda: not is_alive(pid))


CLIENT = """\
import subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
print(server.pid, flush=True)
server.stdout.readline()
input()
"""


def test_it_ends_with_who_started_it(tmp_path: Path) -> None:
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, *command(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdout
    server = int(client.stdout.readline())
    assert is_alive(server)

    client.kill()
    client.communicate()

    wait_for(lambda: not is_alive(server))


def test_a_terminal_does_not_reach_it(served: Served) -> None:
    assert os.getsid(0) != os.getsid(served.process.pid)
