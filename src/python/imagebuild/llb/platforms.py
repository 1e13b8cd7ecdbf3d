"""Plans of one target for several platforms, put together: what they have in common is there once.

A stage that runs on the machine's own platform, whatever is built for (``FROM --platform=$BUILDPLATFORM``), makes the same
steps in every plan. Put together they are one step, which is looked up, built, logged and pushed once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple

from imagebuild.llb.plan import (
    ContextInput,
    Origin,
    Plan,
    PlannedStep,
    RemoteSource,
    ResolvedBase,
    State,
    StepInput,
    TreeInput,
)


def merged(plans: Sequence[Plan]) -> Tuple[Plan, ...]:
    """The same plans over the same bases, steps, origins and remotes: those of all of them. One plan stays as it is.

    :param plans: without the trees of their remotes (`Plan.with_remotes`), each for a platform of its own.
    """
    if len(plans) == 1:
        return tuple(plans)
    union = _Union(plans)
    moved = [union.add(plan) for plan in plans]
    warnings = tuple(dict.fromkeys(text for plan in plans for text in plan.warnings))
    return tuple(
        replace(
            plan,
            bases=tuple(union.bases),
            steps=tuple(step for step, _ in union.steps),
            origins=tuple(origin for _, origin in union.steps),
            remotes=tuple(union.remotes),
            warnings=warnings,
        )
        for plan in moved
    )


class _Union:
    """Everything that plans are made of, each once, with its number."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.bases: Dict[ResolvedBase, int] = {}
        self.remotes: Dict[RemoteSource, int] = {}
        self.steps: Dict[Tuple[PlannedStep, Origin], int] = {}
        for plan in plans:
            for base in plan.bases:
                self.bases.setdefault(base, len(self.bases))

    def add(self, plan: Plan) -> Plan:
        """`plan` with the numbers that hold here."""
        numbers: List[int] = []
        for step, origin in zip(plan.steps, plan.origins):
            own = replace(
                step,
                parent=self._state(plan, numbers, step.parent),
                inputs=tuple(self._input(plan, numbers, item) for item in step.inputs),
                platform=step.platform or plan.platform,
            )
            numbers.append(self.steps.setdefault((own, origin), len(self.steps)))
        history = tuple(
            item if item.step is None else replace(item, step=numbers[item.step])
            for item in plan.history
        )
        return replace(
            plan,
            target=self._state(plan, numbers, plan.target),
            target_base=self._base(plan, plan.target_base),
            history=history,
        )

    def _input(self, plan: Plan, numbers: Sequence[int], item: StepInput) -> StepInput:
        if isinstance(item, ContextInput):
            return item
        return TreeInput(self._state(plan, numbers, item.state))

    def _state(self, plan: Plan, numbers: Sequence[int], state: State) -> State:
        if state.step is not None:
            return State(step=numbers[state.step])
        return State(base=self._base(plan, state.base))

    def _base(self, plan: Plan, number: Optional[int]) -> Optional[int]:
        """Behind the images are the trees of what is fetched."""
        if number is None:
            return None
        if number < len(plan.bases):
            return self.bases[plan.bases[number]]
        remote = plan.remotes[number - len(plan.bases)]
        return len(self.bases) + self.remotes.setdefault(remote, len(self.remotes))
