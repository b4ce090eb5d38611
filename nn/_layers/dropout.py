"""Dropout."""

from __future__ import annotations

import numpy as np

import tensorgrad as tg

from .. import functional
from .._checks import probability
from .._module import Module

__all__ = ["Dropout", "Dropout1d", "Dropout2d"]


class _Dropout(Module):
    """Dropout with probability p of what a subclass drops."""

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        super().__init__()
        self.p = probability(type(self).__name__, "p", p)
        self.rng = np.random.default_rng(rng)

    def forward(self, x: tg.TensorLike) -> tg.Tensor:
        p, rng, training = (tg.watch(self, name) for name in ("p", "rng", "training"))
        return self._drop(x, p, training=training, rng=rng)

    def _drop(self, x: tg.TensorLike, p: float, *, training: bool, rng: np.random.Generator) -> tg.Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training, set each element to 0 with probability p and scale the others by ``1 / (1 - p)``.

    The expected value stays the same, and evaluation returns x unchanged (Srivastava et al., 2014).

    Args:
        p: probability of dropping, in [0, 1).
        rng: generator or seed; None draws a fresh seed.

    Raises:
        ValueError: p is outside [0, 1).

    >>> import numpy as np, nn
    >>> sorted(set(nn.Dropout(0.5, rng=0)(np.ones(100)).data.tolist()))
    [0.0, 2.0]
    """

    def _drop(self, x: tg.TensorLike, p: float, *, training: bool, rng: np.random.Generator) -> tg.Tensor:
        return functional.dropout(x, p, training=training, rng=rng)


class Dropout1d(_Dropout):
    """:class:`Dropout2d` for signals: x of shape (N, C, length) or (C, length).

    >>> import numpy as np, nn
    >>> nn.Dropout1d(0.5, rng=0)(np.ones((4, 3))).data.sum(axis=1).tolist()
    [6.0, 6.0, 6.0, 0.0]
    """

    def _drop(self, x: tg.TensorLike, p: float, *, training: bool, rng: np.random.Generator) -> tg.Tensor:
        return functional.dropout1d(x, p, training=training, rng=rng)


class Dropout2d(_Dropout):
    """In training, set whole channels to 0 with probability p and scale the others by ``1 / (1 - p)``.

    For images, whose neighbouring pixels are too much alike to be dropped one by one (Tompson et al., 2015).
    Evaluation returns x unchanged.

    Shapes: x (N, C, height, width), result like x; one sample has no axis N. In PyTorch, x with three axes is a batch
    of signals, for which there is :class:`Dropout1d`.

    Args:
        p: probability of dropping, in [0, 1).
        rng: generator or seed; None draws a fresh seed.

    Raises:
        ShapeError: x has another number of axes.
        ValueError: p is outside [0, 1).

    >>> import numpy as np, nn
    >>> nn.Dropout2d(0.5, rng=0)(np.ones((4, 2, 2))).data.sum(axis=(1, 2)).tolist()
    [8.0, 8.0, 8.0, 0.0]
    """

    def _drop(self, x: tg.TensorLike, p: float, *, training: bool, rng: np.random.Generator) -> tg.Tensor:
        return functional.dropout2d(x, p, training=training, rng=rng)
