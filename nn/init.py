"""Initial values of weights: He, Glorot and LeCun, orthogonal, and plain distributions.

The first three take the shape of a weight and draw with mean 0 and a variance suited to its activation, whose
:func:`gain` g can be given:

========  ======================  =====================================================================
He        ``g² / n_in``           g² = 2 for relu: half of the inputs are 0 (He et al., 2015, equation 10)
Glorot    ``2g² / (n_in+n_out)``  for both forward and backward (Glorot and Bengio, 2010, equation 12)
LeCun     ``g² / n_in``           unit variance of a linear sum (LeCun et al., 1998, section 4.6)
========  ======================  =====================================================================

The normal ones are not truncated; the uniform ones extend to ``sqrt(3 * variance)``. A shape with two axes is
``(n_in, n_out)``, as in :class:`Linear`. One with more is ``(outputs, channels / groups, *kernel)``, as in
:class:`Conv2d`: then ``n_in = channels / groups * prod(kernel)`` and ``n_out = outputs * prod(kernel)``.

A layer takes an initialiser as a name, a function, or a dict with the name and options.

>>> import nn
>>> layer = nn.Linear(64, 32, init={"name": "truncated_normal", "std": 0.02, "low": -0.04, "high": 0.04})
>>> bool(abs(layer.W.data).max() <= 0.04)
True
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from ._checks import floating, number
from ._words import INITIALISERS

__all__ = [
    "Init",
    "Initializer",
    "constant",
    "gain",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "orthogonal",
    "resolved",
    "truncated_normal",
    "uniform",
    "zeros",
]

Shape = tuple[int, ...]
Seed = np.random.Generator | int | None
Gain = float | str
Initializer = Callable[..., Any]
Init = str | Mapping[str, Any] | Initializer


def he_normal(shape: Shape, *, gain: Gain = "relu", dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Normal with variance ``gain² / n_in``, 2 / n_in for relu.

    Args:
        shape: of the weight.
        gain: a number, or the name of an activation; see :func:`gain`.
        dtype: of the result; the draws are the same for all dtypes.
        rng: generator or seed; None draws a fresh seed.

    Raises:
        ShapeError: the shape has fewer than two axes, or an empty one.
        ValueError: gain is neither a known name nor a positive number.
        DTypeError: dtype is not floating point; the same goes for the other initialisers.

    >>> import nn
    >>> round(float(nn.init.he_normal((1000, 100), rng=0).var()), 4)
    0.002
    """
    n_in, _ = _fans(shape, "he_normal")
    return _normal(shape, _squared(gain, "he_normal") / n_in, floating("he_normal", dtype), rng)


def he_uniform(shape: Shape, *, gain: Gain = "relu", dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Uniform with variance ``gain² / n_in``; arguments and errors as in :func:`he_normal`.

    >>> import nn
    >>> bool(abs(nn.init.he_uniform((6, 100), rng=0)).max() <= 1.0)
    True
    """
    n_in, _ = _fans(shape, "he_uniform")
    return _uniform(shape, _squared(gain, "he_uniform") / n_in, floating("he_uniform", dtype), rng)


def glorot_normal(shape: Shape, *, gain: Gain = 1.0, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Normal with variance ``2 * gain² / (n_in + n_out)``; arguments and errors as in :func:`he_normal`.

    >>> import nn
    >>> round(float(nn.init.glorot_normal((600, 400), rng=0).var()), 4)
    0.002
    """
    variance = 2 * _squared(gain, "glorot_normal") / sum(_fans(shape, "glorot_normal"))
    return _normal(shape, variance, floating("glorot_normal", dtype), rng)


def glorot_uniform(shape: Shape, *, gain: Gain = 1.0, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Uniform with variance ``2 * gain² / (n_in + n_out)``; arguments and errors as in :func:`he_normal`.

    >>> import nn
    >>> bool(abs(nn.init.glorot_uniform((2, 4), rng=0)).max() <= 1.0)
    True
    """
    variance = 2 * _squared(gain, "glorot_uniform") / sum(_fans(shape, "glorot_uniform"))
    return _uniform(shape, variance, floating("glorot_uniform", dtype), rng)


def lecun_normal(shape: Shape, *, gain: Gain = 1.0, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Normal with variance ``gain² / n_in``; arguments and errors as in :func:`he_normal`.

    >>> import nn
    >>> round(float(nn.init.lecun_normal((1000, 100), rng=0).var()), 4)
    0.001
    """
    n_in, _ = _fans(shape, "lecun_normal")
    return _normal(shape, _squared(gain, "lecun_normal") / n_in, floating("lecun_normal", dtype), rng)


def lecun_uniform(shape: Shape, *, gain: Gain = 1.0, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Uniform with variance ``gain² / n_in``; arguments and errors as in :func:`he_normal`.

    >>> import nn
    >>> bool(abs(nn.init.lecun_uniform((3, 4), rng=0)).max() <= 1.0)
    True
    """
    n_in, _ = _fans(shape, "lecun_uniform")
    return _uniform(shape, _squared(gain, "lecun_uniform") / n_in, floating("lecun_uniform", dtype), rng)


def orthogonal(shape: Shape, *, gain: Gain = 1.0, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """``gain`` times a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al., 2013).

    Uniformly distributed over such matrices: the signs of the QR factor of normal numbers are fixed (Mezzadri, 2007).
    A shape with more than two axes is treated as the matrix (outputs, everything else). Arguments and errors as in
    :func:`he_normal`.

    >>> import nn, numpy as np
    >>> W = nn.init.orthogonal((4, 2), dtype=np.float64, rng=0)
    >>> bool(np.allclose(W.T @ W, np.eye(2)))
    True
    """
    _fans(shape, "orthogonal")
    rows, columns = shape[0], math.prod(shape[1:])
    draws = np.random.default_rng(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draws)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0) * math.sqrt(_squared(gain, "orthogonal"))
    return (q if rows >= columns else q.T).reshape(shape).astype(floating("orthogonal", dtype))


def normal(
    shape: Shape, *, mean: float = 0.0, std: float = 1.0, dtype: DTypeLike = np.float32, rng: Seed = None
) -> Any:
    """Normal with a mean and a standard deviation. Raises ValueError if the latter is negative.

    >>> import nn
    >>> round(float(nn.init.normal((1000,), std=0.1, rng=0).std()), 2)
    0.1
    """
    mean, std = number("normal", "mean", mean), number("normal", "std", std, 0)
    return np.asarray(np.random.default_rng(rng).normal(mean, std, shape), floating("normal", dtype))


def uniform(
    shape: Shape, *, low: float = 0.0, high: float = 1.0, dtype: DTypeLike = np.float32, rng: Seed = None
) -> Any:
    """Uniform from low to high. Raises ValueError unless low is below high.

    >>> import nn
    >>> bool(abs(nn.init.uniform((100,), low=-0.1, high=0.1, rng=0)).max() <= 0.1)
    True
    """
    low, high = _interval("uniform", low, high)
    return np.asarray(np.random.default_rng(rng).uniform(low, high, shape), floating("uniform", dtype))


def truncated_normal(
    shape: Shape,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    dtype: DTypeLike = np.float32,
    rng: Seed = None,
) -> Any:
    """Normal, drawn again wherever it falls outside [low, high].

    Args:
        shape: of the result.
        mean: of the distribution before truncation.
        std: its standard deviation before truncation, positive.
        low: the smallest value, not in multiples of std.
        high: the largest value, likewise.
        dtype: of the result; the draws are the same for all dtypes.
        rng: generator or seed; None draws a fresh seed.

    Raises:
        ValueError: std is not positive, low is not below high, or the interval contains less than 1 % of the
            distribution.

    >>> import nn
    >>> bool(abs(nn.init.truncated_normal((1000,), rng=0)).max() <= 2.0)
    True
    """
    op = "truncated_normal"
    mean, std = number(op, "mean", mean), number(op, "std", std)
    low, high = _interval(op, low, high)
    if std <= 0:
        raise ValueError(f"{op}: std must be positive, got {std!r}")
    a, b = ((edge - mean) / (std * math.sqrt(2)) for edge in (low, high))
    share = (math.erf(b) - math.erf(a)) / 2
    if share < 0.01:
        raise ValueError(
            f"{op}: low={low!r} to high={high!r} contains {share:.2g} of the normal distribution with mean={mean!r} "
            f"and std={std!r}, expected at least 0.01; move the interval towards the mean, or draw with uniform"
        )
    generator = np.random.default_rng(rng)
    values = np.asarray(generator.normal(mean, std, shape))
    while (outside := (values < low) | (values > high)).any():
        values[outside] = generator.normal(mean, std, np.count_nonzero(outside))
    return values.astype(floating("truncated_normal", dtype))


def constant(shape: Shape, *, value: float, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """One value everywhere; takes ``rng`` like the others, but draws nothing.

    >>> import nn
    >>> nn.init.constant((3,), value=0.5)
    array([0.5, 0.5, 0.5], dtype=float32)
    """
    return np.full(shape, number("constant", "value", value), floating("constant", dtype))


def zeros(shape: Shape, *, dtype: DTypeLike = np.float32, rng: Seed = None) -> Any:
    """Zeros; takes ``rng`` like the others, but draws nothing.

    >>> import nn
    >>> nn.init.zeros((3,))
    array([0., 0., 0.], dtype=float32)
    """
    return np.zeros(shape, floating("zeros", dtype))


# Squares of gains. The first five are PyTorch's (`calculate_gain`): relu and linear preserve the mean square exactly,
# tanh and selu are rules of thumb. The others are 1 / E[f(z)²] for a standard normal z, computed to all digits by
# adaptive quadrature.
_SQUARES = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 25 / 9,
    "relu": 2.0,
    "selu": 9 / 16,
    "elu": 1.5505188080679269,
    "gelu": 2.351715614073373,
    "silu": 2.810761124074471,
    "mish": 2.210715729937989,
    "softplus": 1.0854865029883431,
    "softsign": 5.464062223645519,
    "hardtanh": 1.9377646163142257,
}
_SLOPES = {"leaky_relu": 0.01, "prelu": 0.25}


def gain(activation: str, param: float | None = None) -> float:
    """The recommended factor of the standard deviation of weights before an activation.

    linear, sigmoid, tanh, relu, leaky_relu and selu are as in PyTorch, and prelu is like leaky_relu. The others are
    ``1 / sqrt(E[f(z)²])`` for a standard normal z, with the default arguments of f: for a sum of unit variance, the
    activation then returns a mean square of 1.

    Args:
        activation: a name: "linear", or one that :class:`MLP` takes.
        param: the slope of "leaky_relu" (0.01 by default) or "prelu" (0.25); the others take none.

    Raises:
        ValueError: the name is unknown, or the activation takes no param.

    >>> import nn
    >>> round(nn.init.gain("leaky_relu", 0.2), 4)
    1.3868
    """
    if activation in _SLOPES:
        slope = _SLOPES[activation] if param is None else number("gain", "param", param)
        return math.sqrt(2 / (1 + slope**2))
    if activation not in _SQUARES:
        raise ValueError(f"gain: got {activation!r}, expected one of {', '.join((*_SQUARES, *_SLOPES))}")
    if param is not None:
        raise ValueError(
            f"gain: param is the slope of {' or '.join(_SLOPES)}; {activation!r} takes none, got {param!r}"
        )
    return math.sqrt(_SQUARES[activation])


def resolved(init: Init) -> Initializer:
    """Return the initialiser for a name or a dict of name and options, or the callable itself.

    >>> resolved({"name": "constant", "value": 2.0})((2,)).tolist()
    [2.0, 2.0]
    """
    if callable(init):
        return init
    fields = dict(init) if isinstance(init, Mapping) else {"name": init}
    name = fields.pop("name", None)
    if not isinstance(name, str) or name not in _BY_NAME:
        raise ValueError(
            f"init: got the name {name!r}, expected one of {', '.join(_BY_NAME)}; or a function (shape, dtype=, rng=)"
        )
    function = _BY_NAME[name]
    options = {n: p for n, p in inspect.signature(function).parameters.items() if n not in ("shape", "dtype", "rng")}
    known = f"its fields are {', '.join(options)}" if options else "it has no fields"
    for field in fields:
        if field not in options:
            raise ValueError(f"init: {name!r} has no field {field!r}; {known}")
    for field, parameter in options.items():
        if parameter.default is parameter.empty and field not in fields:
            raise ValueError(f"init: {name!r} needs the field {field!r}; write {{'name': {name!r}, {field!r}: ...}}")
    return partial(function, **fields) if fields else function


_BY_NAME: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        *(he_normal, he_uniform, glorot_normal, glorot_uniform, lecun_normal, lecun_uniform, orthogonal),
        *(normal, uniform, truncated_normal, constant, zeros),
    )
}
_gain_of = gain  # `gain` is the name of an argument above


def _squared(gain: Gain, op: str) -> float:
    if isinstance(gain, str):
        return _SQUARES[gain] if gain in _SQUARES else _gain_of(gain) ** 2
    value = number(op, "gain", gain)
    if value <= 0:
        raise ValueError(f"{op}: gain must be positive, got {gain!r}")
    return value**2


def _interval(op: str, low: float, high: float) -> tuple[float, float]:
    low, high = number(op, "low", low), number(op, "high", high)
    if low >= high:
        raise ValueError(f"{op}: low must be below high, got {low!r} and {high!r}")
    return low, high


def _fans(shape: Shape, op: str) -> tuple[int, int]:
    if len(shape) < 2 or 0 in shape:
        raise tg.ShapeError(
            f"{op}: expected the shape of a weight, (n_in, n_out) or (outputs, channels / groups, *kernel), all at "
            f"least 1, got {shape}"
        )
    if len(shape) == 2:
        return shape[0], shape[1]
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _normal(shape: Shape, variance: float, dtype: DTypeLike, rng: Seed) -> Any:
    # Drawn in float64, so that models of all dtypes start from the same weights.
    return (np.random.default_rng(rng).standard_normal(shape) * math.sqrt(variance)).astype(dtype)


def _uniform(shape: Shape, variance: float, dtype: DTypeLike, rng: Seed) -> Any:
    limit = math.sqrt(3 * variance)
    return np.random.default_rng(rng).uniform(-limit, limit, shape).astype(dtype)


if not TYPE_CHECKING:  # a type checker would take any name for one that is there
    __getattr__ = tg.words.unknown_name("nn.init", globals(), INITIALISERS)

__dir__ = tg.words.public_names(globals())
