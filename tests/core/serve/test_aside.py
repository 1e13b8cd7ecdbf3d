"""Requests that are answered before their end: which ones, who hears of it, and what becomes of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from imagebuild import canonical
from imagebuild.errors import EXIT_SET_ASIDE
from imagebuild.serve.aside import GoesOn, outcome
from imagebuild.serve.nailgun import EXIT, STDOUT
from imagebuild.store.store import Store
from support.served import WAIT, Served, is_alive, serving, wait_for

SET_ASIDE = str(EXIT_SET_ASIDE).encode()
PATIENCE = "aside.FIRST, aside.AGAIN = 2.0, 0.5"
WAITS = """\
import os, sys, time
print(os.getpid(), file=open("pid", "w"), flush=True)
while not os.path.exists("go"):
    time.sleep(0.05)
print("told")
sys.stderr.write("warned")
code = 7
"""
BUSY = """\
import time
end = time.monotonic() + 0.8
while time.monotonic() < end:
    pass
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    Store(str(tmp_path / "store"))
    with serving(tmp_path, PATIENCE) as running:
        yield running


def work(served: Served) -> Path:
    return served.directory.parent / "store" / "work"


def start(served: Served, code: str = WAITS) -> GoesOn:
    """Have a request set aside."""
    chunks = dict(served.ask(code, "--aside", str(work(served))))
    assert SET_ASIDE == chunks[EXIT], chunks
    return canonical.loads(GoesOn, chunks[STDOUT])


def ask_for(served: Served, name: str) -> socket.socket:
    connection = served.connect()
    connection.sendall(f"GET /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\naccept: */*\r\n\r\n".encode())
    return connection


def body_of(connection: socket.socket) -> str:
    """What comes behind the head, until the other side closes; "" where that is not all that was promised."""
    data = b""
    try:
        while True:
            more = connection.recv(1 << 16)
            if not more:
                break
            data += more
    except ConnectionResetError:
        pass
    connection.close()
    head, _, body = data.partition(b"\r\n\r\n")
    length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return body.decode() if length and int(length[0].split(b":")[1]) == len(body) else ""


def go(served: Served) -> None:
    (served.directory / "go").touch()


def pid_of(served: Served) -> int:
    return int((served.directory / "pid").read_text())


def taken(served: Served, goes_on: GoesOn) -> Tuple[int, bytes, bytes]:
    found = outcome(str(work(served) / goes_on.name))
    assert found
    return found


def test_one_that_waits_goes_on(served: Served) -> None:
    goes_on = start(served)

    assert served.port == goes_on.port
    assert is_alive(pid_of(served))


def test_its_outcome_is_all_that_it_would_have_answered(served: Served) -> None:
    goes_on = start(served)
    connection = ask_for(served, goes_on.name)

    go(served)

    assert goes_on.name == body_of(connection)
    assert (7, b"told\n", b"warned") == taken(served, goes_on)
    assert not (work(served) / goes_on.name).exists()


def test_one_who_comes_after_the_end_is_told_at_once(served: Served) -> None:
    goes_on = start(served)
    go(served)
    wait_for(lambda: not is_alive(pid_of(served)))

    assert goes_on.name == body_of(ask_for(served, goes_on.name))
    assert 7 == taken(served, goes_on)[0]


THREAD = f"""\
import threading
def compute():
    exec({BUSY!r})
thread = threading.Thread(target=compute)
thread.start()
thread.join()
"""
CHILD = f"""\
import subprocess, sys
subprocess.run(["sh", "-c", 'exec "$0" -c "$1"', sys.executable, {BUSY!r}], check=True)
"""
CHILDREN = """\
import subprocess
subprocess.run(["sh", "-c", "i=0; while [ $i -lt 400 ]; do /bin/true; i=$((i+1)); done"], check=True)
"""


@pytest.mark.parametrize("code", [BUSY, THREAD, CHILD, CHILDREN, "pass"])
def test_one_that_works_or_is_short_is_not(served: Served, code: str) -> None:
    for _ in range(3):
        assert [(EXIT, b"0")] == served.ask(code, "--aside", str(work(served)))


def test_one_that_may_not_be_is_not(served: Served) -> None:
    assert [(EXIT, b"0")] == served.ask("import time; time.sleep(0.5)", "--other", "x")


def test_one_that_nothing_can_be_left_for_is_not(served: Served) -> None:
    nowhere = str(served.directory / "nowhere")

    assert [(EXIT, b"0")] == served.ask("import time; time.sleep(0.5)", "--aside", nowhere)


def test_others_are_served_meanwhile_and_see_nothing_of_it(served: Served) -> None:
    alone = dict(served.ask("import os; print(len(os.listdir('/proc/self/fd')))"))[STDOUT]
    first, second = start(served), start(served)
    connections = [ask_for(served, goes_on.name) for goes_on in (first, second)]

    beside = dict(served.ask("import os; print(len(os.listdir('/proc/self/fd')))"))[STDOUT]
    go(served)

    assert alone == beside
    assert [first.name, second.name] == [body_of(connection) for connection in connections]
    assert taken(served, first) == taken(served, second)


def files(served: Served) -> List[str]:
    """What the server has open of the store."""
    directory = Path(f"/proc/{served.process.pid}/fd")
    return [link for link in map(os.readlink, directory.iterdir()) if "/work/" in link]


def test_nothing_is_kept_of_outcomes_that_were_taken(served: Served) -> None:
    for _ in range(4):
        goes_on = start(served)
        connection = ask_for(served, goes_on.name)
        go(served)
        assert goes_on.name == body_of(connection)
        taken(served, goes_on)
        (served.directory / "go").unlink()

    assert 1 == len(files(served))  # the last one's, until there is another


def test_one_that_nobody_asks_for_is_called_off(served: Served) -> None:
    goes_on = start(served)
    pid = pid_of(served)

    wait_for(lambda: not is_alive(pid))
    wait_for(lambda: not (work(served) / goes_on.name).exists())
    assert "" == body_of(ask_for(served, goes_on.name))
    assert [(EXIT, b"0")] == served.ask("pass")


def test_one_that_nobody_waits_for_any_more_is_called_off(served: Served) -> None:
    goes_on = start(served)
    pid = pid_of(served)
    first, second = (ask_for(served, goes_on.name) for _ in range(2))

    first.close()
    time.sleep(1)
    assert is_alive(pid)
    second.close()

    wait_for(lambda: not is_alive(pid))


def test_who_comes_back_in_time_finds_it(served: Served) -> None:
    goes_on = start(served)
    ask_for(served, goes_on.name).close()
    connection = ask_for(served, goes_on.name)

    go(served)

    assert goes_on.name == body_of(connection)


def test_its_server_takes_it_along_and_the_next_store_cleans_up(served: Served) -> None:
    goes_on = start(served)
    connection = ask_for(served, goes_on.name)
    pid = pid_of(served)

    served.process.kill()

    assert "" == body_of(connection)
    wait_for(lambda: not is_alive(pid))
    assert outcome(str(work(served) / goes_on.name)) is None
    Store(str(work(served).parent))
    assert [] == os.listdir(work(served))


NO_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"


def test_one_whose_outcome_has_no_room_is_lost_and_its_server_goes_on(tmp_path: Path) -> None:
    Store(str(tmp_path / "store"))
    with serving(tmp_path, NO_ROOM) as served:
        goes_on = start(served, f"{WAITS}print('x' * 200)\n")
        connection = ask_for(served, goes_on.name)

        go(served)

        assert "" == body_of(connection)
        assert outcome(str(work(served) / goes_on.name)) is None
        assert [(EXIT, b"0")] == served.ask("pass")


STRANGER = """\
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
try:
    connection.sendall(f"GET /{sys.argv[2]} HTTP/1.1\\r\\n\\r\\n".encode())
    answer = connection.recv(100)
except (ConnectionResetError, BrokenPipeError):
    answer = b""
sys.exit(len(answer))
"""


def test_strangers_hear_nothing_and_do_not_count(served: Served) -> None:
    goes_on = start(served)
    pid = pid_of(served)

    stranger = [sys.executable, "-c", STRANGER, str(served.port), goes_on.name]
    assert 0 == subprocess.run(stranger, timeout=WAIT, check=False).returncode

    wait_for(lambda: not is_alive(pid))


@pytest.mark.parametrize("asked", ["", "other", "../../etc/passwd", "x" * 70_000])
def test_what_is_not_there_is_not_told(served: Served, asked: str) -> None:
    assert "" == body_of(ask_for(served, asked))
    assert [(EXIT, b"0")] == served.ask("pass")
