"""What the nodes of a graph tell about values: the first one that is not finite, what is saved, how long rules take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..engine.graph import ArraySummary, Freed, Leaf, Node, elementwise, sources
from ..engine.mode import silenced
from ..engine.readings import ARRAYS
from ..engine.walk import unbroadcast
from ..errors import GraphError
from .facts import data_of

__all__ = ["Arrival", "first_nonfinite", "reverse_pass", "saved_bytes"]


def first_nonfinite(nodes: Sequence[Node], roots: Mapping[Node, Any]) -> tuple[Node, str, bool] | None:
    """The oldest node whose value is known not to be finite, what is wrong with it, and whether its inputs are known.

    Values are known of scalars, of arrays that a rule saved, under ``record_graph()``, and of what is drawn.
    """
    arrays: dict[Node, Any] = {node: data_of(tensor) for node, tensor in roots.items()}
    for node in nodes:
        if isinstance(node, Leaf):
            arrays.setdefault(node, data_of(node.owner()))
        elif not isinstance(node.saved, Freed):
            for rule, args in zip(node.rules, node.saved, strict=True):
                for source, arg in zip(sources(rule, node) if rule is not None else (), args, strict=True):
                    if isinstance(source, Node) and hasattr(arg, "shape"):
                        arrays.setdefault(source, arg)
    for node in nodes:
        about = node.value
        if not isinstance(about, ArraySummary):
            value = data_of(arrays.get(node) if node.value is None else node.value)
            if value is None or value.shape != node.shape or value.dtype.kind not in "fc" or np.isfinite(value).all():
                continue
            about = ArraySummary.of(value)
        if about.nonfinite:
            kinds = (("NaN", about.nan), ("inf", about.inf))
            inputs = [parent for parent in node.inputs if isinstance(parent, Node) and not isinstance(parent, Leaf)]
            certain = all(parent.value is not None or parent in arrays for parent in inputs)
            return node, ", ".join(f"{kind} {count}/{about.size}" for kind, count in kinds if count), certain
    return None


def saved_bytes(nodes: Iterable[Node]) -> int:
    """The memory of the arrays that these operations keep for backward, each counted once."""
    found: dict[int, int] = {}
    for node in nodes:
        if isinstance(node.saved, Freed):
            continue
        for args in node.saved:
            for arg in args:
                if isinstance(arg, np.ndarray):
                    found[id(arg)] = arg.nbytes
    return sum(found.values())


class Arrival:
    """One step of a reverse pass: an operation whose gradient is complete, and what it passes on.

    Attributes:
        node: the operation.
        gradient: the complete gradient of its result.
        passed: (position, parent, contribution, sum so far) for each input that gets a gradient.
        seconds: the time that its rules took.
    """

    __slots__ = ("gradient", "node", "passed", "seconds")

    def __init__(self, node: Node, gradient: Any) -> None:
        self.node = node
        self.gradient = gradient
        self.passed: list[tuple[int, Node, Any, Any]] = []
        self.seconds = 0.0


def reverse_pass(root: Node, seed: Any, nodes: Sequence[Node]) -> list[Arrival]:
    """Backward from a root, one operation at a time, newest first. Nothing is stored in the graph, no hook is called.

    Raises GraphError if ``backward()`` has freed the graph.
    """
    sums: dict[Node, Any] = {root: seed}
    steps = []
    with silenced():
        for node in reversed(nodes):
            g = sums.get(node)
            if g is None or isinstance(node, Leaf):
                continue
            if isinstance(node.saved, Freed):
                raise GraphError(
                    "the graph was freed by backward(), so its reverse pass cannot be shown; draw before backward(), "
                    "or write backward(retain_graph=True)"
                )
            step = Arrival(node, g)
            for position, rule in enumerate(node.rules):
                if rule is None:
                    continue
                parent, args = node.inputs[position], node.saved[position]
                start = time.perf_counter()
                r = rule(ARRAYS.xp, g, *args)
                step.seconds += time.perf_counter() - start
                r = ARRAYS.repair(rule, g, args, r, node.op in elementwise) if not np.isfinite(r).all() else r
                r = unbroadcast(ARRAYS.xp, r, parent, node, rule)
                sums[parent] = sums[parent] + r if parent in sums else r
                step.passed.append((position, parent, r, sums[parent]))
            steps.append(step)
    return steps
