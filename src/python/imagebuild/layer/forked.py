"""Work in a forked process, its value or its error brought back."""

from __future__ import annotations

import _thread  # what `threading` is made of
import os
import signal
import sys
from typing import Any, Callable, NoReturn, Tuple

from imagebuild.errors import ImageBuildError


def may_fork() -> bool:
    """A process with threads must not fork: a lock that another thread holds would never be released."""
    return not _thread._count()


class Forked:
    """Does `work` in a new process, from now on. Whoever does not ask for its outcome calls `close`."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._answer, writer = os.pipe()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._answer)
            _report(work, writer)
        os.close(writer)

    def outcome(self, died: ImageBuildError) -> Any:
        """What the work returned.

        :raises ImageBuildError: the one that it raised, or `died` where the process ended without a word.
        """
        import pickle

        with os.fdopen(os.dup(self._answer), "rb") as answer:
            data = answer.read()
        self._reap()
        if not data:
            raise died
        kind, value, state = pickle.loads(data)  # noqa: S301 - our own child wrote it
        if kind is None:
            return value
        error: ImageBuildError = kind.__new__(kind, *value)
        error.__dict__.update(state)
        raise error

    def close(self) -> None:
        """The process has ended when this returns, if need be by force."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()

    def _reap(self) -> None:
        os.waitpid(self._pid, 0)
        os.close(self._answer)
        self._pid = 0


def _report(work: Callable[[], Any], writer: int) -> NoReturn:
    """Send the outcome and end the process, whatever happens."""
    code = 1
    try:
        import pickle

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
