"""What several rules of a node have in common, computed once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["Shared"]


class Shared:
    """A part of several rules: the first of them that the walk calls computes it, and the others get the same object.

    The walk calls all rules of a node in a row, with the same gradient. What nobody takes, because the walk only needs
    the gradients of some inputs, is freed along with that gradient.

    >>> import numpy as np
    >>> solutions = Shared(lambda xp, g, x: xp.linalg.solve(x, g))
    >>> g, x = np.ones(2), 2 * np.eye(2)
    >>> solutions.kept(np, g, x) is solutions.taken(np, g, x)
    True
    """

    __slots__ = ("_compute", "_found")

    def __init__(self, compute: Callable[..., Any]) -> None:
        self._compute = compute
        # By thread: the gradient, what else it was computed from, and what it is.
        self._found: dict[int, tuple[Callable[[], Any], tuple[int, ...], Any]] = {}

    def kept(self, xp: Any, g: Any, *saved: Any) -> Any:
        """``compute(xp, g, *saved)``, which is kept for the rules that follow; they must not write to it."""
        found, thread = self._found, threading.get_ident()
        # A repair calls rules with other arrays, which live as long as those saved: their ids differ.
        places = tuple([id(getattr(array, "_data", array)) for array in saved])
        known = found.get(thread)
        if known is None or known[0]() is not g or known[1] != places:
            value = self._compute(xp, g, *saved)
            try:
                # No Python code runs in the callback, where Ctrl-C would be lost.
                alive: Callable[[], Any] = weakref.ref(g, partial(found.pop, thread))
            except TypeError:  # a NumPy scalar
                alive = lambda: g  # noqa: E731
            known = found[thread] = (alive, places, value)
        return known[2]

    def taken(self, xp: Any, g: Any, *saved: Any) -> Any:
        """The same for the last rule, which may return it: it is not kept any longer."""
        value = self.kept(xp, g, *saved)
        self.forget()
        return value

    def forget(self) -> None:
        """Drop what is kept for this thread."""
        self._found.pop(threading.get_ident(), None)
