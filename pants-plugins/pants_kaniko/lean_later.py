"""What libraries import and hardly ever use, loaded when it is first used; see LATER in install.py."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Later:
    """Stands for a module, or for a function of it."""

    def __init__(self, module: str, function: str = "") -> None:
        self._module, self._function = module, function

    def _load(self) -> Any:
        from importlib import import_module

        module = import_module(self._module)
        return getattr(module, self._function) if self._function else module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._load()(*arguments, **options)
