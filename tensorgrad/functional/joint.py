"""Operations whose gradients for all inputs are computed together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine.graph import Rule
from ..engine.shared import Shared

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
        self._result = result
        # Gradients by input, those that are not None.
        self._found = Shared(lambda xp, g, *saved: {i: r for i, r in enumerate(compute(g, saved)) if r is not None})

    def rules(self, count: int) -> list[Rule]:
        """The rules for ``count`` inputs."""
        return [self._rule(i) for i in range(count)]

    def _rule(self, i: int) -> Rule:
        def d_input(xp: Any, g: Any, *xs: Any) -> Any:
            return self._gradient(i, xp, g, xs)

        def d_input_by_result(xp: Any, g: Any, *all: Any) -> Any:
            return self._gradient(i, xp, g, all)

        return d_input_by_result if self._result else d_input

    def _gradient(self, i: int, xp: Any, g: Any, saved: tuple[Any, ...]) -> Any:
        gradients = self._found.kept(xp, g, *saved)
        if i not in gradients:  # it has been asked for before
            self._found.forget()
            gradients = self._found.kept(xp, g, *saved)
        gradient = gradients.pop(i)
        if not gradients:
            self._found.forget()
        return gradient
