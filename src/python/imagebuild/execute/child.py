"""Work in a forked process, its value or its error brought back.

A RUN forks, and so has to start in a process without threads; a registry client keeps some.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any, Callable, Tuple, TypeVar

from imagebuild.errors import ImageBuildError, StepError

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """What `work` returns, or the `ImageBuildError` that it raises.

    :raises StepError: when the process dies without a word.
    """
    reader, writer = os.pipe()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _report(work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    if not data:
        raise StepError("the process of a step died", hint="see its output above")
    kind, value, state = pickle.loads(data)  # noqa: S301 - our own child wrote it
    if kind is None:
        result: T = value
        return result
    error: ImageBuildError = kind.__new__(kind, *value)
    error.__dict__.update(state)
    raise error


def _report(work: Callable[[], Any], writer: int) -> None:
    """Send the outcome and end the process, whatever happens."""
    code = 1
    try:
        try:
            message: Tuple[Any, Any, Any] = (None, work(), {})
        except ImageBuildError as error:
            message = (type(error), error.args, error.__dict__)
        sys.stderr.flush()
        with os.fdopen(writer, "wb") as answer:
            answer.write(pickle.dumps(message))
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)
