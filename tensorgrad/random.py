"""Random numbers, differentiable in the parameters of their distribution.

Draws are made outside the graph and scaled inside it, so that gradients pass to location and scale. Every
function takes the generator to draw from (or a seed); there is no global state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops
from .ops.views import shaped
from .record import Handle, TensorLike, operand
from .shapes import broadcast_error
from .staging import host

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["normal", "uniform"]

Generator = np.random.Generator


def _draw(op: str, method: str, first: Any, second: Any, size: Any, rng: Generator | int) -> Any:
    """Standard numbers to scale, of the parameters' shape and dtype."""
    if not isinstance(rng, Generator | int | np.integer) or isinstance(rng, bool):
        raise TypeError(f"{op}: rng is a numpy.random.Generator or an integer seed, got {type(rng).__name__}")
    parameters = [p if isinstance(p, Handle) else operand(p, op) for p in (first, second)]
    dtypes = [p.dtype for p in parameters if hasattr(p, "dtype")]
    dtype = np.result_type(*dtypes, np.float16) if dtypes else np.dtype(np.float64)
    shapes = [shaped(p, op).shape for p in (first, second)]
    error = broadcast_error(op, *shapes)
    if error is not None:
        raise error
    if size is None:
        size = np.broadcast_shapes(*shapes)

    def draw() -> Any:
        numbers = getattr(np.random.default_rng(rng), method)(size)
        return np.asarray(numbers).astype(dtype, copy=False)

    return host(draw)


def normal(
    loc: TensorLike = 0.0,
    scale: TensorLike = 1.0,
    size: int | tuple[int, ...] | None = None,
    *,
    rng: Generator | int,
) -> Tensor:
    """Normally distributed numbers, ``loc + scale * standard``. The dtype is that of the parameters.

    Args:
        loc: mean.
        scale: standard deviation.
        size: shape of the result; by default what the parameters broadcast to.
        rng: the generator to draw from, or a seed.

    >>> import tensorgrad as tg
    >>> scale = tg.Tensor(2.0, requires_grad=True)
    >>> tg.random.normal(1.0, scale, (3,), rng=0).sum().backward()
    >>> round(float(scale.grad), 6)
    0.634048
    """
    return ops.add(loc, ops.multiply(scale, _draw("normal", "standard_normal", loc, scale, size, rng)))


def uniform(
    low: TensorLike = 0.0,
    high: TensorLike = 1.0,
    size: int | tuple[int, ...] | None = None,
    *,
    rng: Generator | int,
) -> Tensor:
    """Uniformly distributed numbers, ``low + (high - low) * standard``. The dtype is that of the parameters.

    Args:
        low: lower end, included.
        high: upper end, excluded (but for rounding).
        size: shape of the result; by default what the parameters broadcast to.
        rng: the generator to draw from, or a seed.

    >>> import tensorgrad as tg
    >>> tg.random.uniform(10.0, 20.0, (2,), rng=0)
    Tensor([16.36961687, 12.69786714], dtype=float64)
    """
    return ops.add(low, ops.multiply(ops.subtract(high, low), _draw("uniform", "random", low, high, size, rng)))
