"""Which layers lie below a step, which hits count, and what a build tells of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, cast

import pytest
from pants.engine.fs import EMPTY_DIGEST

from imagebuild.errors import LayerMissingError
from imagebuild.execute.requests import CacheOptions, Hit, LayerSource, LookupResult
from imagebuild.llb.ops import FileOp
from imagebuild.llb.plan import State
from imagebuild.oci.hash import chain_id
from pants_kaniko import linked as linked_steps
from pants_kaniko import report, stack
from pants_kaniko.calls import ExecutorAnswer
from pants_kaniko.plans import PlanHandle, step_title
from pants_kaniko.requests import (
    BUILT,
    LOCAL,
    REGISTRY,
    BuildImage,
    BuildStep,
    BuiltStep,
    CacheLookup,
)
from support.planned import (
    built,
    handle,
    layer,
)


@pytest.mark.parametrize(("number", "expected"), [(0, ()), (1, (0,)), (3, (2,))])
def test_what_a_step_needs(number: int, expected: tuple[int, ...]) -> None:
    assert expected == stack.needs(handle(), number)


def test_what_a_cached_step_needs() -> None:
    assert (0,) == stack.needs(handle(), 1, cached=True)
    assert () == stack.needs(handle(), 3, cached=True)


def linked(**settings: Any) -> PlanHandle:
    """`handle`, its step 1 a COPY --link."""
    plain = handle(**settings)
    step = plain.graph.steps[1]
    steps = list(plain.graph.steps)
    steps[1] = replace(step, op=replace(cast(FileOp, step.op), link=True))
    return replace(plain, graph=replace(plain.graph, steps=tuple(steps)))


def alone(number: int, name: str, origin: str = BUILT) -> BuiltStep:
    top = (LayerSource(layer(name)),)
    return BuiltStep(number, top, top[0].layer, origin, unpacked=origin == BUILT)


def test_a_linked_step_is_made_beside_what_it_is_laid_on() -> None:
    request = BuildStep(linked(), 1)
    own, under = linked_steps.parts(request)

    assert (1, True) == (own.number, own.alone)
    assert (0, False) == (under.number, under.alone)
    assert () == stack.needs(request.handle, 1, alone=True), "it waits for nothing"
    assert (0,) == stack.needs(request.handle, 1), "what stands on it does"
    assert () == linked_steps.parts(own)
    assert () == linked_steps.parts(BuildStep(linked(), 2))


def test_a_linked_step_is_laid_on_top() -> None:
    request = BuildStep(linked(), 1)

    made = linked_steps.laid(request, (alone(1, "linked"), built(0)))

    assert ["base", "step 0", "linked"] == names(made)
    assert (True, (0,)) == (made.unpacked, made.below)
    assert not linked_steps.laid(request, (alone(1, "linked"), built(0, unpacked=False))).unpacked


def test_a_linked_step_is_laid_on_the_base() -> None:
    plain = linked()
    steps = tuple(
        replace(step, parent=State(base=0)) if number == 1 else step
        for number, step in enumerate(plain.graph.steps)
    )
    request = BuildStep(replace(plain, graph=replace(plain.graph, steps=steps)), 1)

    assert [BuildStep(request.handle, 1, alone=True)] == list(linked_steps.parts(request))
    assert ["base", "linked"] == names(linked_steps.laid(request, (alone(1, "linked"),)))


def test_a_linked_step_misses_what_its_parts_miss() -> None:
    gone = (layer("gone").diff_id,)

    blocked = linked_steps.laid(BuildStep(linked(), 1), (alone(1, "x"), BuiltStep(0, missing=gone)))

    assert (gone, None) == (blocked.missing, blocked.layer)


def test_a_hit_of_a_linked_step_holds_over_anything() -> None:
    request = BuildStep(linked(), 1, alone=True)
    hit = Hit(layer("linked"), REGISTRY, None)

    assert hit == stack.usable(hit, request, ())
    assert (
        stack.usable(replace(hit, parents=chain_id([layer("base").diff_id])), request, ()) is None
    )
    assert (0, 1, 2, 3) == stack.requested(BuildImage(linked(), run=0), [None, hit, None, None], ())


def names(made: BuiltStep) -> List[str]:
    known = {layer(name).diff_id: name for name in ("base", "step 0", "linked")}
    return [known[source.layer.diff_id] for source in made.chain]


def test_what_a_broken_promise_brings_in() -> None:
    made = stack.completed(BuildStep(handle(), 3), (built(2),), layer("new"), BUILT, None)

    assert (2,) == stack.unasked([made])
    assert () == stack.unasked([made, built(2)])


def test_what_stands_on_stored_layers_has_all_of_them() -> None:
    request, below = BuildStep(handle(), 1), (built(0, LOCAL, unpacked=False),)
    stored = [source.layer.diff_id for source in below[0].chain]
    made = [
        stack.completed(request, below, layer("new"), BUILT, None, stored=known)
        for known in (stored, stored[:1])
    ]

    assert [True, False] == [step.unpacked for step in made]


def test_what_is_soon_made_again_is_pushed_at_the_end() -> None:
    quick, slow = built(0), replace(built(1), milliseconds=1000)
    steps = (quick, slow, built(2, LOCAL), built(3, REGISTRY))

    assert [slow] == [step for step in steps if stack.pushed_at_once(step)]
    assert (quick, steps[2]) == stack.pushed_at_last(steps)


def test_a_hit_holds_only_over_the_layers_it_was_made_on() -> None:
    request, below = BuildStep(handle(), 1), (built(0),)
    right = chain_id([layer("base").diff_id, layer("step 0").diff_id])

    assert stack.usable(Hit(layer("x"), REGISTRY, right), request, below)
    assert stack.usable(Hit(layer("x"), REGISTRY, layer("other").diff_id), request, below) is None
    assert stack.usable(Hit(layer("x"), REGISTRY, None), request, below) is None  # made on scratch


def test_a_lost_layer_is_no_hit() -> None:
    request = BuildStep(handle(), 0, lost=(layer("x").diff_id,))
    base = chain_id([layer("base").diff_id])

    assert stack.usable(Hit(layer("x"), LOCAL, base), request, ()) is None
    assert stack.usable(Hit(None, LOCAL, base), request, ()) is not None


def test_a_cache_that_does_not_answer_is_asked_once_a_run() -> None:
    settings = handle(repository="r.example/cache").settings

    assert settings.cache == stack.cache_now(settings, CacheLookup(LookupResult(())))
    assert CacheOptions() == stack.cache_now(
        settings, CacheLookup(LookupResult((), ("no answer",)))
    )


def test_the_new_layer_lies_on_top() -> None:
    request = BuildStep(handle(repository="r.example/cache"), 0)
    made = stack.completed(request, (), layer("new"), BUILT, None)

    assert made.chain == (
        LayerSource(layer("base"), ("docker.io/library/debian",)),
        LayerSource(layer("new"), ("r.example/cache",)),
    )


def test_a_step_without_a_layer_adds_none() -> None:
    assert (
        built(0).chain
        == stack.completed(BuildStep(handle(), 1), (built(0),), None, LOCAL, None).chain
    )


def test_lost_layers_are_made_anew_and_each_once() -> None:
    build = BuildImage(handle(), run=7)
    steps = [built(0), BuiltStep(1, missing=(layer("step 0").diff_id,))]
    first = stack.again(build, [layer("step 0").diff_id], steps, 8)

    assert BuildImage(build.handle, 8, (layer("step 0").diff_id,), 1, told=(0,)) == first
    for hopeless in (layer("base").diff_id, layer("step 0").diff_id):
        with pytest.raises(LayerMissingError, match="no step can make them"):
            stack.again(first, [hopeless], (), 8)


def test_a_step_is_blocked_by_something() -> None:
    """With nothing missing it would pass for a step over nothing, and what follows would lose the base image."""
    assert (layer("x").diff_id,) == stack.blocked(
        BuildStep(handle(), 0), [layer("x").diff_id]
    ).missing
    with pytest.raises(AssertionError, match="blocked by something"):
        stack.blocked(BuildStep(handle(), 0), ())


def test_a_failed_step_says_where_and_what() -> None:
    answer = ExecutorAnswer(
        10, b"", "some output\nRUN make exited 7\nfix: see above\n", EMPTY_DIGEST
    )

    assert (
        "app/Dockerfile:2: [build 1/4] RUN make failed\n"
        "excerpt\n\nsome output\nRUN make exited 7\nfix: see above"
    ) == str(report.explain_failure(handle(), 0, answer))


@pytest.mark.parametrize(
    ("code", "ours"), [(70, True), (1, True), (-9, True), (10, False), (69, False)]
)
def test_our_own_fault_is_called_so(code: int, ours: bool) -> None:
    assert ours == (
        "please report it" in report.said(ExecutorAnswer(code, b"", "text", EMPTY_DIGEST))
    )


def test_silence_is_said_too() -> None:
    assert "exit code 70" in report.said(ExecutorAnswer(70, b"", "", EMPTY_DIGEST))


SUMMARIES: List[tuple[List[str], str]] = [
    ([], "no steps, only metadata"),
    ([BUILT], "1 step: 1 built"),
    ([REGISTRY] * 7 + [BUILT] * 2, "9 steps: 7 cached (registry), 2 built"),
    ([LOCAL, REGISTRY, BUILT], "3 steps: 1 cached (local), 1 cached (registry), 1 built"),
]


@pytest.mark.parametrize(("origins", "expected"), SUMMARIES)
def test_summary(origins: List[str], expected: str) -> None:
    assert expected == report.summary([built(0, origin) for origin in origins], len(origins))


def test_the_summary_counts_the_steps_of_the_plan() -> None:
    assert "2 steps: 1 cached (local), 1 not needed" == report.summary([built(1, LOCAL)], 2)


def test_titles_are_short() -> None:
    title = step_title(handle().plan, 0)

    assert "[build 1/4] RUN make" == title
    assert "1.2s" == BuiltStep(0, origin=BUILT, milliseconds=1234).message()
    assert "cached (registry)" == BuiltStep(0, origin=REGISTRY).message()
