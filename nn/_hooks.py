"""Hooks: functions that see what a module computes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Self

__all__ = ["Hook"]


class Hook:
    """A function that is called after a module; made by :meth:`nn.Module.register_forward_hook`.

    Attributes:
        function: what is called.
    """

    def __init__(self, module: Any, function: Callable[[Any, tuple[Any, ...], Any], Any]) -> None:
        self._module = weakref.ref(module)  # the module has the hook: no reference cycle
        self.function = function
        _set(module, (*module._hooks, self))

    def remove(self) -> None:
        """Remove the hook. Does nothing if it is removed already."""
        module = self._module()
        if module is not None:
            _set(module, tuple(hook for hook in module._hooks if hook is not self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


def _set(module: Any, hooks: tuple[Hook, ...]) -> None:
    # A new tuple each time: a call that is going on, and a compiled step that watches it, keep the old one.
    if hooks:
        module.__dict__["_hooks"] = hooks
    else:
        module.__dict__.pop("_hooks", None)
