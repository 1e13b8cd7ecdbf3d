"""Which steps a build leaves out: of what a cached step copies from, nothing has to be made again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Dict, List

from imagebuild import canonical
from imagebuild.cache.record import LayerRecord
from imagebuild.execute.effects import Effects
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store
from support.backend import Backend
from support.base_image import image_of, push
from support.registry import RealRegistry
from support.tars import make_tar, member

DOCKERFILE = """\
FROM scratch AS one
COPY app/a.txt /a/
FROM scratch
COPY app/b.txt /etc/
COPY --from=one /a /a
"""


def files(cache: str, dockerfile: str = DOCKERFILE) -> Dict[str, str]:
    build = f"""\
files(name="files", sources=["*.txt"])
kaniko_image(name="image", dependencies=[":files"], cache_repo="{cache}", formats=["registry"])
"""
    return {"app/BUILD": build, "app/Dockerfile": dockerfile, "app/a.txt": "a", "app/b.txt": "b"}


def machine(directory: Path, registry: RealRegistry) -> Backend:
    """A backend that can reach the cache."""
    backend = Backend(directory)
    entry = {"address": registry.address, "insecure": True}
    backend.set_options(f"--kaniko-registries={ {'r': entry} }")
    return backend


def forget(backend: Backend, registry: RealRegistry, cache: str, number: int) -> None:
    """Takes a step's records out of the cache repository."""
    step = backend.plan("app:image").handle.input_steps[number]
    repositories = registry.storage / "docker/registry/v2/repositories"
    tags = repositories / cache.partition("/")[2] / "_manifests/tags"
    kept = (tags / canonical.fingerprint(step).hex / "current/link").read_text()
    for link in tags.glob("*/current/link"):
        if link.read_text() == kept:
            link.unlink()
            link.parent.rmdir()


def package(backend: Backend, dockerfiles: Dict[str, str]) -> List[str]:
    """The calls of a run after these files were written."""
    backend.write(dockerfiles)
    backend.new_session()
    backend.calls()
    backend.package("app:image")
    return backend.calls()


def test_a_stage_whose_records_are_gone_does_not_run_for_a_copy_that_is_cached(
    tmp_path: Path, registry: RealRegistry
) -> None:
    cache = f"{registry.address}/needs/cache"
    first, second = machine(tmp_path / "first", registry), machine(tmp_path / "second", registry)
    package(first, files(cache))
    made = first.image("app:image")
    forget(first, registry, cache, 0)
    calls = package(second, files(cache))
    found = second.image("app:image")

    assert ["lookup"] == calls
    assert made.image == found.image
    assert "  3 steps: 2 cached (registry), 1 not needed" == found.extra_log_lines[-1]


def test_a_step_whose_layers_are_there_needs_no_preparation(
    tmp_path: Path, registry: RealRegistry
) -> None:
    cache = f"{registry.address}/ready/cache"
    first, second = machine(tmp_path / "first", registry), machine(tmp_path / "second", registry)
    package(first, files(cache))
    changed = {**files(cache), "app/b.txt": "another"}
    calls = package(first, changed)

    # The COPY of the context; the one of a stage has to be prepared, for what is below it is new.
    assert ["lookup", "prepare", "record", "step", "step"] == calls
    assert ["lookup", "prepare", "record", "step", "step"] == package(
        second, {**changed, "app/b.txt": "a third"}
    ), "on a fresh machine the look-up fetches the index"


def test_what_goes_between_the_look_up_and_the_step_is_fetched_again(
    tmp_path: Path, registry: RealRegistry
) -> None:
    base = f"{registry.address}/bases/goes:1"
    push(image_of([make_tar(member("etc/os", b"base"))]), base)
    dockerfile = f"FROM {base}\nCOPY app/a.txt /a\nCOPY --from={base} /etc/os /os\n"
    backend = machine(tmp_path, registry)
    package(backend, files("", dockerfile))
    backend.meanwhile(
        "lookup", "import glob; [os.unlink(path) for path in glob.glob('kaniko_store/indexes/*')]"
    )
    calls = package(backend, {**files("", dockerfile), "app/a.txt": "another"})

    assert (1, 3) == (calls.count("prepare"), calls.count("step")), "the first one ran twice"


def promise_over_other_layers(backend: Backend, number: int) -> None:
    """Puts a record of a step into the cache repository as if it had been made over another layer."""
    handle = backend.plan("app:image").handle
    store = Store(str(backend.caches / "kaniko_store"))
    key = canonical.fingerprint(handle.input_steps[number])
    found = canonical.loads(LayerRecord, store.get_record(key) or b"")
    assert found.layer
    other = replace(found, step=replace(found.step, parents=(Hash.of(b"other"),)))
    cache = Effects(store, {}).cache(handle.settings.cache, handle.settings.registries)
    assert cache
    cache.put(other, open_layer=partial(store.open_blob, found.layer.descriptor), index=None)


def test_a_promise_that_does_not_hold_runs_the_stage_after_all(
    tmp_path: Path, registry: RealRegistry
) -> None:
    cache = f"{registry.address}/broken/cache"
    first, second = machine(tmp_path / "first", registry), machine(tmp_path / "second", registry)
    package(first, files(cache))
    made = first.image("app:image")
    forget(first, registry, cache, 0)
    forget(first, registry, cache, 1)
    promise_over_other_layers(first, 2)
    calls = package(second, files(cache))
    found = second.image("app:image")

    assert (2, 1) == (calls.count("step"), calls.count("prepare"))
    assert made.image == found.image
    assert "  3 steps: 1 cached (registry), 2 built" == found.extra_log_lines[-1]
