"""Operations whose gradients for all inputs are computed together."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from ..engine.graph import Rule

__all__ = ["Joint"]


class Joint:
    """Rules that share one computation: the first one that the walk calls does it, and the others use its results.

    The walk calls all rules of a node in a row, with the same gradient. Results that it never asks for, because it
    only needs the gradients of some leaves, are freed along with that gradient.

    Args:
        compute: computes the gradients for all inputs from the gradient of the result and what was saved.
        result: whether the result is saved, after the inputs.
    """

    def __init__(self, compute: Callable[[Any, tuple[Any, ...]], list[Any]], *, result: bool) -> None:
        self._compute = compute
        self._result = result
        self._found: dict[int, tuple[Callable[[], Any], dict[int, Any]]] = {}  # by thread: g, and gradients by input

    def rules(self, count: int) -> list[Rule]:
        """The rules for ``count`` inputs."""
        return [self._rule(i) for i in range(count)]

    def _rule(self, i: int) -> Rule:
        def d_input(xp: Any, g: Any, *xs: Any) -> Any:
            return self._gradient(i, g, xs)

        def d_input_by_result(xp: Any, g: Any, *all: Any) -> Any:
            return self._gradient(i, g, all)

        return d_input_by_result if self._result else d_input

    def _gradient(self, i: int, g: Any, saved: tuple[Any, ...]) -> Any:
        found, thread = self._found, threading.get_ident()
        known = found.get(thread)
        if known is None or known[0]() is not g or i not in known[1]:
            gradients = {k: r for k, r in enumerate(self._compute(g, saved)) if r is not None}
            try:
                # No Python code runs in the callback, where Ctrl-C would be lost.
                alive: Callable[[], Any] = weakref.ref(g, partial(found.pop, thread))
            except TypeError:  # a NumPy scalar
                alive = lambda: g  # noqa: E731
            known = found[thread] = (alive, gradients)
        gradient = known[1].pop(i)
        if not known[1]:
            found.pop(thread, None)
        return gradient
