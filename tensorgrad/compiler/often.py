"""A function that a library calls again and again for its effects: compiled once it has been called often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine.mode import current
from .replay import Replay
from .step import CompiledStep
from .tiers import has_llvm

__all__ = ["replayed"]

CALLS = 20  # uncompiled calls before the first trace, which takes as long as a few dozen of them
SHARE = 1 / 5  # of a training step that an update takes, at most; so compiling it pays after that much less of its work
PROGRAMS = 8  # a function that needs more changes too often to be compiled


def replayed(function: Callable[[], None], by: str) -> Callable[[], None]:
    """A function that does the same as this one, and is compiled once it has been called often.

    What :func:`tensorgrad.compile` says about a step with ``edits=False`` holds, except that nothing is ever said: a
    call that cannot be compiled runs as it is, without a warning. Without the extra ``native`` it always does. For a
    function that works element by element, compiled code has the bits of NumPy.

    Args:
        function: has no arguments and returns nothing; it works in place on Tensors and arrays from outside.
        by: what it is called in messages about what it writes to.

    >>> import numpy as np, tensorgrad as tg
    >>> w = tg.Tensor(np.ones(3), requires_grad=True)
    >>> def shrink():
    ...     memory = tg.writes_to(w, by="shrink")
    ...     np.multiply(memory, 0.5, out=memory)
    >>> step = tg.replayed(shrink, by="shrink")
    >>> for _ in range(30):
    ...     step()
    >>> bool((w.data == 0.5**30).all())
    True
    """
    return _Replayed(function, by) if has_llvm() else function


class _Replayed(CompiledStep):
    """What :func:`replayed` returns."""

    def __init__(self, function: Callable[[], None], by: str) -> None:
        super().__init__(function, edits=False)
        self._by = by
        self._calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, or replay it."""
        mode = current()
        if self._calls < CALLS or not mode.plain or mode.hosted:  # a drawing or a check wants to see each operation
            self._calls += 1
            return self.function()
        return super().__call__()

    def _first(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return super()._first(key, args, kwargs) if self.traces < PROGRAMS else self.function()

    def _keep(self, key: Any, run: Replay) -> None:
        run.count_for(1 / SHARE)
        super()._keep(key, run)

    def _warn(self, text: str) -> None:
        pass
