"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .._layers.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from .._layers.containers import Sequential
from .._layers.dropout import Dropout
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm
from .._module import Module
from ..init import Initializer

__all__ = ["MLP"]


_ACTIVATIONS: dict[str, tuple[Callable[[], Module], str]] = {
    "relu": (ReLU, "he_normal"),
    "leaky_relu": (LeakyReLU, "he_normal"),
    "tanh": (Tanh, "glorot_normal"),
    "sigmoid": (Sigmoid, "lecun_normal"),
}


class MLP(Module):
    """A multi-layer perceptron: Linear, norm, activation and dropout a hidden layer; then a bare Linear.

    Args:
        sizes: numbers of features, input and output included: ``[64, 128, 10]`` has one hidden layer.
        activation: "relu", "leaky_relu", "tanh", "sigmoid", or a function that makes a Module, such as
            ``nn.Tanh``.
        norm: "batch", or a function ``(num_features, dtype=)`` that makes a Module. The Linear before it has
            no bias, which the norm's mean would take out again.
        dropout: probability of dropping after each hidden activation.
        init: as in :class:`Linear`. By default He (normal) for relu and leaky_relu, Glorot for tanh, LeCun
            for sigmoid, and He where ``activation`` is a function.
        dtype: of the parameters.
        rng: generator or seed for weights and dropout; None draws a fresh seed.

    >>> import nn
    >>> nn.MLP([4, 8, 3], norm="batch", dropout=0.1, rng=0)
    MLP(
      (layers): Sequential(
        (0): Linear(in=4, out=8, bias=False)
        (1): BatchNorm(8, momentum=0.9, eps=1e-05)
        (2): ReLU()
        (3): Dropout(p=0.1)
        (4): Linear(in=8, out=3)
      )
    )
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str | Callable[[], Module] = "relu",
        norm: str | Callable[..., Module] | None = None,
        dropout: float = 0.0,
        init: str | Initializer | None = None,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__()
        sizes = list(sizes)
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes needs at least an input and an output, got {sizes}")
        if isinstance(activation, str):
            if activation not in _ACTIVATIONS:
                raise ValueError(
                    f"MLP: activation {activation!r} is not one of {', '.join(_ACTIVATIONS)}; other activations are "
                    "given as a function that makes a Module, such as nn.Tanh"
                )
            make_activation, usual_init = _ACTIVATIONS[activation]
        else:
            make_activation, usual_init = activation, "he_normal"
        make_norm = BatchNorm if norm == "batch" else norm
        if isinstance(make_norm, str):
            raise ValueError(f"MLP: norm is 'batch', a function that makes a Module, or None, got {norm!r}")
        rng = np.random.default_rng(rng)
        init = usual_init if init is None else init
        layers: list[Module] = []
        for n_in, n_out in pairwise(sizes[:-1]):
            layers.append(Linear(n_in, n_out, bias=make_norm is None, init=init, dtype=dtype, rng=rng))
            if make_norm is not None:
                layers.append(make_norm(n_out, dtype=dtype))
            layers.append(make_activation())
            if dropout:
                layers.append(Dropout(dropout, rng=rng))
        layers.append(Linear(sizes[-2], sizes[-1], init=init, dtype=dtype, rng=rng))
        self.layers = Sequential(*layers)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        return self.layers(x)
