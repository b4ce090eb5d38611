"""Random numbers, differentiable in the parameters of their distribution.

Draws are made outside the graph and scaled inside it, so that gradients pass to location and scale. Every
function takes the generator to draw from (or a seed); there is no global state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops
from .ops.views import shaped
from .record import Handle, TensorLike, handle, operand
from .shapes import broadcast_error, normalised_axis
from .staging import array_of, host, indivisible

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["bernoulli", "exponential", "gumbel", "laplace", "logistic", "normal", "permutation", "uniform"]

Generator = np.random.Generator


def _require_rng(op: str, rng: Any) -> None:
    if not isinstance(rng, Generator | int | np.integer) or isinstance(rng, bool):
        raise TypeError(f"{op}: rng is a numpy.random.Generator or an integer seed, got {type(rng).__name__}")


def _draw(op: str, method: str, first: Any, second: Any, size: Any, rng: Generator | int) -> Any:
    """Standard numbers to scale, of the parameters' shape and dtype."""
    _require_rng(op, rng)
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
        numbers = getattr(np.random.default_rng(rng), method)(size=size)
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


def _located(op: str, loc: TensorLike, scale: TensorLike, size: Any, rng: Generator | int) -> Tensor:
    """``loc + scale * standard``, of the distribution that NumPy's generators have under that name."""
    return ops.add(loc, ops.multiply(scale, _draw(op, op, loc, scale, size, rng)))


def laplace(
    loc: TensorLike = 0.0,
    scale: TensorLike = 1.0,
    size: int | tuple[int, ...] | None = None,
    *,
    rng: Generator | int,
) -> Tensor:
    """Numbers of the Laplace distribution, of density ``exp(-abs(x - loc) / scale) / (2 scale)``.

    Arguments and dtype as :func:`normal`.

    >>> import tensorgrad as tg
    >>> scale = tg.Tensor(2.0, requires_grad=True)
    >>> tg.random.laplace(1.0, scale, (3,), rng=0).sum().backward()
    >>> round(float(scale.grad), 6)
    -2.798559
    """
    return _located("laplace", loc, scale, size, rng)


def gumbel(
    loc: TensorLike = 0.0,
    scale: TensorLike = 1.0,
    size: int | tuple[int, ...] | None = None,
    *,
    rng: Generator | int,
) -> Tensor:
    """Numbers of the Gumbel distribution, that of the largest of many; arguments and dtype as :func:`normal`.

    >>> import tensorgrad as tg
    >>> tg.random.gumbel(10.0, 2.0, (2,), rng=0)
    Tensor([ 9.97368013, 12.31406003], dtype=float64)
    """
    return _located("gumbel", loc, scale, size, rng)


def logistic(
    loc: TensorLike = 0.0,
    scale: TensorLike = 1.0,
    size: int | tuple[int, ...] | None = None,
    *,
    rng: Generator | int,
) -> Tensor:
    """Numbers of the logistic distribution, whose cumulative one is the sigmoid; arguments as :func:`normal`.

    >>> import tensorgrad as tg
    >>> tg.random.logistic(10.0, 2.0, (2,), rng=0)
    Tensor([11.12440227,  8.00859007], dtype=float64)
    """
    return _located("logistic", loc, scale, size, rng)


def exponential(scale: TensorLike = 1.0, size: int | tuple[int, ...] | None = None, *, rng: Generator | int) -> Tensor:
    """Exponentially distributed numbers of mean ``scale``.

    >>> import tensorgrad as tg
    >>> tg.random.exponential(2.0, (2,), rng=0)
    Tensor([1.35986381, 2.0391942 ], dtype=float64)
    """
    return ops.multiply(scale, _draw("exponential", "standard_exponential", scale, 1.0, size, rng))


def bernoulli(p: TensorLike, size: int | tuple[int, ...] | None = None, *, rng: Generator | int) -> Tensor:
    """A mask: 1 with probability p, else 0, of p's dtype. It carries no gradient: draws of 0 and 1 do not move with p.

    A mask that lets a gradient pass is :func:`tensorgrad.gumbel_softmax`'s. Raises ValueError for p outside [0, 1].

    >>> import tensorgrad as tg
    >>> tg.random.bernoulli(0.25, (8,), rng=0).data.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    given = p.detach() if isinstance(p, Handle) else operand(p, "bernoulli")  # type: ignore[attr-defined]
    _require_probability(array_of(given))
    drawn = _draw("bernoulli", "random", given, 0.0, size, rng)
    below = np.less(drawn, array_of(given))
    return handle(below.astype(drawn.dtype), None)


@indivisible
def _require_probability(p: Any) -> None:
    if not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise ValueError(f"bernoulli: p is a probability, between 0 and 1, got {p}")


def permutation(x: TensorLike, /, axis: int = 0, *, rng: Generator | int) -> Tensor:
    """The parts of x along an axis in random order; gradients find their way back.

    An integer stands for as many numbers from 0 on. Raises ShapeError for an axis that x has not.

    >>> import tensorgrad as tg
    >>> tg.random.permutation([1.0, 2.0, 3.0], rng=0)
    Tensor([3., 1., 2.], dtype=float64)
    """
    _require_rng("permutation", rng)
    source = shaped(np.arange(x) if isinstance(x, int) else x, "permutation")
    axis = normalised_axis(axis, len(source.shape), "permutation")
    count = source.shape[axis]
    return ops.take(source, host(lambda: np.random.default_rng(rng).permutation(count)), axis=axis)
