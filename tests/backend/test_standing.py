"""Which steps are known from a look-up alone, and which are asked for."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple, cast

import pytest

from imagebuild.execute.requests import Hit
from imagebuild.llb.ops import FileOp
from imagebuild.oci.hash import chain_id
from pants_kaniko import linked, stack
from pants_kaniko.plans import PlanHandle
from pants_kaniko.requests import REGISTRY, BuildImage, BuildStep, BuiltStep
from pants_kaniko.standing import is_whole, standing
from support.planned import handle, layer

Hits = List[Optional[Hit]]
SUBSETS = [each for size in range(5) for each in itertools.combinations(range(4), size)]


def hits(*numbers: int) -> Hits:
    """A look-up's answer in which these steps are cached, over what lies below them in `handle`."""
    chains = {number: ["base", *(f"step {done}" for done in range(number))] for number in range(3)}
    chains[3] = ["base"]
    return [
        Hit(layer(f"step {number}"), REGISTRY, chain_id([layer(n).diff_id for n in chains[number]]))
        if number in numbers
        else None
        for number in range(4)
    ]


def with_links() -> PlanHandle:
    """`handle`, its step 1 a COPY --link, made over nothing."""
    plain = handle()
    steps = list(plain.graph.steps)
    steps[1] = replace(steps[1], op=replace(cast(FileOp, steps[1].op), link=True))
    return replace(plain, graph=replace(plain.graph, steps=tuple(steps)))


def over_nothing(found: Hits) -> Hits:
    return [replace(hit, parents=None) if hit and at == 1 else hit for at, hit in enumerate(found)]


CASES = [
    pytest.param((), (), (0, 1, 2, 3), id="nothing is cached"),
    pytest.param((0, 1, 2, 3), (0, 1, 2, 3), (), id="all is, and costs nothing"),
    pytest.param((3,), (3,), (), id="what the target copies from is not needed"),
    pytest.param((1, 3), (3,), (), id="nor is a step over one that would have to run"),
    pytest.param((0, 3), (0, 3), (), id="a step over the base image costs nothing"),
    pytest.param((2,), (), (0, 1, 2, 3), id="a step needs the ones it is over"),
    pytest.param((0, 1), (0, 1), (2, 3), id="the rest is asked for"),
]


@pytest.mark.parametrize(("cached", "expected", "asked"), CASES)
def test_which_steps_stand_and_which_are_asked_for(
    cached: Tuple[int, ...], expected: Tuple[int, ...], asked: Tuple[int, ...]
) -> None:
    build, found = BuildImage(handle(), run=0), hits(*cached)
    steps = standing(build, found)

    assert expected == tuple(built.number for built in steps)
    assert asked == stack.requested(build, found, steps)
    assert is_whole(build, steps) == (not asked)


def test_a_lost_layer_does_not_stand() -> None:
    build = BuildImage(handle(), run=0, lost=(layer("step 3").diff_id,))

    assert () == standing(build, hits(3))
    assert (0, 1, 2, 3) == stack.requested(build, hits(3), ())


def test_a_hit_over_other_layers_does_not_stand() -> None:
    found = hits(0, 1, 2, 3)
    found[1] = replace(cast(Hit, found[1]), parents=layer("other").diff_id)

    assert [0, 3] == [built.number for built in standing(BuildImage(handle(), run=0), found)]


def test_a_step_that_changed_nothing_stands_and_carries_others() -> None:
    found = hits(0, 1, 2)
    found[1] = replace(cast(Hit, found[1]), layer=None)
    found[2] = replace(cast(Hit, found[2]), parents=cast(Hit, found[1]).parents)
    steps = standing(BuildImage(handle(), run=0), found)

    assert [0, 1, 2] == [built.number for built in steps]
    assert steps[0].chain == steps[1].chain == steps[2].chain[:-1]


def by_itself(build: BuildImage, found: Hits, number: int, *, alone: bool = False) -> BuiltStep:
    """The step as the rule makes it that is asked for it, as far as that comes without running anything."""
    request = BuildStep(build.handle, number, build.lost, build.attempt, alone=alone)
    made = [
        by_itself(build, found, part.number, alone=part.alone) for part in linked.parts(request)
    ]
    if made:
        return linked.laid(request, made)
    needed = stack.needs(build.handle, number, cached=True, alone=alone)
    below = [by_itself(build, found, each) for each in needed]
    hit = stack.usable(stack.promised(found[number], build.lost), request, below)
    assert hit
    step = hit.step or stack.known_step(request, below)
    return stack.completed(request, below, hit.layer, hit.source, step)


@pytest.mark.parametrize("cached", SUBSETS)
@pytest.mark.parametrize("links", [False, True], ids=["plain", "with links"])
def test_a_step_stands_as_it_is_when_it_is_asked_for(cached: Sequence[int], links: bool) -> None:
    plan = with_links() if links else handle()
    found = over_nothing(hits(*cached)) if links else hits(*cached)
    build = BuildImage(plan, run=0)
    steps = standing(build, found)
    expected: Dict[int, BuiltStep] = {
        built.number: by_itself(build, found, built.number) for built in steps
    }

    assert expected == {built.number: built for built in steps}
    assert set(expected) <= set(cached)
    assert {0, 3} & set(cached) <= set(expected)
