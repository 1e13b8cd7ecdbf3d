"""Images of as many layers as there are, with a RUN over all of them."""

from __future__ import annotations

import pytest

from support.bench import RUNTIMES, build_runs, files_tar, image_tree, with_base
from support.builds import Machine
from support.flatten import described


def many_layers(bench: Machine, count: int) -> Machine:
    """The machine with a base image of so many layers: on busybox one for each ``/NUMBER/f``."""
    layers = [files_tar({f"{n}/f": b"%d" % n}) for n in range(count - 1)]
    return with_base(bench, f"many-{count}", *layers)


def test_127_layers(bench: Machine) -> None:
    """As many as Docker takes, the last ones made here, each over all that are below."""
    scripts = [f"echo {n} > /f{n}; ls /f* | wc -l > /count; rm -f /f{n - 2}" for n in range(27)]

    built = build_runs(many_layers(bench, 100), *scripts)
    words = described(image_tree(bench, built))

    assert 127 == len(built.image.layers)
    assert {b"f25", b"f26"} == {path for path in words if path.startswith(b"f")}
    assert r"file 644 0:0 '3\n'" == words[b"count"]
    assert "file 755 0:0 '98'" == words[b"98/f"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_run_over_200_layers(bench: Machine, runtime: str) -> None:
    built = build_runs(many_layers(bench, 200), "ls -d /[0-9]* | wc -l > /count", runtime=runtime)

    assert r"file 644 0:0 '199\n'" == described(image_tree(bench, built))[b"count"]
