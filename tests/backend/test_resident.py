"""Calls of the executor under Pants' engine: that a server answers them, and what becomes of a build that loses it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import List

import pytest
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.process import ProcessCacheScope

from imagebuild import canonical
from imagebuild.execute.requests import ResolveRequest
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from support.backend import Backend, text_of
from support.base_image import busybox, busybox_layer, image_of, push
from support.fault_proxy import Exchange, fault_proxy
from support.registry import RealRegistry
from support.served import wait_for
from support.tars import make_tar, member

BUILD = 'kaniko_image(name="image", formats=["registry"])\n'
PIDS = """\
with open("kaniko_store/pids", "a") as file:
    print(os.getppid(), file=file)
"""
KILLED_ONCE = """\
import signal
if not os.path.exists("kaniko_store/killed"):
    open("kaniko_store/killed", "w").close()
    os.kill(os.getppid(), signal.SIGKILL)
"""


def image(backend: Backend, steps: int) -> None:
    lines = "".join(f"WORKDIR /{number}\n" for number in range(steps))
    backend.write({"app/BUILD": BUILD, "app/Dockerfile": f"FROM scratch\n{lines}"})
    backend.new_session()


def parents(backend: Backend) -> List[str]:
    return (backend.caches / "kaniko_store" / "pids").read_text().split()


def prepared(backend: Backend, script: str) -> None:
    """The store, and what happens in it after each step."""
    image(backend, 1)
    backend.package("app:image")
    backend.meanwhile("step", script)


def test_one_server_runs_the_steps_of_a_stage(backend: Backend) -> None:
    prepared(backend, PIDS)

    image(backend, 5)
    backend.package("app:image")

    assert 4 == len(parents(backend))
    assert 1 == len(set(parents(backend)))


def test_a_server_that_was_killed_is_started_again(backend: Backend) -> None:
    prepared(backend, KILLED_ONCE)
    image(backend, 3)
    backend.package("app:image")
    assert (backend.caches / "kaniko_store" / "killed").exists()

    backend.meanwhile("step", PIDS)
    image(backend, 6)
    backend.package("app:image")

    assert 1 == len(set(parents(backend)))


def test_a_call_for_one_run_is_made_in_each(backend: Backend) -> None:
    request = canonical.dumps(ResolveRequest((), ()))
    call = ExecutorCall("resolve", request, "", False, ProcessCacheScope.PER_SESSION)
    made = []
    for _ in range(2):
        backend.new_session()
        answers = [backend.runner.request(ExecutorAnswer, [call]) for _ in range(2)]
        assert [0, 0] == [answer.exit_code for answer in answers]
        made.append(backend.calls())

    assert [["resolve"], ["resolve"]] == made


def test_changes_leave_the_server_alone(backend: Backend, registry: RealRegistry) -> None:
    """The engine kills the server of a call that it calls off, as it does when it asks for what an earlier run wanted."""
    base = f"{registry.address}/base/resident:1"
    push(image_of([make_tar(member("etc/"))]), base)
    prepared(backend, PIDS)
    for call in ("resolve", "lookup", "prepare", "record"):
        backend.meanwhile(call, PIDS)
    for number in range(5):
        lines = f"FROM {base}\nWORKDIR /a\nWORKDIR /{number}\n"
        backend.write({"app/Dockerfile": lines})
        backend.new_session()
        backend.package("app:image")

    assert 2 == len(set(parents(backend)))  # one for effects, and one for pure calls


UNTIL = "n=0; until [ -e /c/{other} ]; do sleep 0.1; n=$((n + 1)); [ $n -lt 200 ] || exit 1; done"
STAGE = f"""\
FROM {{base}} AS {{own}}
RUN --mount=type=cache,target=/c touch /c/{{own}}; {UNTIL}; echo > /{{own}}
"""
BOTH = "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"


@pytest.fixture
def base(registry: RealRegistry) -> str:
    name = f"{registry.address}/base/busybox:1"
    push(image_of([busybox_layer(busybox())]), name)
    return name


def commands(backend: Backend, base: str, *commands: str) -> None:
    runs = "".join(f"RUN --mount=type=cache,target=/c {command}\n" for command in commands)
    dockerfile = f"FROM {base}\n{runs}"
    backend.write({"app/BUILD": BUILD, "app/Dockerfile": dockerfile})
    backend.new_session()


def kept(backend: Backend, name: str) -> List[Path]:
    """What RUNs have left under that name in a directory that is kept for them."""
    return list((backend.caches / "kaniko_store" / "caches").glob(f"*/*/{name}"))


def servers() -> List[int]:
    """Those that this process has started."""
    text = "".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))
    return [
        int(pid) for pid in text.split() if b"NGServer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_runs_that_wait_hold_no_slot(tmp_path: Path, base: str) -> None:
    """Here each waits for the other, and Pants runs one process at once."""
    backend = Backend(tmp_path, "--process-execution-local-parallelism=1")
    stages = "".join(
        STAGE.format(base=base, own=own, other=other) for own, other in (("a", "b"), ("b", "a"))
    )
    backend.write({"app/BUILD": BUILD, "app/Dockerfile": f"{stages}{BOTH}"})
    backend.new_session()

    backend.package("app:image")

    assert backend.outcomes()


def test_a_push_that_waits_holds_no_slot(tmp_path: Path, base: str, registry: RealRegistry) -> None:
    """The registry takes the layer of the first step when the third has run, and Pants runs one process at once."""
    backend = Backend(tmp_path, "--process-execution-local-parallelism=1")
    came = []

    def until_the_third_has_run(_: Exchange) -> bool:
        wait_for(lambda: bool(kept(backend, "waits")))
        kept(backend, "waits")[0].with_name("pushing").touch()
        wait_for(lambda: bool(kept(backend, "third")))
        came.append("third")
        return False

    with fault_proxy(registry.address) as proxy:
        proxy.on("PUT", "/blobs/", until_the_third_has_run)
        build = f'kaniko_image(name="image", cache_repo="{proxy.address}/cache")\n'
        lines = [f"FROM {base}", "RUN head -c 2000000 /dev/urandom > /noise"]
        runs = ("touch /c/waits; " + UNTIL.format(other="pushing"), "touch /c/third")
        lines += [f"RUN --mount=type=cache,target=/c {run}" for run in runs]
        backend.write({"app/BUILD": build, "app/Dockerfile": "\n".join(lines)})
        backend.new_session()
        backend.package("app:image")

    assert ["third"] == came


def test_one_that_waited_and_failed_says_what_any_other_would(backend: Backend, base: str) -> None:
    commands(backend, base, "echo told; sleep 0.5; exit 3")

    with pytest.raises(ExecutionError) as caught:
        backend.package("app:image")

    assert "exited 3" in text_of(caught.value)
    assert "app/Dockerfile:2" in text_of(caught.value)


def test_one_whose_server_is_killed_meanwhile_is_run_again(backend: Backend, base: str) -> None:
    commands(backend, base, "echo >> /c/times; sleep 1.5; wc -l < /c/times > /times")

    def kill() -> None:
        while not kept(backend, "times"):
            time.sleep(0.05)
        time.sleep(0.5)
        for pid in servers():
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    backend.package("app:image")
    thread.join()

    (times,) = kept(backend, "times")
    assert "\n\n" == times.read_text()


def test_with_a_proxy_in_between_none_is_set_aside(
    backend: Backend, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    commands(backend, base, "sleep 0.5")

    backend.package("app:image")

    assert not backend.outcomes()
