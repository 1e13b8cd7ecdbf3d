"""What the cache must do: the behaviour that kaniko introduced, and what goes beyond it."""

from __future__ import annotations

import io
import os
import tarfile
import time
from dataclasses import replace
from typing import Callable, Dict, List, Tuple

import pytest

from imagebuild.execute.assemble import DEFAULT_EPOCH
from imagebuild.execute.effects import Effects
from imagebuild.execute.lookup import lookup
from imagebuild.execute.requests import CacheOptions, LookupRequest
from imagebuild.llb.keys import StepGraph
from imagebuild.oci.hash import Hash
from imagebuild.store.store import Store
from support.base_image import busybox, busybox_layer, image_of, push
from support.builds import Machine

# Debian's busybox has no %N: the uuid makes two runs in one second differ.
DATE = "FROM BASE\nRUN date > /date; cat /proc/sys/kernel/random/uuid >> /date\n"


def test_a_run_that_gives_something_else_each_time_is_taken_from_the_cache(here: Machine) -> None:
    first = here.build(DATE)

    again = here.build(DATE)
    here.forget()
    elsewhere = here.build(DATE)

    assert [first.image.digest] * 2 == [again.image.digest, elsewhere.image.digest]
    assert [("built",), ("local",), ("registry",)] == [
        first.origins,
        again.origins,
        elsewhere.origins,
    ]


def test_with_the_cache_off_a_step_runs_again(here: Machine) -> None:
    first = here.build(DATE)

    again = here.build(DATE, use_cache=False)

    assert ("built",) == again.origins
    assert first.image.digest != again.image.digest


def test_a_read_only_cache_is_used_and_not_filled(here: Machine) -> None:
    read_only = CacheOptions(here.cache, read_only=True)
    here.build(DATE, cache=read_only)

    assert ("built",) == here.fresh("one").build(DATE).origins
    assert ("registry",) == here.fresh("two").build(DATE, cache=read_only).origins


def test_a_record_older_than_the_ttl_is_a_miss(here: Machine) -> None:
    here.build(DATE)

    assert ("registry",) == here.fresh("one").build(
        DATE, cache=CacheOptions(here.cache, ttl=3600)
    ).origins
    time.sleep(2.1)
    assert ("built",) == here.fresh("two").build(
        DATE, cache=CacheOptions(here.cache, ttl=1)
    ).origins


BEFORE = """FROM BASE
ENV A=1
WORKDIR /srv
COPY one.txt ./
RUN echo $A > a
COPY two.txt ./
RUN cat one.txt > b
"""
FILES = {"one.txt": "one", "two.txt": "two"}

# what changes, the Dockerfile, the files, and where each step is taken from then: WORKDIR COPY RUN COPY RUN
CHANGES: Dict[str, Tuple[str, Dict[str, str], str]] = {
    "nothing": (BEFORE, FILES, "LLLLL"),
    "a comment and blank lines": (
        "# new\n\n" + BEFORE.replace("ENV", "\n# why\nENV"),
        FILES,
        "LLLLL",
    ),
    "a label at the top": (BEFORE.replace("ENV", "LABEL x=y\nENV"), FILES, "LLLLL"),
    "the first copied file": (BEFORE, {**FILES, "one.txt": "uno"}, "LBBBB"),
    "the last copied file": (BEFORE, {**FILES, "two.txt": "dos"}, "LLLBB"),
    "a file that is not copied": (BEFORE, {**FILES, "three.txt": "tres"}, "LLLLL"),
    "a command": (BEFORE.replace("echo $A >", "echo -n $A >"), FILES, "LLBBB"),
    "a variable": (BEFORE.replace("A=1", "A=2"), FILES, "LLBBB"),
    "the user": (
        BEFORE.replace("RUN cat", "USER app\nRUN umask 0; cat").replace("> b", "> /tmp/b"),
        FILES,
        "LLLLB",
    ),
    "the directory": (BEFORE.replace("/srv", "/opt"), FILES, "BBBBB"),
    "a command with the same outcome": (
        BEFORE.replace("echo $A > a", "echo $A > ./a"),
        FILES,
        "LLBLL",
    ),
}


@pytest.mark.parametrize("dockerfile, files, expected", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_runs_what_depends_on_it_and_nothing_else(
    here: Machine, dockerfile: str, files: Dict[str, str], expected: str
) -> None:
    here.build(BEFORE, FILES)

    built = here.build(dockerfile, files)

    assert expected == "".join(origin[0].upper() for origin in built.origins)


def test_another_base_image_runs_everything(here: Machine) -> None:
    here.build(BEFORE, FILES)
    other = replace(here, base=here.base.replace(":1", ":other"))
    push(image_of([busybox_layer(busybox())], {"Env": ["PATH=/bin"], "User": ""}), other.base)

    # The same layers in another image: input keys differ, and the content is the same.
    assert {"local"} == set(here.build(BEFORE, FILES).origins)
    layer = image_of([busybox_layer(busybox())[:-1024] + _an_entry()])
    push(layer, other.base)

    assert {"built"} == set(other.build(BEFORE, FILES).origins)


def _an_entry() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("new"))
    return out.getvalue()


TWO_STAGES = """FROM BASE AS make
RUN echo {0} > /dev/null; mkdir /out; echo result > /out/file
FROM BASE
COPY --from=make /out /srv
RUN cat /srv/file > /copy
"""


def test_a_rebuilt_stage_with_the_same_output_rebuilds_nothing_after_it(here: Machine) -> None:
    first = here.build(TWO_STAGES.format(1))

    again = here.build(TWO_STAGES.format(2))

    assert ("built", "local", "local") == again.origins
    assert first.image.digest == again.image.digest


def test_early_cut_off_works_through_the_registry(here: Machine) -> None:
    first = here.build(TWO_STAGES.format(1))

    again = here.fresh("other").build(TWO_STAGES.format(2))

    assert ("built", "registry", "registry") == again.origins
    assert first.image.digest == again.image.digest


def test_the_look_up_tells_what_the_cache_cannot_know(here: Machine) -> None:
    here.build("FROM BASE\nRUN echo 1 > /one\nRUN echo 2 > /two\n")
    changed = "FROM BASE\nRUN echo new > /one\nRUN echo 2 > /two\nRUN echo new > /three\n"
    plan = here.fresh("other").build(changed, cache=CacheOptions()).plan
    request = LookupRequest(StepGraph.of(plan, DEFAULT_EPOCH), CacheOptions(here.cache))

    found = lookup(request, Effects(here.fresh("third").store, {}))

    assert (None, None, None) == found.hits
    assert (0, 2) == found.novel


def test_what_a_cache_has_been_seen_to_know_is_not_asked_again(here: Machine) -> None:
    here.build("FROM BASE\nRUN echo 1 > /one\nRUN echo 2 > /two\n")
    other = here.fresh("other")
    plan = other.build(
        "FROM BASE\nRUN echo 0 > /one\nRUN echo 2 > /two\n", cache=CacheOptions()
    ).plan
    request = LookupRequest(StepGraph.of(plan, DEFAULT_EPOCH), CacheOptions(here.cache))
    third = Effects(here.fresh("third").store, {})

    found = []
    for _ in range(2):
        before = len(here.registry.accesses())
        known = lookup(request, third).novel
        asked = here.registry.accesses(before)
        found.append((known, sum("/manifests/op-" in access.path for access in asked)))

    assert [((0,), 2), ((0,), 1)] == found


def test_a_small_new_blob_is_sent_without_asking_for_it(here: Machine) -> None:
    before = len(here.registry.accesses())

    here.build("FROM BASE\nRUN echo new > /new\n")

    asked = [each for each in here.registry.accesses(before) if "/blobs/" in each.path]
    heads = [access.status for access in asked if access.method == "HEAD"]
    sent = [access for access in asked if access.method == "PUT"]
    assert [200] * len(heads) == heads, "only to see that it arrived"
    assert 3 <= len(sent) <= len(heads), "the layer, its index and the record"


def test_a_stage_that_is_not_needed_is_not_run(here: Machine) -> None:
    built = here.build("FROM BASE AS broken\nRUN exit 1\nFROM BASE\nRUN true\n")

    assert ("built",) == built.origins


def test_nothing_is_downloaded_for_an_image_that_is_cached(here: Machine) -> None:
    here.build(BEFORE, FILES)
    before = len(here.registry.accesses())

    here.fresh("other").build(BEFORE, FILES)

    asked = here.registry.accesses(before)
    layers = [access for access in asked if access.method == "GET" and "/blobs/" in access.path]
    config = [access for access in layers if "base/busybox" in access.path]
    assert config == layers, "of blobs only the base image's config may be read"
    assert 1 == len(config)


def test_a_changed_last_copy_downloads_no_base_layer(here: Machine) -> None:
    dockerfile = "FROM BASE\nRUN echo hello > /hello\nCOPY --chown=app app.txt /home/app/\n"
    here.build(dockerfile, {"app.txt": "1"})
    before = len(here.registry.accesses())

    built = here.fresh("other").build(dockerfile, {"app.txt": "2"})

    layers = {str(layer.descriptor.digest) for layer in built.image.layers}
    asked = {
        access.path.rpartition("/")[2]
        for access in here.registry.accesses(before)
        if access.method == "GET"
    }
    assert ("registry", "built") == built.origins
    assert set() == layers & asked


def test_a_layer_that_the_registry_lost_is_built_again(here: Machine) -> None:
    first = here.build(DATE)
    here.registry.blob_path(str(first.image.layers[-1].descriptor.digest)).unlink()

    again = here.fresh("other").build(DATE)

    assert ("built",) == again.origins


def test_a_layer_that_the_store_lost_is_fetched(here: Machine) -> None:
    dockerfile = "FROM BASE\nRUN echo 1 > /1\nRUN echo {} > /2\n"
    first = here.build(dockerfile.format(1))
    blob = here.store.blob_path(first.image.layers[1].descriptor.digest)
    os.unlink(blob)

    again = here.build(dockerfile.format(2))

    assert ("registry", "built") == again.origins


def test_a_cache_that_does_not_answer_does_not_stop_a_build(here: Machine) -> None:
    nowhere = CacheOptions("localhost:1/cache")

    assert ("built",) == here.build(DATE, cache=nowhere).origins


def test_a_planted_record_is_no_hit(here: Machine) -> None:
    """CVE-2024-24557: a record under a key that it does not belong to."""
    first = here.build("FROM BASE\nRUN echo evil > /x\n")
    here.build("FROM BASE\nRUN echo good > /x\n")
    tags = (
        here.registry.storage
        / "docker/registry/v2/repositories"
        / here.cache.partition("/")[2]
        / "_manifests/tags"
    )
    keys = sorted(path.name for path in tags.iterdir() if not path.name.startswith("index-"))
    for key in keys:  # every tag leads to one manifest: the first record
        (tags / key / "current" / "link").write_text(
            (tags / keys[0] / "current" / "link").read_text()
        )

    origins = {
        text: here.fresh(text).build(f"FROM BASE\nRUN echo {text} > /x\n").origins
        for text in ("evil", "good")
    }

    assert [("built",), ("registry",)] == sorted(origins.values())
    assert first.image.layers


def test_builds_at_once_on_one_store_do_not_disturb_each_other(here: Machine) -> None:
    texts = ["same", "same", "same", "a", "b", "c"]

    def one(number: int) -> Hash:
        machine = replace(here, directory=here.directory / str(number))
        machine.directory.mkdir()
        (machine.directory / "store").symlink_to(here.directory / "store")
        return machine.build(
            f"FROM BASE\nRUN echo {texts[number]} > /x\nCOPY f /\n", {"f": "f"}
        ).image.digest

    Store(str(here.directory / "store"))  # made before the others share it
    digests = _in_processes(one, len(texts))

    assert 1 == len(set(digests[:3]))
    assert 4 == len(set(digests))


def _in_processes(work: Callable[[int], Hash], count: int) -> List[Hash]:
    """Each in a process of its own, as Pants would; the runtime forks, so threads will not do."""
    pipes = []
    for number in range(count):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            try:
                os.write(writer, str(work(number)).encode())
            finally:
                os._exit(0)
        os.close(writer)
        pipes.append((pid, reader))
    results = []
    for pid, reader in pipes:
        with os.fdopen(reader) as file:
            results.append(Hash.parse(file.read()))
        os.waitpid(pid, 0)
    return results
