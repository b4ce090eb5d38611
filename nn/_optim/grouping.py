"""Which parameters decay."""

from __future__ import annotations

from typing import Any

from .._layers.activations import PReLU
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._module import Module
from .._parameter import Parameter

__all__ = ["no_decay"]

_UNDECAYED = (BatchNorm, LayerNorm, RMSNorm, GroupNorm, PReLU)


def no_decay(model: Module) -> list[dict[str, Any]]:
    """Split a model's parameters into two groups for an optimiser: those that decay, and those that do not.

    Biases, slopes and scales, which have fewer than two axes, do not decay, nor do the parameters of norms and of
    PReLU: their group has ``weight_decay`` 0. An empty group is left out.

    Raises ValueError if the model has no parameters.

    >>> import nn
    >>> model = nn.MLP([4, 8, 3], norm="batch", rng=0)
    >>> optimizer = nn.AdamW(nn.no_decay(model), lr=1e-3, weight_decay=0.1)
    >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
    [(2, 0.1), (3, 0.0)]
    """
    exempt = {id(p) for module in model.modules() if isinstance(module, _UNDECAYED) for p in module.parameters()}
    weights: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in model.parameters():
        (others if parameter.ndim < 2 or id(parameter) in exempt else weights).append(parameter)
    if not weights and not others:
        raise ValueError(f"no_decay: {type(model).__name__} has no parameters")
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
