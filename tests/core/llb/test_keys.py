"""What a key depends on, and what it must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuild import canonical
from imagebuild.llb.keys import GraphBase, StepGraph, content_step, input_steps
from imagebuild.llb.ops import CopyAction, ExecOp, FileOp, MkdirAction, Op
from imagebuild.llb.plan import ContextInput, PlannedStep, State, TreeInput
from imagebuild.oci import media_types
from imagebuild.oci.descriptor import Descriptor, Layer, Platform
from imagebuild.oci.hash import Hash

AMD64 = Platform("linux", "amd64")


def layer(name: str, repository_noise: str = "") -> Layer:
    blob = Descriptor(media_types.OCI_LAYER_GZIP, Hash.of(f"blob {name}".encode()), 10)
    return Layer(Hash.of(name.encode()), blob)


BASE = GraphBase("localhost:5000/base", Hash.of(b"manifest"), (layer("base"),))
EXEC = ExecOp(("/bin/sh", "-c", "true"), (("PATH", "/bin"),), "/", "", "host")
COPY_ACTION = CopyAction(0, ("a", "b"), "/dest", True, "app", 0o644)
COPY = FileOp((COPY_ACTION,))
CONTEXT = ContextInput(Hash.of(b"context"), ("a", "b"))

GRAPH = StepGraph(
    (BASE,),
    (
        PlannedStep(EXEC, State(base=0)),
        PlannedStep(COPY, State(step=0), (CONTEXT,)),
        PlannedStep(FileOp((MkdirAction("/srv", 0o755),)), State(step=1)),
        PlannedStep(COPY, State(step=2), (TreeInput(State(step=0)),)),
    ),
    AMD64,
    0,
)


def keys(graph: StepGraph) -> List[Hash]:
    return [canonical.fingerprint(step) for step in input_steps(graph)]


def with_step(number: int, **changes: Any) -> StepGraph:
    steps = list(GRAPH.steps)
    steps[number] = replace(steps[number], **changes)
    return replace(GRAPH, steps=tuple(steps))


CHANGES = {
    "base image": (0, replace(GRAPH, bases=(replace(BASE, manifest=Hash.of(b"other")),))),
    "command": (0, with_step(0, op=replace(EXEC, args=("/bin/sh", "-c", "false")))),
    "argument boundary": (0, with_step(0, op=replace(EXEC, args=("/bin/sh", "-c true")))),
    "env value": (0, with_step(0, op=replace(EXEC, env=(("PATH", "/sbin"),)))),
    "env name": (0, with_step(0, op=replace(EXEC, env=(("PATHS", "/bin"),)))),
    "user": (0, with_step(0, op=replace(EXEC, user="app"))),
    "workdir": (0, with_step(0, op=replace(EXEC, cwd="/srv"))),
    "network": (0, with_step(0, op=replace(EXEC, network="none"))),
    "copied file": (1, with_step(1, inputs=(replace(CONTEXT, digest=Hash.of(b"new")),))),
    "destination": (1, with_step(1, op=FileOp((replace(COPY_ACTION, dest="/other"),)))),
    "owner": (1, with_step(1, op=FileOp((replace(COPY_ACTION, owner=None),)))),
    "mode": (1, with_step(1, op=FileOp((replace(COPY_ACTION, mode=0o600),)))),
    "directory": (2, with_step(2, op=FileOp((MkdirAction("/opt", 0o755),)))),
    "source stage": (3, with_step(3, inputs=(TreeInput(State(step=1)),))),
    "platform": (0, replace(GRAPH, platform=Platform("linux", "arm64"))),
    "epoch": (0, replace(GRAPH, epoch=1)),
}


@pytest.mark.parametrize("first, graph", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_moves_its_own_key_and_what_follows_and_nothing_before(
    first: int, graph: StepGraph
) -> None:
    before, after = keys(GRAPH), keys(graph)

    assert before[:first] == after[:first]
    assert not set(before[first:]) & set(after[first:])


UNKEYED = {
    "where the base is kept": replace(GRAPH, bases=(replace(BASE, repository="example.com/x"),)),
    "how the base is compressed": replace(
        GRAPH,
        bases=(replace(BASE, layers=(replace(BASE.layers[0], descriptor=layer("x").descriptor),)),),
    ),
    "how a sandbox is laid out": with_step(1, inputs=(replace(CONTEXT, paths=("other",)),)),
}


@pytest.mark.parametrize("graph", UNKEYED.values(), ids=UNKEYED.keys())
def test_what_does_not_shape_a_layer_moves_no_key(graph: StepGraph) -> None:
    assert keys(GRAPH) == keys(graph)


LINKED = replace(
    GRAPH,
    steps=(
        PlannedStep(EXEC, State(base=0)),
        PlannedStep(FileOp((COPY_ACTION,), link=True), State(step=0), (CONTEXT,)),
        PlannedStep(EXEC, State(step=1)),
        PlannedStep(COPY, State(), (TreeInput(State(step=1)),)),
    ),
)


def linked_over(op: Op) -> StepGraph:
    return replace(LINKED, steps=(PlannedStep(op, State(base=0)), *LINKED.steps[1:]))


def test_a_linked_step_does_not_know_what_it_is_laid_on_and_what_follows_does() -> None:
    before, after = keys(LINKED), keys(linked_over(replace(EXEC, user="app")))

    assert [False, True, False, False] == [one == other for one, other in zip(before, after)]
    assert None is input_steps(LINKED)[1].parent


def test_what_follows_a_linked_step_knows_the_step_too() -> None:
    other = replace(LINKED.steps[1], inputs=(replace(CONTEXT, digest=Hash.of(b"new")),))
    changed = replace(LINKED, steps=(LINKED.steps[0], other, *LINKED.steps[2:]))

    assert [True, False, False, False] == [
        one == other for one, other in zip(keys(LINKED), keys(changed))
    ]


def test_a_linked_step_is_another_than_one_over_nothing() -> None:
    plain = replace(LINKED.steps[1], op=COPY, parent=State())

    assert keys(LINKED)[1] != keys(replace(LINKED, steps=(LINKED.steps[0], plain)))[1]


def test_the_content_key_knows_the_tree_and_not_its_history() -> None:
    tree = [Hash.of(b"one"), Hash.of(b"two")]

    step = content_step(GRAPH, 0, tree, [])
    same = content_step(CHANGES["base image"][1], 0, tree, [])

    assert canonical.dumps(step) == canonical.dumps(same)
    assert canonical.dumps(step) != canonical.dumps(content_step(GRAPH, 0, tree[:1], []))


def test_input_and_content_keys_never_meet() -> None:
    scratch = replace(GRAPH, steps=(PlannedStep(EXEC, State()),), bases=())

    assert keys(scratch)[0] != canonical.fingerprint(content_step(scratch, 0, [], []))


TEXTS = st.text(max_size=5)
EXECS = st.builds(
    ExecOp,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
    TEXTS,
    TEXTS,
    st.sampled_from(("host", "none")),
)


@given(EXECS, EXECS)
def test_two_steps_share_a_key_only_if_they_are_the_same(one: Op, other: Op) -> None:
    def key(op: Op) -> Hash:
        return canonical.fingerprint(content_step(with_step(0, op=op), 0, [], []))

    assert (one == other) == (key(one) == key(other))
