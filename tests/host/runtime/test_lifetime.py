"""Nothing of a run outlives it, however it ends; signals reach it; many layers mount."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, List

import pytest
from host.runtime.conftest import alive, children_of, processes_with, wait_for

from imagebuild.runtime import supervise


@pytest.fixture
def marker() -> str:
    return f"MARK{os.urandom(8).hex()}"


def env(marker: str) -> Any:
    return (("PATH", "/bin"), (marker, "1"))


# what a step might do to stay: background, own session, ignored signals, double fork
STAYERS = [
    "sleep 60",
    "setsid sleep 60 & setsid sh -c 'sleep 60 & sleep 60' & sleep 60",
    "trap '' TERM INT HUP; sleep 60 & wait",
]


@pytest.mark.parametrize("script", STAYERS)
def test_kill_9_of_the_builder_leaves_no_process_and_no_mount(
    run: Any, marker: str, script: str
) -> None:
    """F3: with PR_SET_PDEATHSIG, and in the namespace runtime the end of a whole pid namespace."""
    pid = run.background(script, env=env(marker))
    started = wait_for(
        lambda: len(processes_with(marker)) >= script.count("sleep") and processes_with(marker),
        "start",
    )

    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    wait_for(
        lambda: not any(alive(p) for p in started) and not processes_with(marker), "the end of all"
    )


def test_kill_9_of_the_keeper_too(namespace: Any, marker: str) -> None:
    pid = namespace.background("setsid sleep 60 & sleep 60", env=env(marker))
    wait_for(lambda: len(processes_with(marker)) >= 2, "start")
    (keeper,) = children_of(pid)

    os.kill(keeper, signal.SIGKILL)

    _, status = os.waitpid(pid, 0)
    assert 137 == os.WEXITSTATUS(status)
    wait_for(lambda: not processes_with(marker), "the end of all")


def test_what_runs_in_the_background_ends_with_the_command(run: Any, marker: str) -> None:
    ran = run.sh("setsid sleep 60 & sleep 60 & (sleep 60 &) ; exit 3", env=env(marker))

    assert 3 == ran.status.code
    assert [] == [p for p in processes_with(marker) if alive(p)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_command(run: Any, marker: str, number: signal.Signals) -> None:
    script = f"trap 'exit {number + 20}' {number.name[3:]}; echo > /tmp/ready; while :; do sleep 0.05; done"
    pid = run.background(script, env=env(marker))
    wait_for(lambda: len(processes_with(marker)) >= 2, "start")

    os.kill(pid, number)

    _, status = os.waitpid(pid, 0)
    assert number + 20 == os.WEXITSTATUS(status)


def test_a_command_that_ignores_signals_is_killed_after_a_while(
    run: Any, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "GRACE", 0.2)
    pid = run.background("trap '' TERM; while :; do sleep 0.05; done", env=env(marker))
    wait_for(lambda: len(processes_with(marker)) >= 2, "start")

    os.kill(pid, signal.SIGTERM)

    _, status = os.waitpid(pid, 0)
    assert 137 == os.WEXITSTATUS(status)


def test_a_second_signal_kills_at_once(run: Any, marker: str) -> None:
    pid = run.background("trap '' TERM; while :; do sleep 0.05; done", env=env(marker))
    wait_for(lambda: len(processes_with(marker)) >= 2, "start")

    os.kill(pid, signal.SIGTERM)
    time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)

    _, status = os.waitpid(pid, 0)
    assert 137 == os.WEXITSTATUS(status)


def test_the_callers_handlers_and_mask_come_back(run: Any) -> None:
    before = [signal.getsignal(n) for n in supervise.FORWARDED], signal.pthread_sigmask(0, ())

    run.sh("true")

    assert before == (
        [signal.getsignal(n) for n in supervise.FORWARDED],
        signal.pthread_sigmask(0, ()),
    )


def test_the_caller_stays_in_its_namespaces_and_leaks_no_descriptor(run: Any) -> None:
    def state() -> List[str]:
        spaces = [
            os.readlink(f"/proc/self/ns/{name}") for name in sorted(os.listdir("/proc/self/ns"))
        ]
        return [*spaces, *sorted(os.listdir("/proc/self/fd")), os.getcwd()]

    before = state()
    run.sh("true")
    run("nope")

    assert before == state()


def layers(tmp_path: Path, count: int) -> List[Path]:
    """Layers with long paths; each has its own file, and all have one in common."""
    out = []
    for number in range(count):
        layer = tmp_path / ("long-name-" * 12) / f"{number:0100d}"
        layer.mkdir(parents=True)
        (layer / f"file-{number}").write_text("x")
        (layer / "common").write_text(f"{number}\n")
        out.append(layer)
    return out


@pytest.mark.parametrize("count", [1, 2, 127])
def test_many_layers(run: Any, tmp_path: Path, count: int) -> None:
    """F28: 127 layers, whose paths alone are 30 KiB, where mount(2) takes 4."""
    lower = [run.base, *layers(tmp_path, count)]

    ran = run.sh("cat /common; ls / | grep -c file-; rm /common", lower=lower)

    assert f"{count - 1}\n{count}\n" == ran.out
    assert {"common": "whiteout"} == ran.changes()


def test_names_of_layers_need_no_quoting(namespace: Any, tmp_path: Path) -> None:
    layer = tmp_path / "a:b,c\\d e"
    layer.mkdir()
    (layer / "x").write_text("found\n")

    assert "found\n" == namespace.sh("cat /x", lower=[namespace.base, layer]).out


def test_a_layer_may_stand_in_the_stack_twice(run: Any, tmp_path: Path) -> None:
    """Images repeat empty layers; overlayfs refuses the same directory twice."""
    one, two = tmp_path / "one", tmp_path / "two"
    for layer, text in ((one, "one\n"), (two, "two\n")):
        layer.mkdir()
        (layer / "x").write_text(text)

    assert "one\n" == run.sh("cat /x", lower=[run.base, one, two, one]).out
    assert "two\n" == run.sh("cat /x", lower=[run.base, two, one, one, two]).out
