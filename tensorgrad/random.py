"""Random numbers, differentiable in the parameters of their distribution.

Draws are made outside the graph and scaled inside it, so that gradients pass to location and scale. For other
parameters the gradient is the implicit one: how a number moves while the probability of smaller ones stays the same.
Every function takes the generator to draw from (or a seed); there is no global state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .engine.record import Handle, Tensor, TensorLike, operand, record, tensor_of
from .engine.shapes import broadcast_error, normalised_axis
from .engine.staging import array_of, host, indivisible
from .ops import activations, arithmetic, indexing
from .ops.complexes import refuse_complex
from .ops.exponential import log
from .ops.sampling import require_rng
from .ops.shaping import lengths
from .ops.views import shaped
from .words import public_names

__all__ = [
    "bernoulli",
    "dirichlet",
    "exponential",
    "gamma",
    "gumbel",
    "laplace",
    "logistic",
    "normal",
    "permutation",
    "uniform",
]
__dir__ = public_names(globals())

Generator = np.random.Generator


def _dtype_and_shape(op: str, first: Any, second: Any, size: Any) -> tuple[Any, Any]:
    """The dtype and shape of the draws for two parameters."""
    parameters = [p if isinstance(p, Handle) else operand(p, op) for p in (first, second)]
    dtypes = [p.dtype for p in parameters if hasattr(p, "dtype")]
    dtype = np.result_type(*dtypes, np.float16) if dtypes else np.dtype(np.float64)
    shapes = [shaped(p, op).shape for p in (first, second)]
    error = broadcast_error(op, *shapes)
    if error is not None:
        raise error
    return dtype, np.broadcast_shapes(*shapes) if size is None else size


def _draw(op: str, method: str, first: Any, second: Any, size: Any, rng: Generator | int) -> Any:
    """Standard random numbers for scaling, in the parameters' shape and dtype."""
    require_rng(op, rng)
    dtype, size = _dtype_and_shape(op, first, second, size)

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
    return arithmetic.add(loc, arithmetic.multiply(scale, _draw("normal", "standard_normal", loc, scale, size, rng)))


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
        high: upper end, excluded (except through rounding).
        size: shape of the result; by default what the parameters broadcast to.
        rng: the generator to draw from, or a seed.

    >>> import tensorgrad as tg
    >>> tg.random.uniform(10.0, 20.0, (2,), rng=0)
    Tensor([16.36961687, 12.69786714], dtype=float64)
    """
    return arithmetic.add(
        low, arithmetic.multiply(arithmetic.subtract(high, low), _draw("uniform", "random", low, high, size, rng))
    )


def _located(op: str, loc: TensorLike, scale: TensorLike, size: Any, rng: Generator | int) -> Tensor:
    """``loc + scale * standard``, from the distribution that NumPy's generators have under that name."""
    return arithmetic.add(loc, arithmetic.multiply(scale, _draw(op, op, loc, scale, size, rng)))


def laplace(
    loc: TensorLike = 0.0,
    scale: TensorLike = 1.0,
    size: int | tuple[int, ...] | None = None,
    *,
    rng: Generator | int,
) -> Tensor:
    """Numbers from the Laplace distribution, with density ``exp(-abs(x - loc) / scale) / (2 scale)``.

    Arguments and dtype are as for :func:`normal`.

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
    """Numbers from the Gumbel distribution, that of the largest of many; arguments and dtype as for :func:`normal`.

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
    """Numbers from the logistic distribution, whose cumulative one is the sigmoid; arguments as for :func:`normal`.

    >>> import tensorgrad as tg
    >>> tg.random.logistic(10.0, 2.0, (2,), rng=0)
    Tensor([11.12440227,  8.00859007], dtype=float64)
    """
    return _located("logistic", loc, scale, size, rng)


def exponential(scale: TensorLike = 1.0, size: int | tuple[int, ...] | None = None, *, rng: Generator | int) -> Tensor:
    """Exponentially distributed numbers with mean ``scale``.

    >>> import tensorgrad as tg
    >>> tg.random.exponential(2.0, (2,), rng=0)
    Tensor([1.35986381, 2.0391942 ], dtype=float64)
    """
    return arithmetic.multiply(scale, _draw("exponential", "standard_exponential", scale, 1.0, size, rng))


@indivisible
def _gamma_draws(shape: Any, size: Any, dtype: Any, rng: Any, op: str) -> Any:
    if not np.all(np.asarray(shape) > 0):
        raise ValueError(f"{op}: shape parameters must be positive, got {shape}")
    drawn = np.random.default_rng(rng).standard_gamma(np.asarray(shape, np.float64), size)
    return np.asarray(drawn).astype(dtype, copy=False)


def _standard_gamma(op: str, shape: Any, size: Any, dtype: Any, rng: Any) -> Tensor:
    refuse_complex(op, shape)

    def d_shape(xp: Any, g: Any, x: Any, out: Any) -> Any:
        from .special.gamma_paths import gamma_slope  # needs SciPy

        return g * gamma_slope(x, out)

    return record("gamma", lambda a: _gamma_draws(a, size, dtype, rng, op), (shape,), (d_shape,))


def gamma(
    shape: TensorLike,
    scale: TensorLike = 1.0,
    size: int | tuple[int, ...] | None = None,
    *,
    rng: Generator | int,
) -> Tensor:
    """Numbers from the gamma distribution, with density proportional to ``x ** (shape - 1) * exp(-x / scale)``.

    The gradient for ``shape`` is the implicit one (Figurnov, Mohamed and Mnih, 2018), in double precision, twice
    differentiable: an unbiased estimate without a term for rejected draws. It needs SciPy (extra ``special``).

    Args:
        shape: the shape parameter, positive.
        scale: the factor that multiplies the numbers; the mean is ``shape * scale``.
        size: shape of the result; by default what the parameters broadcast to.
        rng: the generator to draw from, or a seed.

    Raises:
        ValueError: ``shape`` is not positive.
        GraphError: a third derivative with respect to ``shape`` is needed.

    >>> import tensorgrad as tg
    >>> shape = tg.Tensor([0.5, 5.0], requires_grad=True)
    >>> tg.random.gamma(shape, rng=0).sum().backward()
    >>> shape.grad.round(6)
    array([1.242887, 1.148359])
    """
    require_rng("gamma", rng)
    dtype, size = _dtype_and_shape("gamma", shape, scale, size)
    return arithmetic.multiply(scale, _standard_gamma("gamma", shape, size, dtype, rng))


def dirichlet(alpha: TensorLike, size: int | tuple[int, ...] | None = None, *, rng: Generator | int) -> Tensor:
    """Positive numbers that add up to 1 along the last axis, with density proportional to ``prod(x ** (alpha - 1))``.

    They are normalised :func:`gamma` draws, computed in logarithms so that a small ``alpha`` does not underflow (a draw
    of shape alpha is one of shape alpha + 1 times a uniform one to the power of 1 / alpha); gradients are as there.

    Args:
        alpha: positive parameters along the last axis; further axes hold further distributions.
        size: the result's axes before those of ``alpha``, for independent draws.
        rng: the generator to draw from, or a seed.

    Raises:
        ShapeError: ``alpha`` has no axes.
        ValueError: ``alpha`` is not positive.

    >>> import tensorgrad as tg
    >>> tg.random.dirichlet([1.0, 2.0, 3.0], rng=0).sum()
    Tensor(1., dtype=float64)
    """
    op = "dirichlet"
    require_rng(op, rng)
    refuse_complex(op, alpha)
    source = shaped(alpha, op)
    normalised_axis(-1, len(source.shape), op)
    _require_positive(array_of(source))
    dtype, whole = _dtype_and_shape(op, source, 1.0, (*(() if size is None else lengths(size, op)), *source.shape))
    # A seed gives two streams: a single one used for both would make the two draws dependent.
    first, second = (rng, rng) if isinstance(rng, Generator) else ([int(rng), 0], [int(rng), 1])
    larger = _standard_gamma(op, arithmetic.add(source, 1.0), whole, dtype, first)
    power = host(lambda: np.random.default_rng(second).standard_exponential(whole).astype(dtype))
    return activations.softmax(arithmetic.subtract(log(larger), arithmetic.divide(power, source)), -1)


@indivisible
def _require_positive(alpha: Any) -> None:
    if not np.all(np.asarray(alpha) > 0):
        raise ValueError(f"dirichlet: alpha must be positive, got {alpha}")


def bernoulli(p: TensorLike, size: int | tuple[int, ...] | None = None, *, rng: Generator | int) -> Tensor:
    """A mask: 1 with probability p, else 0, in p's dtype. It carries no gradient: draws of 0 and 1 do not move with p.

    For a mask that passes gradients, see :func:`tensorgrad.gumbel_softmax`. Raises ValueError for p outside [0, 1].

    >>> import tensorgrad as tg
    >>> tg.random.bernoulli(0.25, (8,), rng=0).data.tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    given = p.detach() if isinstance(p, Handle) else operand(p, "bernoulli")  # type: ignore[attr-defined]
    _require_probability(array_of(given))
    drawn = _draw("bernoulli", "random", given, 0.0, size, rng)
    below = np.less(drawn, array_of(given))
    return tensor_of(below.astype(drawn.dtype), None)


@indivisible
def _require_probability(p: Any) -> None:
    if not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise ValueError(f"bernoulli: p must be a probability, between 0 and 1, got {p}")


def permutation(x: TensorLike, /, axis: int = 0, *, rng: Generator | int) -> Tensor:
    """The parts of x along an axis in random order; gradients go back to their places.

    An integer n stands for the numbers from 0 to n - 1. Raises ShapeError if x does not have the axis.

    >>> import tensorgrad as tg
    >>> tg.random.permutation([1.0, 2.0, 3.0], rng=0)
    Tensor([3., 1., 2.], dtype=float64)
    """
    require_rng("permutation", rng)
    source = shaped(np.arange(x) if isinstance(x, int | np.integer) else x, "permutation")
    axis = normalised_axis(axis, len(source.shape), "permutation")
    count = source.shape[axis]
    return indexing.take(source, host(lambda: np.random.default_rng(rng).permutation(count)), axis=axis)
