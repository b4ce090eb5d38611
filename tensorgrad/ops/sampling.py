"""Random draws inside operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.arrays import arange_like
from ..engine.record import Tensor, TensorLike, record
from ..engine.shapes import normalised_axis
from ..engine.staging import host
from .activations import softmax
from .arithmetic import add, divide
from .views import shaped

__all__ = ["gumbel_softmax"]


def require_rng(op: str, rng: Any) -> None:
    """Raise TypeError unless ``rng`` is a generator or a seed."""
    if not isinstance(rng, np.random.Generator | int | np.integer) or isinstance(rng, bool):
        raise TypeError(f"{op}: rng must be a numpy.random.Generator or an integer seed, got {type(rng).__name__}")


def drawn(op: str, draw: Any, like: Any, rng: np.random.Generator | int | None) -> Any:
    """What ``draw(generator, shape)`` returns, as an array like ``like``; drawn anew in each run of a compiled step."""
    require_rng(op, rng)
    shape, dtype = like.shape, like.dtype if like.dtype.kind == "f" else np.float64
    data = getattr(like, "data", None)
    other = hasattr(data, "__array_function__") and type(data) is not np.ndarray  # another library's array
    kind = data if other and not hasattr(data, "__traced_call__") else None

    def numbers() -> Any:
        return np.asarray(np.asarray(draw(np.random.default_rng(rng), shape), dtype=dtype), like=kind)

    return host(numbers)


def gumbel_softmax(
    logits: TensorLike,
    /,
    tau: float = 1.0,
    hard: bool = False,
    axis: int = -1,
    *,
    rng: np.random.Generator | int,
) -> Tensor:
    """A random choice along an axis, with probabilities ``softmax(logits)``, that has a gradient for the logits.

    The logits, each with a number from the Gumbel distribution added, are divided by ``tau`` and go through a
    :func:`softmax` (Jang et al., 2017; Maddison et al., 2017).

    Args:
        logits: any shape with at least one axis.
        tau: positive temperature: the smaller it is, the closer one element is to 1 and the others to 0.
        hard: return exactly 1 and 0, with the gradient of the soft choice (straight through).
        axis: the axis to choose along.
        rng: the generator to draw from, or a seed.

    Raises:
        TypeError: rng is neither.
        ValueError: tau is not positive.

    >>> import tensorgrad as tg
    >>> tg.gumbel_softmax([0.0, 100.0, 0.0], hard=True, rng=0)
    Tensor([0., 1., 0.], dtype=float64)
    """
    source = shaped(logits, "gumbel_softmax")
    axis = normalised_axis(axis, len(source.shape), "gumbel_softmax")
    if not tau > 0:
        raise ValueError(f"gumbel_softmax: tau, the temperature, must be positive, got {tau!r}")
    noise = drawn("gumbel_softmax", lambda generator, shape: generator.gumbel(size=shape), source, rng)
    soft = softmax(divide(add(source, noise), tau), axis)
    if not hard:
        return soft
    column = (-1,) + (1,) * (len(source.shape) - axis - 1)

    def chosen(a: Any) -> Any:
        places = np.reshape(arange_like(a.shape[axis], a), column)
        return (places == np.expand_dims(np.argmax(a, axis=axis), axis)).astype(a.dtype)

    return record("straight_through", chosen, (soft,), (lambda xp, g: g,))
