"""What a call gives or how it refuses, as one comparable value."""

from __future__ import annotations

from typing import Any, Callable

from imagebuild.errors import ImageBuildError


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except ImageBuildError as error:
        return type(error), error.message
