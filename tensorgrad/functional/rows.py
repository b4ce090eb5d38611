"""The rows of a Jacobian, computed as many per backward as fit into the processor's caches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from ..batching import Batched, new_level, unwrapped
from ..engine.graph import Node
from ..engine.mode import current
from ..engine.record import tensor_of
from ..engine.writes import tick
from ..ops import joining
from ..tensor import Tensor
from .crossing import leave_batch, share

__all__ = ["jacobian_rows"]

_FEWEST = 4  # fewer rows are faster one by one
_BYTES = 2**20  # the largest array of one backward; larger ones no longer fit into the caches and are slower


def jacobian_rows(call: Any, out: Tensor) -> dict[Node, Tensor]:
    """The gradients of all elements of ``out``, stacked along axis 0, for each argument that ``out`` depends on."""
    count = _at_once(out, call.nodes)
    if count > 1:
        # A user-defined rule may only work on ndarrays; any other error is raised again by the first row.
        with suppress(Exception):
            return _in_batches(call, out, count)
    return _one_by_one(call, out)


def _one_by_one(call: Any, out: Tensor) -> dict[Node, Tensor]:
    found = []
    for i in range(out.size):
        seed = np.zeros(out.size, dtype=out.dtype)
        seed[i] = 1
        found.append(call.pull(out, np.reshape(seed, out.shape)))
    return {node: joining.stack([row[node] for row in found]) for node in (found[0] if found else ())}


def _in_batches(call: Any, out: Tensor, count: int) -> dict[Node, Tensor]:
    level = new_level()
    found: dict[Node, list[Tensor]] = {}
    whole: dict[Node, Any] = {}
    for start in range(0, out.size, count):
        size = min(count, out.size - start)
        seeds = np.zeros((size, out.size), dtype=out.dtype)
        seeds[np.arange(size), np.arange(start, start + size)] = 1
        begun = tick()
        pulled = call.pull(out, Batched(np.reshape(seeds, (size, *out.shape)), level))
        parts = {node: leave_batch(g, 0, level, size) for node, g in pulled.items()}
        share([part.node for part in parts.values() if part.requires_grad], (), begun, level, size)
        for node, part in parts.items():
            if call.recorded or size == out.size:
                found.setdefault(node, []).append(part)
                continue
            if not start:
                whole[node] = np.zeros_like(part.data, shape=(out.size, *part.shape[1:]))
                found[node] = [tensor_of(whole[node], None)]
            whole[node][start : start + size] = part.data
    return {node: parts[0] if len(parts) == 1 else joining.concatenate(parts) for node, parts in found.items()}


def _at_once(out: Tensor, nodes: set[Node]) -> int:
    """The number of rows to compute in one backward; 1 if they have to be computed one by one."""
    if current().tracer is not None or out.size < 2 or out.node is None or type(unwrapped(out.data)) is not np.ndarray:
        return 1
    largest = 1
    for node in _above(out.node, nodes):
        if node.extra is not None and node.extra.hooks:
            return 1  # hooks expect one gradient
        largest = max(largest, int(np.prod(node.shape)) * node.dtype.itemsize)
    count = min(out.size, _BYTES // largest)
    return count if count >= _FEWEST else 1


def _above(root: Node, nodes: set[Node]) -> Iterator[Node]:
    """The nodes that a walk from the root to ``nodes`` may visit."""
    oldest = min((node.birth for node in nodes), default=0)
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        yield node
        for parent in node.inputs if node not in nodes else ():
            if isinstance(parent, Node) and parent.requires_grad and parent.birth >= oldest and parent not in seen:
                seen.add(parent)
                stack.append(parent)
