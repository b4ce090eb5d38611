"""Activations, as modules and as functions: how to find them, and where they are flat."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._layers.activations import ACTIVATIONS
from .._module import Module

__all__ = ["dead_units", "is_activation", "is_function", "nodes_of", "saturated_share"]

_KINDS = tuple(ACTIVATIONS.values())
# Operations that need nothing but their input.
_FUNCTIONS = {"relu", "sigmoid", "tanh", "silu", "mish", "softsign", "selu", "relu6", "hardswish", "hardsigmoid"}


def is_activation(module: Module, given: Any, output: Any) -> bool:
    """Whether a module without parts is an activation: one of ours, or a user's that keeps the shape."""
    if isinstance(module, _KINDS):
        return True
    own = type(module).__module__.partition(".")[0] == "nn"
    return not own and not list(module.parameters()) and np.shape(given) == np.shape(output)


def nodes_of(output: Any) -> list[Any]:
    """The nodes of a result's graph that have inputs."""
    waiting, found = [output.node], {id(output.node): output.node}
    while waiting:
        for given in waiting.pop().inputs:
            if hasattr(given, "inputs") and id(given) not in found:
                found[id(given)] = given
                waiting.append(given)
    return [node for node in found.values() if node.inputs]


def is_function(node: Any) -> bool:
    """Whether a node is an activation function of a recorded input, and of nothing else."""
    return node.op in _FUNCTIONS and hasattr(node.inputs[0], "inputs")


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
