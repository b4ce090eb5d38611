"""Which parameters decay."""

from __future__ import annotations

from typing import Any

from .._layers.activations import PReLU
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._module import Module

__all__ = ["no_decay"]

_UNDECAYED = (BatchNorm, LayerNorm, RMSNorm, GroupNorm, PReLU)


def no_decay(model: Module) -> list[dict[str, Any]]:
    """The parameters in two groups for an optimiser: weights, and those that should not decay.

    The second has ``weight_decay`` 0: biases and all else of fewer than two axes, the parameters of norms, and the
    slopes of PReLU. A group without members is left out.

    Raises:
        ValueError: the model has no parameters.

    >>> import nn
    >>> model = nn.MLP([4, 8, 3], norm="batch", rng=0)
    >>> optimizer = nn.AdamW(nn.no_decay(model), lr=1e-3, weight_decay=0.01)
    >>> [[p.name for p in group["params"]] for group in optimizer.param_groups]
    [['layers.0.W', 'layers.3.W'], ['layers.1.gamma', 'layers.1.beta', 'layers.3.b']]
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.01, 0.0]
    """
    exempt = {id(p) for module in model.modules() if isinstance(module, _UNDECAYED) for p in module.parameters()}
    weights: list[Any] = []
    others: list[Any] = []
    for parameter in model.parameters():
        (others if parameter.ndim < 2 or id(parameter) in exempt else weights).append(parameter)
    if not weights and not others:
        raise ValueError(f"no_decay: {type(model).__name__} has no parameters")
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
