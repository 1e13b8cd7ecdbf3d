"""`publish` and `run` after the store was emptied behind Pants' back: what Pants remembers is made anew where it is wanted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Dict, List

import pytest
from pants.engine.internals.scheduler import ExecutionError

from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store
from pants_kaniko.requests import BuildStep, BuiltStep
from support.backend import Backend, text_of
from support.base_image import image_of, push
from support.registry import RealRegistry, running_registry
from support.tars import make_tar, member

DOCKERFILE = """\
FROM scratch
COPY app/a.txt /a/
COPY app/b.txt /b/
CMD ["/a/a.txt"]
"""
BUILD = """\
files(name="files", sources=["*.txt"])
kaniko_image(name="image", dependencies=[":files"], image_tags=["1"], formats=[{formats}])
"""
GOALS: Dict[str, Callable[[Backend], object]] = {
    "publish": lambda backend: backend.publish("app:image"),
    "run": lambda backend: backend.container("app:image"),
}


def machine(directory: Path, registry: RealRegistry) -> Backend:
    backend = Backend(directory)
    entry = {"address": registry.address, "insecure": True, "default": True}
    backend.set_options(f"--kaniko-registries={ {'r': entry} }", "--kaniko-cache-read-only")
    return backend


def write(backend: Backend, formats: str = '"registry"', dockerfile: str = DOCKERFILE) -> None:
    texts = {"app/a.txt": "a", "app/b.txt": "b"}
    build = BUILD.format(formats=formats)
    backend.write({"app/BUILD": build, "app/Dockerfile": dockerfile, **texts})


def empty(backend: Backend) -> None:
    store = backend.caches / "kaniko_store"
    for path in store.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def push_and_empty(backend: Backend) -> None:
    """After it, only the registry has the layers."""
    (published,) = backend.publish("app:image")
    assert published.process
    assert 0 == backend.process(published.process.process).exit_code
    empty(backend)


def stored(backend: Backend) -> List[bool]:
    """Of each layer of the image, whether the store has it."""
    store = Store(str(backend.caches / "kaniko_store"))
    image = backend.image("app:image").image
    assert image
    return [store.has_layer(layer.diff_id) for layer in image.layers]


@pytest.mark.parametrize("formats", ['"registry"', '"oci-layout"'], ids=["registry", "layout"])
@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_layers_that_only_pants_remembers_are_made_anew(
    tmp_path: Path, registry: RealRegistry, goal: Callable[[Backend], object], formats: str
) -> None:
    backend = machine(tmp_path, registry)
    write(backend, formats)
    for _ in range(2):
        backend.new_session()
        backend.package("app:image")
    for _ in range(3):
        empty(backend)
        backend.new_session()
        goal(backend)

        # At least: the engine may start one more that the run before wanted, before it sees what this one wants.
        assert 2 <= backend.calls().count("step")
        assert [True, True] == stored(backend)


def test_nothing_is_made_for_a_run_that_is_over(tmp_path: Path, registry: RealRegistry) -> None:
    """The engine asks for it all the same, before it sees what this run wants."""
    backend = machine(tmp_path, registry)
    write(backend)
    handle, lost = backend.plan("app:image").handle, (Hash.of(b"lost"),)
    backend.calls()
    request = BuildStep(handle, 1, lost, 1, run=-1)

    assert lost == backend.runner.request(BuiltStep, [request]).missing
    assert [] == backend.calls()


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_so_are_those_that_another_daemon_has_left_in_pants_store(
    tmp_path: Path, registry: RealRegistry, goal: Callable[[Backend], object]
) -> None:
    for _ in range(3):
        backend = machine(tmp_path, registry)
        write(backend)
        goal(backend)

        assert [True, True] == stored(backend)
        empty(backend)


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_nothing_is_made_anew_where_all_is_there(
    tmp_path: Path, registry: RealRegistry, goal: Callable[[Backend], object]
) -> None:
    backend = machine(tmp_path, registry)
    write(backend)
    backend.package("app:image")
    backend.calls()
    backend.new_session()
    goal(backend)

    assert 0 == backend.calls().count("step")


def test_layers_that_the_target_has_are_not_made_anew_for_it(
    tmp_path: Path, registry: RealRegistry
) -> None:
    """The store is empty, and the registry has them already: from a push of before."""
    backend = machine(tmp_path, registry)
    write(backend)
    push_and_empty(backend)
    backend.new_session()
    backend.calls()
    backend.publish("app:image")

    assert "step" not in backend.calls()


def test_one_target_takes_from_another_what_nobody_else_has(
    tmp_path: Path, registry: RealRegistry
) -> None:
    backend = machine(tmp_path, registry)
    write(backend)
    push_and_empty(backend)
    entry = {"address": registry.address, "insecure": True, "default": True}
    with running_registry(tmp_path / "other") as other:
        both = {"r": entry, "s": {**entry, "address": other.address}}
        backend.set_options(f"--kaniko-registries={both}", "--kaniko-cache-read-only")
        processes = [item.process for item in backend.publish("app:image")]

        assert [0, 0] == [backend.process(item.process).exit_code for item in processes if item]


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_a_layer_of_the_base_image_that_is_nowhere_is_an_error_that_says_so(
    tmp_path: Path, registry: RealRegistry, goal: Callable[[Backend], object]
) -> None:
    base = f"{registry.address}/bases/gone:1"
    image = image_of([make_tar(member("etc/os", b"base"))])
    push(image, base)
    (layer,) = (digest for digest, blob in image.blobs.items() if blob[:2] == b"\x1f\x8b")
    backend = machine(tmp_path, registry)
    write(backend, dockerfile=DOCKERFILE.replace("scratch", base))
    backend.package("app:image")
    registry.blob_path(layer).unlink()
    empty(backend)
    backend.new_session()

    with pytest.raises(ExecutionError) as error:
        goal(backend)

    said = text_of(error.value)
    assert "are neither in the store nor in a registry, and no step can make them" in said
    assert "fix: see whether the registry of the base image still has it" in said
