"""Which steps run without a process that prepares them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagebuild.execute.requests import LookupResult, ReadyStep
from imagebuild.oci.hash import chain_id
from pants_kaniko import stack
from pants_kaniko.ready import Ready, ready_step
from pants_kaniko.requests import BUILT, LOCAL, REGISTRY, BuildStep, CacheLookup
from support.planned import built, handle, layer

READY = [
    pytest.param("", BUILT, True, True, id="nothing to ask"),
    pytest.param("r.example/cache", BUILT, True, False, id="a cache repository may know it"),
    pytest.param("", LOCAL, True, False, id="what is below may not be unpacked"),
    pytest.param("", BUILT, False, False, id="what is below was only written"),
]


@pytest.mark.parametrize(("repository", "origin", "unpacked", "expected"), READY)
def test_which_run_needs_no_preparation(
    repository: str, origin: str, unpacked: bool, expected: bool
) -> None:
    request = BuildStep(handle(repository=repository), 2)
    below = (built(1, origin, unpacked=unpacked),)
    found = ready_step(request, below, CacheLookup(LookupResult(())))

    assert expected == (found is not None)


def test_a_run_that_no_cache_knows_needs_no_preparation() -> None:
    request, below = BuildStep(handle(repository="r.example/cache"), 2), (built(1, unpacked=True),)

    assert ready_step(request, below, CacheLookup(LookupResult((), novel=(2,))))
    assert not ready_step(request, below, CacheLookup(LookupResult((), novel=(3,))))


def test_a_step_that_the_look_up_found_ready_needs_no_preparation() -> None:
    request = BuildStep(handle(repository="r.example/cache"), 1)
    below = (built(0, REGISTRY),)
    known = stack.known_step(request, below)
    assert known
    found = CacheLookup(LookupResult((), ready=(ReadyStep(1, known),)))
    other = CacheLookup(LookupResult((), ready=(ReadyStep(1, replace(known, parents=())),)))

    assert Ready(known) == ready_step(request, below, found)
    assert ready_step(request, below, other) is None, "made over other layers"
    assert ready_step(replace(request, number=3), (built(2),), found) is None
    assert ready_step(replace(request, attempt=1), below, found) is None, "layers were lost"


def test_a_copy_from_a_stage_that_was_made_now_finds_out_itself_what_it_selects() -> None:
    request, base = BuildStep(handle(), 3), layer("base").diff_id
    stored = CacheLookup(LookupResult((), stored=(base,)))
    made = built(2, unpacked=True)
    ready = ready_step(request, (made,), stored)

    assert ready
    assert (0,) == ready.unread
    assert (chain_id([source.layer.diff_id for source in made.chain]),) == ready.step.inputs
    assert ready_step(request, (made,), CacheLookup(LookupResult(()))) is None, "over what?"
    assert ready_step(request, (built(2, unpacked=False),), stored) is None, "its bytes are read"
    assert ready_step(replace(request, attempt=1), (made,), stored) is None, "stored no more"
