"""The standard library's `contextlib`, as far as a small step uses it; the core's modules get it in the executor's bundle.

The original needs `collections` and `functools`, and with them a tenth of a small step. What is not here is the original's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def contextmanager(function: Any) -> Any:
    def manager(*args: Any, **kwargs: Any) -> _Generated:
        return _Generated(function(*args, **kwargs))

    return manager


class _Generated:
    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def __enter__(self) -> Any:
        for value in self._generator:
            return value
        raise RuntimeError("generator didn't yield")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is None:
            for _ in self._generator:
                raise RuntimeError("generator didn't stop")
            return False
        try:
            self._generator.throw(error)
        except StopIteration as stopped:
            return stopped is not error
        except RuntimeError as other:
            # a StopIteration that comes out of a generator does so as the cause of a RuntimeError
            if other is error or (isinstance(error, StopIteration) and other.__cause__ is error):
                return False
            raise
        except BaseException as other:
            if other is error:
                return False
            raise
        raise RuntimeError("generator didn't stop after throw()")


class suppress:  # noqa: N801 - the original's name
    def __init__(self, *kinds: Any) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return kind is not None and issubclass(kind, self._kinds)


class nullcontext:  # noqa: N801 - the original's name
    def __init__(self, enter_result: Any = None) -> None:
        self.enter_result = enter_result

    def __enter__(self) -> Any:
        return self.enter_result

    def __exit__(self, *exception: Any) -> None:
        pass


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # the import system asks for __path__
        raise AttributeError(name)
    import contextlib

    return getattr(contextlib, name)
