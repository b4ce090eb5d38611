"""What colours a card: its gradient, the time of its rules, or the memory it keeps for backward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..engine.graph import ArraySummary, Freed, Leaf, Node
from .facts import data_of, shown, size_text
from .picture import Gradient
from .style import NONE, PAPER, share_colour
from .values import reverse_pass, saved_bytes

__all__ = ["COLORS", "Measures"]

COLORS = ("grad", "time", "memory", "kind")


class Measures:
    """The coloured cell of every node, for one way to colour.

    Attributes:
        walked: whether ``backward()`` has run on this graph.
        broken: whether anything is known not to be finite.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        roots: Mapping[Node, Any],
        gradients: Mapping[Node, Any] | None,
        color: str,
        scalars: bool,
    ) -> None:
        self.roots = roots
        self.gradients = gradients
        self.color = color
        self.scalars = scalars
        self.known: dict[Node, Gradient | None] = {}
        # Operations on scalars are certain to show it.
        self.walked = gradients is not None or any(
            node.gradient is not None or isinstance(node.saved, Freed) for node in nodes if not isinstance(node, Leaf)
        )
        values = [data_of(tensor) for tensor in roots.values()]
        values += [data_of(node.value) for node in nodes if node.value is not None]
        self.broken = any(_is_broken(value) for value in values)
        self.amounts: dict[Node, float] = {}
        if color == "time":
            ((root, tensor),) = roots.items()
            seed = np.ones_like(data_of(tensor))
            self.amounts = {step.node: step.seconds for step in reverse_pass(root, seed, nodes)}
        self.most = sum(self.amounts.values())
        if color == "memory":
            self.most = saved_bytes(nodes)

    def of(self, node: Node) -> Gradient | None:
        """What to say about a node; None if there is nothing to say."""
        if self.color == "time":
            return self._time(self.amounts.get(node))
        if self.color == "memory":
            return None if isinstance(node, Leaf) else self._memory(saved_bytes([node]))
        if node not in self.known:
            self.known[node] = self._gradient(node)
        return self._plain(self.known[node])

    def of_all(self, nodes: Sequence[Node], last: Node) -> Gradient | None:
        """What to say about several operations that are one card: a sum, or the gradient of their result."""
        if self.color == "time":
            return self._time(sum(self.amounts.get(node, 0.0) for node in nodes))
        if self.color == "memory":
            return self._memory(saved_bytes(nodes))
        return self.of(last)

    def _plain(self, gradient: Gradient | None) -> Gradient | None:
        return gradient._replace(colour=PAPER, ink="") if gradient is not None and self.color == "kind" else gradient

    def _time(self, seconds: float | None) -> Gradient | None:
        if seconds is None:
            return None
        text = f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
        return Gradient(text, share_colour(seconds / self.most if self.most else 0.0), None, "backward")

    def _memory(self, count: int) -> Gradient:
        return Gradient(size_text(count), share_colour(count / self.most if self.most else 0.0), None, "for backward")

    def _gradient(self, node: Node) -> Gradient | None:
        if not node.requires_grad:
            return None
        if self.gradients is not None:
            found = data_of(self.gradients.get(node))
        elif isinstance(node, Leaf):
            found = data_of(getattr(node.owner(), "_grad", None))
            if found is None and self.walked:  # a functional transform leaves .grad alone
                found = data_of(node.gradient)
        else:
            found = data_of(node.gradient)
            if found is None and node.extra is not None and node.extra.owner is not None:
                found = data_of(getattr(node.extra.owner(), "_grad", None))  # retain_grad()
        if found is not None:
            return shown(found, scale=not self.scalars and node not in self.roots)
        if not self.walked:
            return Gradient("no gradient yet", PAPER) if not node.shape else None
        if isinstance(node, Leaf) and node.owner() is None and self.gradients is None:
            return None  # its gradient has gone with its Tensor
        if isinstance(node, Leaf) or not node.shape or self.gradients is not None:
            return Gradient("no gradient reached", NONE, details="no path from the drawn result leads here")
        return None


def _is_broken(value: Any) -> bool:
    if isinstance(value, ArraySummary):
        return value.nonfinite > 0
    if value is None or not hasattr(value, "dtype") or value.dtype.kind not in "fc":
        return False
    if not value.shape:
        number = value.item()
        return not math.isfinite(abs(number)) if isinstance(number, complex) else not math.isfinite(number)
    return not np.isfinite(value).all()
