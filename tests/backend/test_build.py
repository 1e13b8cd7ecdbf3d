"""Whole builds through the engine, of images that need no RUN: what runs, what is remembered, what is written."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from pants.engine.internals.scheduler import ExecutionError

from pants_kaniko import planning, report, shapes
from support.backend import Backend, text_of
from support.base_image import image_of, push
from support.registry import RealRegistry
from support.tars import make_tar, member

DOCKERFILE = """\
FROM scratch AS one
COPY app/a.txt /a/
FROM scratch
COPY app/b.txt /etc/
COPY --from=one /a /a
ENV X=1
"""
THREE_STEPS = ["step"] * 3
EXPORT = ["export"]


def files(fields: str = "", dockerfile: str = DOCKERFILE, b: str = "b") -> Dict[str, str]:
    build = f"""\
files(name="files", sources=["*.txt"])
kaniko_image(name="image", dependencies=[":files"], image_tags=["1.0"], {fields})
"""
    return {"app/BUILD": build, "app/Dockerfile": dockerfile, "app/a.txt": "a", "app/b.txt": b}


def built(backend: Backend, changed: Dict[str, str]) -> List[str]:
    """The calls of a run after these files were written."""
    backend.write(changed)
    backend.new_session()
    backend.calls()
    backend.package("app:image")
    return backend.calls()


def test_a_run_after_which_nothing_changed_starts_no_process(backend: Backend) -> None:
    first_calls = built(backend, files())
    first = backend.image("app:image").image
    backend.new_session()
    second = backend.image("app:image").image
    second_calls = backend.calls()
    backend.new_session()
    third = backend.image("app:image").image

    assert sorted(["lookup", *THREE_STEPS, *EXPORT]) == first_calls
    assert ["lookup"] == second_calls  # it found nothing the first time, so it was not remembered
    assert [] == backend.calls()
    assert first == second == third


def test_nor_does_it_work_out_anything_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rule of a build in which nothing changed may depend on the id of a run: see `BuildImage`."""
    worked: List[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: worked.append(name) or function(*args, **options)  # type: ignore[func-returns-value]

    for module, name in ((planning, "draft"), (shapes, "lookup_call"), (report, "image_json")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    built(backend, files())
    assert {"draft", "lookup_call", "image_json"} == set(worked)
    built(backend, {})
    worked.clear()
    for _ in range(3):
        assert [] == built(backend, {})

    assert [] == worked


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        pytest.param("# a comment\n\n" + DOCKERFILE, [], id="comment and blank line"),
        pytest.param(DOCKERFILE.replace("X=1", "X=2"), [], id="config behind the last step"),
        pytest.param(
            DOCKERFILE.replace("COPY --from=one /a /a", "COPY --from=one /a /b"),
            ["export", "lookup", "step"],
            id="last step",
        ),
    ],
)
def test_what_a_changed_dockerfile_runs(
    backend: Backend, dockerfile: str, expected: List[str]
) -> None:
    built(backend, files())
    built(backend, {})

    assert expected == built(backend, files(dockerfile=dockerfile))


def test_a_changed_file_runs_its_step_and_what_follows(backend: Backend) -> None:
    built(backend, files())
    backend.new_session()
    before = backend.image("app:image").image
    calls = built(backend, files(b="changed"))
    after = backend.image("app:image").image

    assert 2 == calls.count("step")
    assert before and after
    assert before.layers[0] != after.layers[0]
    assert before.layers[1] == after.layers[1]


def test_a_step_that_makes_the_same_files_again_ends_the_change(backend: Backend) -> None:
    """Early cut-off: stage one changes its instruction, not its files, and the COPY --from after it stays."""
    built(backend, files())
    built(backend, {})
    changed = DOCKERFILE.replace("COPY app/a.txt /a/", "COPY app/a.tx[t] /a/")

    assert ["lookup", "step"] == built(backend, files(dockerfile=changed))


LINKED = """\
FROM scratch
COPY app/b.txt /etc/
COPY --link app/a.txt /a/
COPY app/a.txt /last/
"""


def test_a_linked_copy_outlives_a_change_of_what_is_below_it(backend: Backend) -> None:
    built(backend, files(dockerfile=LINKED))
    built(backend, {})
    before = backend.image("app:image").image

    calls = built(backend, files(dockerfile=LINKED, b="changed"))
    after = backend.image("app:image").image

    assert 2 == calls.count("step"), "the one that changed, and the last, which is not linked"
    assert before and after
    assert [False, True] == [before.layers[at] == after.layers[at] for at in (0, 1)]
    assert "local" == backend.origins("app:image")[1]


def test_a_linked_copy_waits_for_nothing_below_it(backend: Backend) -> None:
    backend.write(files(dockerfile=LINKED))

    alone = backend.step("app:image", 1, alone=True)
    calls = backend.calls()
    whole = backend.step("app:image", 1)

    assert 1 == calls.count("step"), "what is below was not made"
    assert [alone.layer] == [source.layer for source in alone.chain]
    assert [alone.layer] == [source.layer for source in whole.chain][1:]
    assert 1 == backend.calls().count("step"), "and the layer is not made twice"


LINES = (
    "[one 1/3] COPY app/a.txt /a/ (app/Dockerfile:2)",
    "[stage-1 2/3] COPY app/b.txt /etc/ (app/Dockerfile:4)",
    "[stage-1 3/3] COPY --from=one /a /a (app/Dockerfile:5)",
)


def told(backend: Backend, caplog: pytest.LogCaptureFixture) -> List[str]:
    """What this run says of steps, by the log and below "Wrote dist/...", seconds left out."""
    (artifact,) = backend.package("app:image").artifacts[-1:]
    lines = [*(record.getMessage() for record in caplog.records), *artifact.extra_log_lines]
    caplog.clear()
    said = (re.sub(r"[0-9]+\.[0-9]s$", "0.0s", line.strip()) for line in lines)
    return sorted(line for line in said if "/3] " in line)


def test_the_log_has_each_step_once_a_run(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    built(backend, files())
    assert [f"{line} - 0.0s" for line in LINES] == told(backend, caplog)
    for _ in range(2):
        built(backend, {})
        assert [f"{line} - cached (local)" for line in LINES] == told(backend, caplog)
    built(backend, files(b="changed"))
    assert [
        f"{LINES[0]} - cached (local)",
        f"{LINES[1]} - 0.0s",
        f"{LINES[2]} - 0.0s",
    ] == told(backend, caplog)


def test_the_log_has_nothing_of_the_dockerfile_before(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    built(backend, files())
    caplog.set_level(logging.INFO)
    built(backend, files(dockerfile="# a comment\n" + DOCKERFILE))
    lines = told(backend, caplog)

    assert 3 == len(lines)
    assert not set(lines) & {f"{line} - cached (local)" for line in LINES}


def test_without_cache_every_run_runs_every_step(backend: Backend) -> None:
    built(backend, files("cache=False"))

    # At least: what the engine starts for the run before may come to its end.
    assert 3 <= built(backend, {}).count("step")


def test_two_checkouts_give_the_same_keys_and_layers(tmp_path: Path) -> None:
    documents = []
    for name in ("one", "two"):
        backend = Backend(tmp_path / name)
        backend.write(files())
        written = backend.files(backend.package("app:image"))
        documents.append(written["app/image.image.json"])

    assert documents[0] == documents[1]


FORMATS = [
    ('formats=["oci-layout"]', ["app/image.image.json", "app/image.oci"]),
    ('formats=["docker-archive"]', ["app/image.docker.tar", "app/image.image.json"]),
    ('formats=["registry"]', ["app/image.image.json"]),
    ('output_path="x/y"', ["x/y.image.json", "x/y.oci"]),
]


@pytest.mark.parametrize(("fields", "expected"), FORMATS)
def test_what_is_written(backend: Backend, fields: str, expected: List[str]) -> None:
    backend.write(files(fields))
    package = backend.package("app:image")
    roots = {"/".join(path.split("/")[:2]) for path in backend.files(package)}

    assert expected == sorted(roots)
    assert expected == sorted(artifact.relpath or "" for artifact in package.artifacts)


def test_the_registry_format_copies_no_bytes(backend: Backend) -> None:
    assert "export" not in built(backend, files('formats=["registry"]'))


def test_the_layout_is_one_that_names_its_blobs(backend: Backend) -> None:
    backend.write(files())
    written = backend.files(backend.package("app:image"))
    index = json.loads(written["app/image.oci/index.json"])
    (entry,) = index["manifests"]
    manifest = json.loads(written["app/image.oci/blobs/sha256/" + entry["digest"][7:]])

    assert "1.0" == entry["annotations"]["org.opencontainers.image.ref.name"]
    for blob in (manifest["config"], *manifest["layers"]):
        assert blob["size"] == len(written["app/image.oci/blobs/sha256/" + blob["digest"][7:]])


def test_layers_that_a_cache_promised_and_lost_are_made_anew(backend: Backend) -> None:
    built(backend, files('formats=["registry"]'))
    built(backend, {})
    before = backend.image("app:image").image
    store = backend.caches / "kaniko_store"
    for path in store.rglob("*"):
        if path.is_file() and "records" not in path.parts:
            path.unlink()
    calls = built(backend, files('formats=["oci-layout"]'))
    after = backend.image("app:image").image

    assert 3 == calls.count("step")
    assert before == after


def test_another_machine_takes_all_steps_from_the_registry(
    tmp_path: Path, registry: RealRegistry
) -> None:
    fields = f'cache_repo="{registry.address}/shared/cache", formats=["registry"]'
    first, second = Backend(tmp_path / "first"), Backend(tmp_path / "second")
    for backend in (first, second):
        backend.set_options(
            f"--kaniko-registries={{'r': {{'address': '{registry.address}', 'insecure': True}}}}"
        )
        backend.write(files(fields))
    made = first.image("app:image").image
    first.calls()
    before = len(registry.accesses())

    assert made == second.image("app:image").image
    assert ["lookup"] == second.calls()
    assert ("registry", "registry") == second.origins("app:image")
    assert first.content_keys("app:image") == second.content_keys("app:image")
    assert None not in second.content_keys("app:image")
    downloads = [
        access
        for access in registry.accesses(since=before)
        if access.method == "GET" and "/blobs/" in access.path and access.status == 200
    ]
    assert made
    layers = {str(layer.descriptor.digest) for layer in made.layers}
    assert not [access for access in downloads if access.path.rpartition("/")[2] in layers]


@pytest.mark.parametrize(
    ("pinned", "calls", "requests"), [(True, [], 0), (False, ["resolve"], 1)], ids=["digest", "tag"]
)
def test_what_asks_a_registry_where_nothing_changed(
    backend: Backend, registry: RealRegistry, pinned: bool, calls: List[str], requests: int
) -> None:
    base = f"{registry.address}/bases/asked:1"
    digest = push(image_of([make_tar(member("etc/os", b"base"))]), base)
    entry = {"address": registry.address, "insecure": True, "default": True}
    backend.set_options(f"--kaniko-registries={ {'r': entry} }")
    named = f"{base}@{digest}" if pinned else base
    fields = 'formats=["registry"]'
    built(backend, files(fields, f"FROM {named}\nCOPY app/a.txt /a/\nCOPY app/b.txt /b/\n"))
    built(backend, {})
    before = len(registry.accesses())

    assert calls == built(backend, {})
    assert requests == len(registry.accesses(since=before))


def test_publish_names_every_tag_in_every_registry(backend: Backend) -> None:
    backend.set_options(
        "--kaniko-registries={'a': {'address': 'a.example', 'default': True, 'extra_image_tags': ['edge']},"
        " 'b': {'address': 'b.example', 'default': True, 'skip_push': True}}",
    )
    backend.write(files('repository="team/{name}", cache_repo="a.example/none", cache=False'))
    processes = backend.publish("app:image")
    image = backend.image("app:image").image
    assert image

    assert [
        (
            tuple(f"a.example/team/image:{tag}@{image.digest}" for tag in ("1.0", "edge")),
            True,
            None,
        ),
        (("b.example/team/image:1.0",), False, "(by `skip_push` of the registry b.example)"),
    ] == [(item.names, item.process is not None, item.description) for item in processes]


def test_a_failing_step_names_its_line(backend: Backend) -> None:
    dockerfile = DOCKERFILE.replace("/a /a\n", "/nothing /a\n")
    backend.write(files(dockerfile=dockerfile))
    with pytest.raises(ExecutionError) as caught:
        backend.package("app:image")

    text = text_of(caught.value)
    assert text.startswith("app/Dockerfile:5: [stage-1 3/3] COPY --from=one /nothing /a failed\n")
    assert ">>  5 | COPY --from=one /nothing /a" in text
