"""Linked steps (COPY --link): made by themselves, and laid on top of what is below without waiting for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence, Tuple

from pants_kaniko import stack
from pants_kaniko.requests import BuildStep, BuiltStep


def parts(request: BuildStep) -> Tuple[BuildStep, ...]:
    """A linked step's layer by itself, and what it is laid on, which are made at the same time; () for any other step."""
    planned = request.handle.graph.steps[request.number]
    if request.alone or planned.over == planned.parent:
        return ()
    alone = replace(request, alone=True)
    return (
        (alone,)
        if planned.parent.step is None
        else (alone, stack.below(request, planned.parent.step))
    )


def laid(request: BuildStep, made: Sequence[BuiltStep]) -> BuiltStep:
    """The step from its `parts`."""
    missing = stack.missing_of(made)
    if missing:
        return stack.blocked(request, missing)
    own, under = made[0], made[1:]
    planned = request.handle.graph.steps[request.number]
    return replace(
        own,
        chain=stack.chain_of(request.handle, planned.parent, under) + own.chain,
        unpacked=own.unpacked and any(built.unpacked for built in under),
        below=tuple(sorted({*own.below, *(built.number for built in under)})),
    )
