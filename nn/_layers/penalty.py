"""The penalty on weights that regularises a model."""

from __future__ import annotations

import tensorgrad as tg

from .. import _running as running
from .._module import Module
from .weighted import Weighted

__all__ = ["penalty"]


def penalty(model: Module) -> tg.Tensor | None:
    """``l1 * sum(abs(W)) + l2 * sum(W²)``, summed over the layers of a model, to add to its loss.

    Layers created with ``l1=`` or ``l2=`` count (Linear, Conv1d and Conv2d), a shared one once; biases do not.

    Returns:
        A number as a Tensor; None if no layer has a penalty.

    >>> import nn
    >>> layer = nn.Linear(2, 1, init={"name": "constant", "value": -3.0}, l1=0.1, l2=0.5)
    >>> nn.penalty(nn.Sequential(layer, nn.ReLU(), nn.Linear(1, 1))).item()
    9.6
    """
    tg.watch(running.members, "changes")
    total: tg.Tensor | None = None
    for module in model.modules():
        if not isinstance(module, Weighted):
            continue
        for factor, term in ((tg.watch(module, "l1"), tg.abs), (tg.watch(module, "l2"), tg.square)):
            if factor:
                part = tg.sum(term(module.W)) * factor
                total = part if total is None else total + part
    return total
