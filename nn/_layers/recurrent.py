"""Recurrent layers."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional
from .. import init as initial
from .._checks import count, floating, probability
from .._module import Module
from .._parameter import Parameter
from ..functional._shared import operand
from ..functional._spatial import constant

__all__ = ["GRU", "LSTM"]


class _Recurrent(Module):
    """Layers of one kind of cell, with ``_gates`` gates, in one or both directions along a sequence."""

    _gates: int
    _states: tuple[str, ...]  # what a cell passes on to the next step

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = np.float32,
        rng: initial.Seed = None,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.input_size = count(op, "input_size", input_size)
        self.hidden_size = count(op, "hidden_size", hidden_size)
        self.num_layers = count(op, "num_layers", num_layers)
        self.bias = bool(bias)
        self.batch_first = bool(batch_first)
        self.dropout = probability(op, "dropout", dropout)
        self.bidirectional = bool(bidirectional)
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"{op}: dropout={dropout} does nothing, because it is applied between layers, and there is one; write "
                "num_layers=2, or put nn.Dropout after it",
                UserWarning,
                stacklevel=tg.users_stacklevel(),
            )
        dtype = floating(op, dtype)
        self.rng = np.random.default_rng(rng)
        limit = 1 / math.sqrt(self.hidden_size)
        for suffix, features in self._runs():
            rows = self._gates * self.hidden_size
            shapes: dict[str, tuple[int, ...]] = {"ih": (rows, features), "hh": (rows, self.hidden_size)}
            arrays = {f"weight_{name}": shape for name, shape in shapes.items()}
            arrays |= {f"bias_{name}": (rows,) for name in shapes if self.bias}
            for name, shape in arrays.items():
                drawn = initial.uniform(shape, low=-limit, high=limit, dtype=dtype, rng=self.rng)
                setattr(self, f"{name}_{suffix}", Parameter(drawn, name=f"{name}_{suffix}"))

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _runs(self) -> list[tuple[str, int]]:
        """The passes along the sequence, in order: the ending of their parameters' names, and their features."""
        later = self._directions * self.hidden_size
        return [
            (f"l{layer}{ending}", later if layer else self.input_size)
            for layer in range(self.num_layers)
            for ending in ("", "_reverse")[: self._directions]
        ]

    def _weights(self, suffix: str) -> list[Parameter | None]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [self.__dict__.get(f"{name}_{suffix}") for name in names]

    def _run(self, x: Any, state: list[Any], weights: list[Any]) -> tuple[tg.Tensor, list[tg.Tensor]]:
        """All hidden states of a pass along x (time first), and the last state."""
        raise NotImplementedError

    def _forward(self, x: tg.TensorLike, state: tuple[Any, ...] | None) -> tuple[tg.Tensor, list[tg.Tensor]]:
        given = operand(x)
        single = len(given.shape) == 2
        turned = self.batch_first and not single
        self._check(given, turned)
        values: Any = tg.swapaxes(given, 0, 1) if turned else given
        states = self._initial(values) if state is None else self._given(values, state)
        dropout, rng, training = (tg.watch(self, name) for name in ("dropout", "rng", "training"))
        lasts: list[list[tg.Tensor]] = []
        runs = self._runs()
        for first in range(0, len(runs), self._directions):
            if first and training and dropout:
                values = functional.dropout(values, dropout, rng=rng)
            results = []
            for k in range(first, first + self._directions):
                backwards = k > first
                along = tg.flip(values, 0) if backwards else values
                hidden, last = self._run(along, [s[k] for s in states], self._weights(runs[k][0]))
                results.append(tg.flip(hidden, 0) if backwards else hidden)
                lasts.append(last)
            values = tg.concatenate(results, axis=-1) if self.bidirectional else results[0]
        final = [tg.stack([last[i] for last in lasts]) for i in range(len(self._states))]
        return tg.swapaxes(values, 0, 1) if turned else values, final

    def _check(self, x: Any, turned: bool) -> None:
        order = "(N, length, features)" if self.batch_first else "(length, N, features)"
        op = type(self).__name__
        if len(x.shape) not in (2, 3):
            raise tg.ShapeError(f"{op}: expected x of shape {order}, or (length, features), got {x.shape}")
        if x.shape[-1] != self.input_size:
            raise tg.ShapeError(f"{op}: expected {self.input_size} features, got {x.shape[-1]} (shape {x.shape})")
        if not x.shape[1 if turned else 0]:
            raise tg.ShapeError(f"{op}: x of shape {x.shape} is an empty sequence, which has no last state")

    def _shape(self, x: Any) -> tuple[int, ...]:
        """The shape of each part of the state, for x with time first."""
        return (len(self._runs()), *x.shape[1:-1], self.hidden_size)

    def _initial(self, x: Any) -> list[Any]:
        dtype = self._weights("l0")[1].dtype  # type: ignore[union-attr]
        return [constant(np.zeros(self._shape(x), dtype), x) for _ in self._states]

    def _given(self, x: Any, state: tuple[Any, ...]) -> list[Any]:
        parts = [operand(part) for part in state]
        for name, part in zip(self._states, parts, strict=True):
            if part.shape != self._shape(x):
                batch = ", N" if len(x.shape) == 3 else ""
                raise tg.ShapeError(
                    f"{type(self).__name__}: {name} has shape {part.shape}, expected {self._shape(x)}: (layers * "
                    f"directions{batch}, hidden)"
                )
        return parts

    def extra_repr(self) -> str:
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        others = "".join(f", {n}={getattr(self, n)!r}" for n, value in usual.items() if getattr(self, n) != value)
        return f"{self.input_size}, {self.hidden_size}{others}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.input_size}→{self._directions * self.hidden_size}"


class LSTM(_Recurrent):
    """Long short-term memory along a sequence, in one or several layers (Gers et al., 2000).

    Weights are laid out and named as in PyTorch, ``weight_ih_l0`` and so on: see
    :func:`~nn.functional.lstm_cell`.

    Shapes: x (length, N, input_size), or (N, length, input_size) with batch_first. The result is a pair
    (output, (h, c)): output (length, N, D * hidden_size), or (N, length, D * hidden_size), the hidden states of the
    last layer, with D = 2 if it is bidirectional; h and c, each (num_layers * D, N, hidden_size), the last hidden state
    and cell of each layer. One sample has no axis N, in any of them.

    Args:
        input_size: features of x.
        hidden_size: features of the hidden state.
        num_layers: number of layers; each reads the hidden states of the one before.
        bias: add biases.
        batch_first: samples are along the first axis of x and of the output (not of h and c).
        dropout: probability of dropping an element between layers in training, in [0, 1).
        bidirectional: also read the sequence from its end, and concatenate the hidden states of both directions.
        dtype: of the parameters.
        rng: generator or seed for the parameters, which are uniform within ``1 / sqrt(hidden_size)`` of 0, and for the
            dropout; None draws a fresh seed.

    ``forward(x, state=None)``: the initial state is a pair (h, c), each of shape (num_layers * D, N, hidden_size); None
    for zeros.

    Raises:
        ShapeError: x or the state has another shape, or the sequence is empty.
        ValueError: an argument is out of range.

    >>> import numpy as np, nn
    >>> layer = nn.LSTM(3, 4, num_layers=2, batch_first=True, rng=0)
    >>> output, (h, c) = layer(np.ones((5, 7, 3), np.float32))
    >>> output.shape, h.shape, c.shape
    ((5, 7, 4), (2, 5, 4), (2, 5, 4))
    """

    _gates = 4
    _states = ("h", "c")

    def _run(self, x: Any, state: list[Any], weights: list[Any]) -> tuple[tg.Tensor, list[tg.Tensor]]:
        hidden, last = functional.lstm(x, (state[0], state[1]), *weights)
        return hidden, list(last)

    def forward(
        self, x: tg.TensorLike, state: tuple[tg.TensorLike, tg.TensorLike] | None = None
    ) -> tuple[tg.Tensor, tuple[tg.Tensor, tg.Tensor]]:
        if state is not None and (not isinstance(state, tuple | list) or len(state) != 2):
            raise TypeError(f"LSTM: state must be a pair (h, c), got {type(state).__name__}")
        output, (h, c) = self._forward(x, state)
        return output, (h, c)


class GRU(_Recurrent):
    """Gated recurrent units along a sequence, in one or several layers (Cho et al., 2014; reset after the product).

    Arguments, shapes and errors are those of :class:`LSTM`, but the state is h alone: the result is a pair (output, h),
    and ``forward(x, state=None)`` takes the initial h.

    >>> import numpy as np, nn
    >>> output, h = nn.GRU(3, 4, bidirectional=True, rng=0)(np.ones((7, 5, 3), np.float32))
    >>> output.shape, h.shape
    ((7, 5, 8), (2, 5, 4))
    """

    _gates = 3
    _states = ("h",)

    def _run(self, x: Any, state: list[Any], weights: list[Any]) -> tuple[tg.Tensor, list[tg.Tensor]]:
        hidden, last = functional.gru(x, state[0], *weights)
        return hidden, [last]

    def forward(self, x: tg.TensorLike, state: tg.TensorLike | None = None) -> tuple[tg.Tensor, tg.Tensor]:
        output, (h,) = self._forward(x, None if state is None else (state,))
        return output, h
