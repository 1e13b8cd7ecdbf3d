"""Which steps a look-up says can run at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Tuple, cast

import pytest

from imagebuild.errors import LayerMissingError, SourceNotInContextError
from imagebuild.execute.assemble import DEFAULT_EPOCH
from imagebuild.execute.build import Built
from imagebuild.execute.effects import Effects
from imagebuild.execute.lookup import lookup
from imagebuild.execute.pure_requests import StepRequest, StepResult
from imagebuild.execute.requests import CacheOptions, Hit, LookupRequest, LookupResult
from imagebuild.execute.step import run_step
from imagebuild.llb.keys import StepGraph
from imagebuild.llb.ops import CopyAction, FileOp
from imagebuild.oci.hash import Hash, chain_id
from support.builds import Machine

DOCKERFILE = """\
FROM BASE AS make
RUN echo 1 > /one
FROM BASE
RUN echo 2 > /two
COPY a.txt /
RUN cat /a.txt > /read
COPY --from=make /one /copied
"""
FILES = {"a.txt": "a"}

# What is changed after DOCKERFILE was built, and the numbers of the steps that are ready then.
CHANGES: Dict[str, Tuple[str, str, List[int]]] = {
    "a stage: what copies from it is not known": ("echo 1", "echo 3", [0]),
    "a RUN: what stands on it is not known": ("echo 2", "echo 3", [1]),
    "two stages": ("echo", "echo more", [0, 1]),
    "a COPY": ("COPY a", "COPY --chmod=600 a", [2]),
    "a RUN over a COPY": ("cat", "tac", [3]),
    "a COPY of another stage": ("/copied", "/other", [4]),
    "nothing": ("", "", []),
}


def asked(machine: Machine, built: Built, cache: str = "") -> LookupResult:
    graph = StepGraph.of(built.plan, DEFAULT_EPOCH)
    return lookup(LookupRequest(graph, CacheOptions(cache)), Effects(machine.store, {}))


def planned(machine: Machine, old: str, new: str) -> Built:
    """DOCKERFILE after a change, as some other machine builds it that tells nobody."""
    text = DOCKERFILE.replace(old, new) if old else DOCKERFILE
    return machine.fresh("planned").build(text, FILES, cache=CacheOptions())


@pytest.mark.parametrize(("old", "new", "expected"), CHANGES.values(), ids=CHANGES)
def test_the_first_steps_that_miss_are_ready_where_their_layers_are_stored(
    here: Machine, old: str, new: str, expected: List[int]
) -> None:
    here.build(DOCKERFILE, FILES)

    found = asked(here, planned(here, old, new))

    assert expected == [ready.number for ready in found.ready]
    stored = {layer.diff_id for base in found.hits if base for layer in [base.layer] if layer}
    assert stored <= set(found.stored) if expected else found.stored == ()


def test_on_a_fresh_machine_a_copy_is_ready_and_a_run_lacks_its_layers(here: Machine) -> None:
    """The index of a layer is small, and comes from the cache repository."""
    here.build(DOCKERFILE, FILES)
    copy = planned(here, *CHANGES["a COPY"][:2])
    fresh = here.fresh("fresh")
    before = len(here.registry.accesses())

    found = asked(fresh, copy, here.cache)
    sent = [access.size for access in here.registry.accesses(before) if "/blobs/" in access.path]

    assert [2] == [ready.number for ready in found.ready]
    assert () == found.stored
    assert max(sent) < 20_000, "no layer"
    assert (
        () == asked(here.fresh("another"), copy).ready
    ), "without the repository, nothing is known"


def test_a_run_on_a_fresh_machine_is_not_ready(here: Machine) -> None:
    here.build(DOCKERFILE, FILES)
    plan = planned(here, *CHANGES["a RUN over a COPY"][:2])

    assert () == asked(here.fresh("fresh"), plan, here.cache).ready


def opened(machine: Machine) -> Tuple[StepRequest, Hit]:
    """The last step of DOCKERFILE, which copies from a stage, as it runs when nobody has looked into that stage."""
    built = machine.build(DOCKERFILE, FILES)
    hits = asked(machine, built).hits
    hit, stage = hits[4], hits[0]
    assert hit
    assert hit.step
    assert stage
    assert stage.layer
    tree = (*(layer.diff_id for layer in built.plan.bases[0].layers), stage.layer.diff_id)
    return StepRequest(replace(hit.step, inputs=(chain_id(tree),)), trees=(tree,), unread=(0,)), hit


def test_a_step_finds_out_what_it_selects_from_a_tree(here: Machine) -> None:
    request, hit = opened(here)

    assert StepResult(hit.layer, hit.step) == run_step(request, here.store, "nowhere")


def test_such_a_step_says_what_it_lacks(here: Machine) -> None:
    request, _ = opened(here)
    (action,) = cast(FileOp, request.step.op).actions
    other = replace(cast(CopyAction, action), sources=("/other",))
    wrong = replace(request.step, op=replace(cast(FileOp, request.step.op), actions=(other,)))
    gone = Hash.of(b"gone")

    with pytest.raises(SourceNotInContextError, match='"/other"'):
        run_step(replace(request, step=wrong), here.store, "nowhere")
    with pytest.raises(LayerMissingError) as error:
        run_step(replace(request, trees=((gone,),)), here.store, "nowhere")
    assert (str(gone),) == error.value.diff_ids
