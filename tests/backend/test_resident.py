"""Calls of the executor under Pants' engine: that a server answers them, and what becomes of a build that loses it."""

from __future__ import annotations

from typing import List

from pants.engine.process import ProcessCacheScope

from imagebuild import canonical
from imagebuild.execute.requests import ResolveRequest
from pants_kaniko.calls import ExecutorAnswer, ExecutorCall
from support.backend import Backend
from support.base_image import image_of, push
from support.registry import RealRegistry
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
