"""Biases that PyTorch's models have and a batch norm makes superfluous."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from .._layers.containers import Sequential
from .._layers.normalization import BatchNorm
from .._layers.weighted import Weighted
from .._members import joined
from .._module import Module
from .layouts import layers

__all__ = ["without_superfluous_biases"]


class _Pair(NamedTuple):
    """A layer without bias and the batch norm after it, with their paths in PyTorch."""

    layer_path: str
    layer: Weighted
    norm_path: str
    norm: BatchNorm


def _pairs(model: Module) -> Iterator[_Pair]:
    for path, module in layers(model):
        if not isinstance(module, Sequential) or type(module).forward is not Sequential.forward:
            continue
        for (name, layer), (after, norm) in pairwise(module.named_children()):
            if isinstance(layer, Weighted) and layer.b is None and isinstance(norm, BatchNorm):
                yield _Pair(joined(path, name), layer, joined(path, after), norm)


def without_superfluous_biases(
    model: Module, state: Mapping[str, Any], there: Callable[[str], str], array: Callable[[Any, Any], Any]
) -> dict[str, Any]:
    """A state of PyTorch's without the biases that layers before a batch norm have there, but not here.

    The norm subtracts the mean, so a bias only shifts the running mean: that is reduced by the bias. What does not fit
    stays, to be listed with the rest.

    Args:
        model: the model here.
        state: PyTorch's names and tensors.
        there: turns a name for this model into the one in ``state``.
        array: turns a tensor into an array of a dtype.
    """
    result = dict(state)
    for pair in _pairs(model):
        bias, mean = there(f"{pair.layer_path}.bias"), there(f"{pair.norm_path}.running_mean")
        tracked = pair.norm.running_mean is not None
        if bias not in state or (tracked and mean not in state):
            continue
        dtype, shape = pair.layer.W.dtype, (pair.norm.num_features,)
        try:
            shift, old = array(state[bias], dtype), array(state[mean], dtype) if tracked else None
        except (TypeError, RuntimeError):
            continue
        if shift.shape != shape or (old is not None and old.shape != shape):
            continue
        if old is not None:
            result[mean] = old - shift
        result.pop(bias, None)
    return result
