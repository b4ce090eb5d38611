"""Activations, as modules and as functions: how to find them, and where they are flat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._layers.activations import ACTIVATIONS
from .._module import Module

__all__ = ["consumers", "dead_units", "is_activation", "saturated_share"]

_KINDS = tuple(ACTIVATIONS.values())
# Operations that need nothing but their input.
_FUNCTIONS = {"relu", "sigmoid", "tanh", "silu", "mish", "softsign", "selu", "relu6", "hardswish", "hardsigmoid"}


def is_activation(module: Module, given: Any, output: Any) -> bool:
    """Whether a module without parts is an activation: one of ours, or a user's that keeps the shape."""
    if isinstance(module, _KINDS):
        return True
    own = type(module).__module__.partition(".")[0] == "nn"
    return not own and not list(module.parameters()) and np.shape(given) == np.shape(output)


def consumers(output: Any) -> Iterator[Any]:
    """The nodes of activation functions in the graph of a result."""
    waiting, seen = [output.node], {id(output.node)}
    while waiting:
        node = waiting.pop()
        inputs = [given for given in node.inputs if hasattr(given, "inputs")]
        if node.op in _FUNCTIONS and inputs:
            yield node
        for given in inputs:
            if id(given) not in seen:
                seen.add(id(given))
                waiting.append(given)


def saturated_share(name: str, array: Any) -> float:
    """The share of the values in the flat parts: outside of .02 to .98 for a sigmoid, beyond .97 for tanh."""
    if name == "sigmoid":
        return float(np.count_nonzero(np.abs(array - 0.5) > 0.48)) / array.size
    if name == "tanh":
        return float(np.count_nonzero(np.abs(array) > 0.97)) / array.size
    return 0.0


def dead_units(array: Any, axis: int) -> Any:
    """For each unit, along this axis, whether it is 0 for the whole batch."""
    if axis == -1 and array.ndim > 2:
        array = array.reshape(-1, array.shape[-1])
    axes = 0 if array.ndim == 2 else tuple(i for i in range(array.ndim) if i != axis)
    return ~array.any(axis=axes)
