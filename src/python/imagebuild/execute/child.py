"""Work in a forked process, its value or its error brought back.

A RUN forks, and so has to start in a process without threads; a registry client keeps some.
"""

from __future__ import annotations

from typing import Callable, TypeVar

from imagebuild.errors import StepError
from imagebuild.layer.forked import Forked

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """What `work` returns, or the `ImageBuildError` that it raises.

    :raises StepError: when the process dies without a word.
    """
    died = StepError("the process of a step died", hint="see its output above")
    result: T = Forked(work).outcome(died)
    return result
