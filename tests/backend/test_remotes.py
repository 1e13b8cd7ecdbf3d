"""ADD of URLs and repositories through the engine: what is asked in a run, what is remembered, and whom an error blames."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from pants.engine.internals.scheduler import ExecutionError

from imagebuild.execute.requests import ContextDigest, RemoteTree, TreeLayers
from imagebuild.llb.keys import StepGraph
from imagebuild.llb.plan import HttpSource, State, TreeInput
from imagebuild.llb.remote import remote_base
from pants_kaniko import remotes, shapes, stack
from pants_kaniko.requests import BuildImage, BuildStep
from support.backend import Backend, text_of
from support.fault_proxy import FaultProxy, fault_proxy
from support.faults import status
from support.git_server import GitServer, Repository, git_server
from support.planned import CONTEXT, handle, layer
from support.planned import built as built_step

ALWAYS = 1 << 30
DATA = b"hello\n"
CHECKSUM = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture()
def web() -> Iterator[FaultProxy]:
    with fault_proxy() as running:
        running.on("GET", "/file$", status(200, {"ETag": '"1"'}, DATA), times=ALWAYS)
        yield running


@pytest.fixture()
def git(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as running:
        yield running


def files(*lines: str) -> Dict[str, str]:
    text = "".join(f"{line}\n" for line in ("FROM scratch", *lines))
    return {"app/BUILD": 'kaniko_image(name="image")\n', "app/Dockerfile": text}


def built(backend: Backend, *lines: str) -> List[str]:
    """The calls of a run over this Dockerfile."""
    backend.write(files(*lines))
    backend.new_session()
    backend.calls()
    backend.package("app:image")
    return backend.calls()


def content(backend: Backend) -> Dict[str, Any]:
    """The files of the image's last layer."""
    artifact = backend.image("app:image").image
    assert artifact
    digest = artifact.layers[-1].descriptor.digest.hex
    blobs = backend.files(backend.package("app:image"))
    (blob,) = (data for path, data in blobs.items() if path.endswith(digest))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob))) as tar:
        found = {item.name: item for item in tar if item.isreg()}
        return {
            name: tar.extractfile(item).read()  # type: ignore[union-attr]
            for name, item in found.items()
        }


FIRST = ["export", "lookup", "prepare", "step"]


def test_a_url_with_a_checksum_is_asked_for_once(backend: Backend, web: FaultProxy) -> None:
    add = f"ADD --checksum={CHECKSUM} {web.url}/file /x/"

    first, second, third = built(backend, add), built(backend, add), built(backend, add)

    assert FIRST == first
    assert ["lookup"] == second  # it found nothing the first time, so it was not remembered
    assert [] == third
    assert 1 == len(web.seen)
    assert {"x/file": DATA} == content(backend)


def test_a_url_without_one_is_asked_for_in_each_run(backend: Backend, web: FaultProxy) -> None:
    add = f"ADD {web.url}/file /x/"

    first, second, third = built(backend, add), built(backend, add), built(backend, add)

    assert sorted(["fetch-remote", *FIRST]) == first
    # The engine may look up for the file of last time before it hears that it is the same, and once more then.
    assert {"fetch-remote", "lookup"} == set(second)
    assert ["fetch-remote"] == third
    assert 3 == len(web.seen)
    assert {"x/file": DATA} == content(backend)


def test_a_url_is_asked_for_as_often_as_a_tag(backend: Backend, web: FaultProxy) -> None:
    backend.set_options("--kaniko-base-image-refresh=1000000")
    add = f"ADD {web.url}/file /x/"

    calls = [built(backend, add) for _ in range(3)]

    assert [1, 0, 0] == [one.count("fetch-remote") for one in calls]
    assert 1 == len(web.seen)


def test_a_file_that_changed_runs_its_step(backend: Backend, web: FaultProxy) -> None:
    add = f"ADD {web.url}/file /x/"
    built(backend, add)
    web.rules.clear()
    web.on("GET", "/file$", status(200, {"ETag": '"2"'}, b"new"), times=ALWAYS)

    assert "step" in built(backend, add)
    assert {"x/file": b"new"} == content(backend)


def test_the_store_is_emptied_and_the_file_fetched_again(backend: Backend, web: FaultProxy) -> None:
    add = f"ADD --checksum={CHECKSUM} {web.url}/file /{{}}"
    built(backend, add.format("one"))
    store = backend.caches / "kaniko_store"
    for name in ("blobs/sha256", "layers"):
        for path in (store / name).iterdir():
            path.rename(path.with_name(path.name + ".gone"))

    built(backend, add.format("two"))

    assert {"two": DATA} == content(backend)
    assert 2 == len(web.seen)


def test_a_repository(backend: Backend, git: GitServer, tmp_path: Path) -> None:
    repository = Repository.make(tmp_path / "repository")
    commit = repository.commit({"README": "r", "src/main.c": "c"})
    url = git.publish(repository, "r.git")

    by_branch = built(backend, f"ADD {url}#main:src /src/")
    assert {"src/main.c": b"c"} == content(backend)
    asked = len(git.seen)
    by_commit = built(backend, f"ADD {url}#{commit}:src /src/")

    assert sorted(["fetch-remote", *FIRST]) == by_branch
    assert ["lookup"] == by_commit, "the same key"
    assert asked == len(git.seen)


def test_errors_name_the_line(backend: Backend, web: FaultProxy, git: GitServer) -> None:
    wrong = "sha256:" + "0" * 64
    cases = {
        f"ADD {web.url}/absent /x": "does not have it",
        f"ADD {git.url('absent.git')} /x": "git cannot read it",
        f"ADD --checksum={wrong} {web.url}/file /x": "has another digest than it should",
    }

    for line, said in cases.items():
        backend.write(files(f"ADD {web.url}/file /first", "ENV A=1", line))
        backend.new_session()
        with pytest.raises(ExecutionError) as caught:
            backend.package("app:image")
        text = text_of(caught.value)
        assert text.startswith("app/Dockerfile:4: "), text
        assert f">>  4 | {line}" in text
        assert said in text


def test_a_fetched_layer_that_is_gone_when_its_step_runs_is_fetched_again() -> None:
    """No step made it, and no image has it: the next attempt prepares the step anew."""
    known = handle()
    gone = layer("fetched").diff_id
    request = BuildStep(known, 0)

    suspects = stack.suspects(request, (), (gone,))
    again = stack.again(BuildImage(known, 1), suspects, (), 1)

    assert (gone,) == suspects
    assert 1 == again.attempt
    first = shapes.prepare_call(request, (), known.settings.cache)
    assert first.patient  # it waits for whoever has the remote
    retried = replace(request, lost=again.lost, attempt=again.attempt)
    assert first.salt != shapes.prepare_call(retried, (), known.settings.cache).salt


def test_what_a_step_is_told_of_what_is_fetched_for_it() -> None:
    source = HttpSource("https://example.org/f", "f", CHECKSUM)
    plain = handle()
    bases = (*plain.plan.bases, remote_base(source, plain.plan.platform))
    number = 3
    read = TreeInput(State(base=len(bases) - 1))
    steps = list(plain.plan.steps)
    steps[number] = replace(steps[number], inputs=(*steps[number].inputs, read, CONTEXT, read))
    plan = replace(plain.plan, bases=bases, steps=tuple(steps))
    known = replace(plain, plan=plan, graph=StepGraph.of(plan, 0))
    request, below = BuildStep(known, number), (built_step(2),)
    fetched = layer("fetched").diff_id

    inputs = [remotes.prepared_input(known, item, below) for item in steps[number].inputs]
    trees = remotes.trees_of(request, below, (fetched, fetched))

    assert [TreeLayers, RemoteTree, ContextDigest, RemoteTree] == list(map(type, inputs))
    assert RemoteTree(source) == inputs[1]
    stage = tuple(one.layer.diff_id for one in below[0].chain)
    assert (stage, (fetched,), (), (fetched,)) == trees
