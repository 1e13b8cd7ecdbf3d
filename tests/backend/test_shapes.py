"""Processes are values: what is in them, and above all what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Dict

import pytest
from pants.engine.fs import EMPTY_DIGEST, FileDigest, FileEntry
from pants.engine.process import Process, ProcessCacheScope

from imagebuild import canonical
from imagebuild.execute.pure_requests import ExportRequest, StepRequest
from imagebuild.execute.requests import LayerSource
from imagebuild.llb.keys import content_step
from imagebuild.llb.plan import WantedImage
from imagebuild.oci.descriptor import Descriptor, Layer
from pants_kaniko import delivery, output, shapes, stack
from pants_kaniko.calls import Daemon, Executor, ExecutorCall
from pants_kaniko.ready import Ready
from pants_kaniko.requests import BuildStep
from support.planned import (
    EXECUTOR,
    HERE,
    REGISTRY_HOST,
    SECRETS,
    built,
    handle,
    layer,
)


def step_call(number: int = 1) -> ExecutorCall:
    request = BuildStep(handle(repository=f"{REGISTRY_HOST}/cache"), number)
    below = tuple(built(needed) for needed in stack.needs(request.handle, number))
    step = content_step(request.handle.graph, number, (), ())
    return shapes.step_call(request, Ready(step), below, EMPTY_DIGEST)


def export_call() -> ExecutorCall:
    return output.export_call((LayerSource(layer("x"), (f"{REGISTRY_HOST}/cache",)),), 0)


def of(call: ExecutorCall, executor: Executor = EXECUTOR) -> Process:
    return shapes.process(executor, call, EMPTY_DIGEST, SECRETS, Daemon("daemon 1"))


@pytest.mark.parametrize("call", [step_call, export_call])
def test_a_pure_call_has_nothing_of_the_user_or_a_registry(
    call: Callable[[], ExecutorCall]
) -> None:
    made = call()
    process = of(made)

    assert {} == dict(process.env)
    assert ProcessCacheScope.SUCCESSFUL == process.cache_scope
    assert b"canary" not in made.request
    assert "canary" not in " ".join(process.argv)
    assert {"kaniko_store", "kaniko_pythons"} == set(process.append_only_caches.values())


def test_an_effect_gets_the_environment() -> None:
    call = shapes.lookup_call(handle())

    assert SECRETS == dict(of(call).env)


def test_a_step_is_told_what_is_hashed_and_no_line() -> None:
    call = step_call(3)
    request = canonical.loads(StepRequest, call.request)

    assert (
        (layer("base").diff_id, *(layer(f"step {n}").diff_id for n in range(3))),
    ) == request.trees
    assert b"Dockerfile" not in call.request
    assert "[stage-1 4/4] COPY --from=build a /a (app/Dockerfile:5)" == call.description


def test_the_sandbox_of_a_step_holds_what_it_selects() -> None:
    entries = shapes.context_entries(handle(), 1)

    assert ["context/dir", "context/dir/file", "context/link"] == [entry.path for entry in entries]
    assert FileEntry("context/dir/file", FileDigest("0" * 64, 3), True) == entries[1]


def test_an_attempt_has_a_salt() -> None:
    first, third = (
        of(output.export_call((LayerSource(layer("x")),), attempt)).argv for attempt in (0, 2)
    )

    assert (*first, "--salt", "attempt 2") == third


def test_what_starts_a_server_is_the_same_for_every_call_of_its_kind() -> None:
    """Pants tells servers apart by what is before the name, the environment and the files that a server keeps."""
    first, second = of(step_call()), of(export_call())
    at = first.argv.index("-cp")

    assert first.argv[: at + 3] == second.argv[: at + 3]
    assert ("step", "export") == (first.argv[at + 3], second.argv[at + 3])
    assert (shapes.EXECUTOR_DIR,) == first.use_nailgun == second.use_nailgun


def test_a_call_for_one_run_is_served_and_not_remembered() -> None:
    once = replace(step_call(), scope=ProcessCacheScope.PER_SESSION)
    process = of(once)

    assert ProcessCacheScope.SUCCESSFUL == process.cache_scope
    assert "--once" == process.argv[-1]
    assert process.use_nailgun


@pytest.mark.parametrize(
    ("env", "remembered"),
    [
        ({"HOME": "/home/me@example.com", "PATH": "/bin"}, True),
        ({"https_proxy": "http://proxy.example:3128"}, True),
        ({"https_proxy": "http://me:secret@proxy.example:3128"}, False),
        ({"DOCKER_AUTH_CONFIG": "{}"}, False),
    ],
)
def test_a_call_with_a_secret_is_remembered_by_nobody(
    env: Dict[str, str], remembered: bool
) -> None:
    """Pants' remote cache gets the whole command of what it remembers, and with it the environment."""
    made = shapes.process(
        EXECUTOR, shapes.lookup_call(handle()), EMPTY_DIGEST, env, Daemon("daemon 1")
    )

    assert remembered == ("--once" not in made.argv)
    assert env == dict(made.env)


def test_what_the_daemon_alone_remembers_has_its_name() -> None:
    lasting = replace(step_call(), scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL)
    again = replace(lasting, salt="attempt 2")

    assert ("--salt", "daemon 1") == of(lasting).argv[-2:]
    assert ("--salt", "attempt 2 of daemon 1") == of(again).argv[-2:]
    assert of(lasting) != shapes.process(EXECUTOR, lasting, EMPTY_DIGEST, {}, Daemon("daemon 2"))
    assert ProcessCacheScope.SUCCESSFUL == of(lasting).cache_scope


def test_an_executor_that_is_alone_has_no_server() -> None:
    assert () == of(step_call(), shapes.alone(EXECUTOR)).use_nailgun


def test_an_attempt_of_another_run_is_another_call() -> None:
    again = BuildStep(handle(), 0, (layer("x").diff_id,), 1, run=7)
    ready = Ready(stack.known_step(again, ()) or pytest.fail("no step"))
    calls = [
        shapes.step_call(each, ready, (), EMPTY_DIGEST) for each in (again, replace(again, run=8))
    ]

    assert ["attempt 1 of run 7", "attempt 1 of run 8"] == [call.salt for call in calls]


SCOPES = [
    (("a@sha256:" + "0" * 64,), "", ProcessCacheScope.SUCCESSFUL, ""),
    (("a@sha256:" + "0" * 64,), "7", ProcessCacheScope.SUCCESSFUL, ""),
    (("a:1", "a@sha256:" + "0" * 64), "", ProcessCacheScope.PER_SESSION, ""),
    (("a:1",), "7", ProcessCacheScope.SUCCESSFUL, "7"),
]


@pytest.mark.parametrize(("refs", "bucket", "scope", "salt"), SCOPES)
def test_how_long_a_base_image_is_taken_for_the_same(
    refs: tuple[str, ...], bucket: str, scope: ProcessCacheScope, salt: str
) -> None:
    images = tuple(WantedImage(ref, HERE) for ref in refs)
    call = shapes.resolve_call(images, (), bucket)

    assert (scope, salt) == (call.scope, call.salt)


def test_a_ttl_is_looked_at_in_every_run() -> None:
    assert ProcessCacheScope.PER_SESSION == shapes.lookup_call(handle(ttl=60)).scope
    assert ProcessCacheScope.SUCCESSFUL == shapes.lookup_call(handle()).scope


def test_without_cache_a_step_is_not_remembered() -> None:
    request = BuildStep(handle(use_cache=False), 0)
    step = content_step(request.handle.graph, 0, (), ())
    call = shapes.step_call(request, Ready(step), (), EMPTY_DIGEST)

    assert ProcessCacheScope.PER_SESSION == call.scope
    assert canonical.loads(StepRequest, call.request).use_records is False


def test_the_same_blob_is_exported_once_whatever_it_is_called() -> None:
    plain = layer("x")
    annotated = Layer(plain.diff_id, Descriptor("x", plain.descriptor.digest, 1, (("a", "b"),)))

    call = output.export_call((LayerSource(plain),), 0)

    assert call == output.export_call((LayerSource(annotated, ("r",)),), 0)
    ((_, path),) = canonical.loads(ExportRequest, call.request).blobs
    assert (path,) == call.outputs


def test_small_layers_are_exported_together_and_a_large_one_alone() -> None:
    def of_size(size: int) -> LayerSource:
        plain = layer(str(size))
        return LayerSource(replace(plain, descriptor=replace(plain.descriptor, size=size)))

    below, large, top = [of_size(1), of_size(2)], of_size(1 << 30), [of_size(3), of_size(4)]

    assert (tuple(below), (large,), tuple(top)) == output.batches([*below, large, *top])
    assert () == output.batches(())


def test_where_the_interpreter_lies_is_no_part_of_a_key() -> None:
    linked = Executor(EMPTY_DIGEST, "/home/canary/python", "kaniko_pythons/abc")
    process = of(step_call(), linked)

    assert "kaniko_pythons/abc" == process.argv[0]
    assert "canary" not in " ".join(process.argv)
    assert "{chroot}/kaniko_pythons/abc" == delivery.run_args(linked)[0]
    assert "/home/canary/python" == shapes.executor_argv(shapes.alone(linked), "step")[0]
