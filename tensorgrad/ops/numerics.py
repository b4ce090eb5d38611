"""Interpolation, convolution, polynomials and covariance."""

from __future__ import annotations

from operator import index
from typing import Any, Literal

import numpy as np

from ..engine.record import Handle, Tensor, TensorLike, record
from ..engine.staging import array_of, indivisible
from ..errors import DTypeError, ShapeError
from .arithmetic import add, divide, multiply, remainder, sqrt, subtract
from .axes import flip, transpose
from .complexes import conj, refuse_complex
from .contractions import vander
from .diagonals import diagonal
from .indexing import getitem, scatter, take
from .joining import concatenate
from .keys import index_array
from .products import matmul, outer
from .reducing import narrow, wide
from .reductions import mean, sum
from .rounding import zeros_like
from .selection import where
from .shaping import astype, expand_dims, reshape
from .views import shaped

__all__ = ["bincount", "convolve", "corrcoef", "correlate", "cov", "interp", "polyfit", "polyval"]

Mode = Literal["full", "same", "valid"]


# --- interpolation --------------------------------------------------------------------------------------


@indivisible
def _left_of(points: Any, x: Any) -> Any:
    """The index of the left end of the interval that each x is in: the first or the last interval for x outside."""
    if not np.all(points[1:] >= points[:-1]):
        raise ValueError("interp: xp must be increasing; sort xp and fp by xp first, or pass period=...")
    return np.clip(np.searchsorted(points, x, side="right") - 1, 0, len(points) - 2)


def interp(
    x: TensorLike,
    xp: TensorLike,
    fp: TensorLike,
    /,
    left: TensorLike | None = None,
    right: TensorLike | None = None,
    period: float | None = None,
) -> Tensor:
    """Piecewise linear interpolation at x of points (xp, fp), with xp increasing; differentiable in all three.

    Args:
        x: where to interpolate, of any shape.
        xp: shape (points,).
        fp: shape (points,).
        left: the value for x < xp[0]; fp[0] by default.
        right: the value for x > xp[-1]; fp[-1] by default.
        period: the period of x and xp; xp then need not be increasing.

    At a point of xp, the derivative with respect to x is the slope to its right, if that is finite; outside it is 0.
    Raises ShapeError unless xp and fp have the same shape (points,), ValueError if xp is not increasing.

    >>> import tensorgrad as tg
    >>> tg.interp([0.5, 2.5], [0.0, 1.0, 2.0], [0.0, 10.0, 0.0])
    Tensor([5., 0.], dtype=float64)
    """
    at, points, values = (shaped(v, "interp") for v in (x, xp, fp))
    refuse_complex("interp", at, points)
    if len(points.shape) != 1 or points.shape != values.shape or not points.shape[0]:
        raise ShapeError(f"interp: xp and fp need the same shape (points,), got {points.shape} and {values.shape}")
    if period is not None:
        if period == 0:
            raise ValueError("interp: period must not be 0")
        at, points, values = _periodic(at, points, values, abs(period))
        left = right = None
    if points.shape[0] == 1:  # make it an interval of length 1 with equal values at both ends
        points = concatenate([points, add(points, 1.0)])
        values = concatenate([values, values])
        right = getitem(values, -1) if right is None else right
        inside = np.equal(array_of(at), getitem(points, 0).data)
    else:
        inside = np.less_equal(array_of(at), getitem(points, -1).data)
    i = _left_of(array_of(points), array_of(at))
    x0, x1 = take(points, i), take(points, i + 1)
    f0, f1 = take(values, i), take(values, i + 1)
    flat = np.equal(array_of(x0), array_of(x1))
    part = divide(subtract(at, x0), where(flat, 1.0, subtract(x1, x0)))
    way = subtract(f1, f0)
    # An infinite value wins between its neighbours, and does not reach them.
    other = np.isinf(array_of(f0)) & np.not_equal(array_of(part), 0)
    share = where(other, subtract(part, 1.0), part)
    way = where(np.isinf(array_of(way)) & np.equal(array_of(share), 0), 0.0, way)
    result = add(where(other, f1, f0), multiply(share, way))
    low = getitem(values, 0) if left is None else left
    high = getitem(values, -1) if right is None else right
    result = where(np.less(array_of(at), getitem(points, 0).data), low, result)
    return where(inside | np.isnan(array_of(at)), result, high)


def _periodic(at: Any, points: Any, values: Any, period: float) -> Any:
    """Move all points into one period, sort them, and add a neighbour at either end."""
    at, points = remainder(at, period), remainder(points, period)
    order = np.argsort(array_of(points))
    points, values = take(points, order), take(values, order)
    points = concatenate([subtract(points[-1:], period), points, add(points[:1], period)])
    return at, points, concatenate([values[-1:], values, values[:1]])


# --- convolution ----------------------------------------------------------------------------------------


def bincount(x: TensorLike, /, weights: TensorLike | None = None, minlength: int = 0) -> Any:
    """How often each integer from 0 upwards occurs, a plain array; or the sums of their weights, a Tensor.

    There are as many numbers as the largest integer needs, and at least ``minlength``. Weights get gradients, in
    float64 as in NumPy. Raises ShapeError unless x is a vector, and the weights match it.

    >>> import tensorgrad as tg
    >>> tg.bincount([0, 2, 2], weights=[1.0, 2.0, 3.0])
    Tensor([1., 0., 5.], dtype=float64)
    """
    # How many numbers there are depends on the values: a list or an ndarray within a compiled step is a constant.
    places = array_of(x) if isinstance(x, Handle) else np.asarray(x)
    if weights is None:
        return np.bincount(places, minlength=minlength)
    values = shaped(weights, "bincount")
    if len(places.shape) != 1 or values.shape != places.shape:
        raise ShapeError(f"bincount: expected a vector and weights for it, got {places.shape} and {values.shape}")
    if places.size and np.any(places < 0):
        raise ValueError("bincount: the integers must not be negative")
    length = max(minlength, int(places.max()) + 1 if places.size else 0)
    return scatter(astype(values, np.float64), index_array(places, "bincount"), (length,))


def convolve(a: TensorLike, v: TensorLike, /, mode: Mode = "full") -> Tensor:
    """Convolution of two vectors: ``sum_j a[j] v[k - j]``, like np.convolve.

    ``mode`` "full" gives all ``n + m - 1`` elements where they overlap at all, "valid" those where they overlap fully,
    "same" the middle ``max(n, m)``. Raises ShapeError for anything but non-empty vectors.

    >>> import tensorgrad as tg
    >>> tg.convolve([1.0, 2.0, 3.0], [0.0, 1.0, 0.5])
    Tensor([0. , 1. , 2.5, 4. , 1.5], dtype=float64)
    """
    left, right = shaped(a, "convolve"), shaped(v, "convolve")
    n, m = _lengths("convolve", left, right)
    start, stop = _kept("convolve", mode, n, m)
    around = (start, n + m - 1 - stop)  # left out of the full convolution

    def whole(xp: Any, g: Any) -> Any:
        return xp.pad(g, around) if any(around) else g

    def d_left(xp: Any, g: Any, y: Any) -> Any:
        return xp.convolve(whole(xp, g), xp.flip(y), "valid")

    def d_right(xp: Any, g: Any, x: Any) -> Any:
        return xp.convolve(whole(xp, g), xp.flip(x), "valid")

    return record("convolve", lambda x, y: np.convolve(x, y, mode), (left, right), (d_left, d_right))


def _lengths(op: str, left: Any, right: Any) -> tuple[int, int]:
    if len(left.shape) != 1 or len(right.shape) != 1 or not left.shape[0] or not right.shape[0]:
        raise ShapeError(
            f"{op}: expected two non-empty vectors, got shapes {left.shape} and {right.shape}; for more axes write "
            f"tg.conv(...)"
        )
    return left.shape[0], right.shape[0]


def _kept(op: str, mode: str, n: int, m: int) -> tuple[int, int]:
    """Which part of the full convolution a mode keeps."""
    short, long = min(n, m), max(n, m)
    if mode == "full":
        return 0, n + m - 1
    if mode == "valid":
        return short - 1, long
    if mode == "same":
        start = (short - 1) // 2
        return start, start + long
    raise ValueError(f"{op}: mode must be 'full', 'same' or 'valid', got {mode!r}")


def correlate(a: TensorLike, v: TensorLike, /, mode: Mode = "valid") -> Tensor:
    """Cross-correlation of two vectors: ``sum_j a[j + k] conj(v[j])``, like np.correlate.

    ``mode`` as for :func:`convolve`, "valid" by default.

    >>> import tensorgrad as tg
    >>> tg.correlate([1.0, 2.0, 3.0], [0.0, 1.0, 0.5])
    Tensor([3.5], dtype=float64)
    """
    left, right = shaped(a, "correlate"), shaped(v, "correlate")
    n, m = _lengths("correlate", left, right)
    turned = flip(conj(right) if right.dtype.kind == "c" else right)
    full = convolve(left, turned, "full")
    start, stop = _kept("correlate", mode, n, m)
    if mode == "same" and m > n:  # NumPy swaps the two and reverses the result
        start, stop = n + m - 1 - stop, n + m - 1 - start
    return getitem(full, slice(start, stop))


# --- polynomials ----------------------------------------------------------------------------------------


def polyval(p: TensorLike, x: TensorLike, /) -> Tensor:
    """A polynomial with coefficients p, of shape (degree + 1,), highest power first, evaluated at x of any shape.

    >>> import tensorgrad as tg
    >>> tg.polyval([3.0, 0.0, 1.0], 5.0)
    Tensor(76., dtype=float64)
    """
    coefficients, at = shaped(p, "polyval"), shaped(x, "polyval")
    if len(coefficients.shape) != 1:
        raise ShapeError(f"polyval: coefficients must have shape (degree + 1,), got {coefficients.shape}")
    result: Any = zeros_like(at)
    for i in range(coefficients.shape[0]):
        result = add(multiply(result, at), getitem(coefficients, i))
    return result


def polyfit(x: TensorLike, y: TensorLike, deg: int, /, w: TensorLike | None = None) -> Tensor:
    """The coefficients, highest power first, of the polynomial of a given degree fitted to points by least squares.

    Args:
        x: shape (points,).
        y: shape (points,) or (points, sets).
        deg: the degree, less than the number of points.
        w: weights of the residuals (not of their squares), shape (points,).

    Differentiable in x, y and w. Raises ShapeError for other shapes, and if there are no more than deg points.

    >>> import tensorgrad as tg
    >>> tg.polyfit([0.0, 1.0, 2.0], [1.0, 3.0, 7.0], 2)
    Tensor([1., 1., 1.], dtype=float64)
    """
    at, values = shaped(x, "polyfit"), shaped(y, "polyfit")
    count = index(deg) + 1
    if len(at.shape) != 1 or len(values.shape) not in (1, 2) or values.shape[0] != at.shape[0]:
        raise ShapeError(
            f"polyfit: expected x (points,) and y (points,) or (points, sets), got {at.shape} and {values.shape}"
        )
    if not 0 < count <= at.shape[0]:
        raise ShapeError(f"polyfit: degree {deg} needs deg >= 0 and at least {count} points, got {at.shape[0]}")
    powers: Any = vander(at, count)
    if w is not None:
        weights = shaped(w, "polyfit")
        if weights.shape != at.shape:
            raise ShapeError(f"polyfit: w must have the shape of x, {at.shape}, got {weights.shape}")
        powers = multiply(powers, expand_dims(weights, 1))
        values = multiply(values, weights if len(values.shape) == 1 else expand_dims(weights, 1))
    columns = values if len(values.shape) == 2 else expand_dims(values, 1)
    # Scale all columns to the same length, as NumPy does: powers differ by orders of magnitude.
    scale = np.sqrt(np.sum(np.square(np.abs(wide(array_of(powers)))), axis=0)).astype(powers.dtype)
    found = _least_squares(divide(powers, scale), columns)
    found = divide(found, np.reshape(scale, (count, 1)))
    return found if len(values.shape) == 2 else reshape(found, (count,))


def _least_squares(matrix: Any, columns: Any) -> Tensor:
    """(A^T A)^-1 A^T y for A of full rank (derivative with respect to A: Golub and Pereyra, 1973)."""

    def solved(xp: Any, a: Any, g: Any) -> Any:
        r = xp.linalg.qr(wide(a))[1]
        return xp.linalg.solve(r, xp.linalg.solve(xp.swapaxes(r, -1, -2), wide(g)))

    def forward(a: Any, b: Any) -> Any:
        return narrow(np.linalg.lstsq(wide(a), wide(b))[0], a)

    def d_matrix(xp: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
        s = solved(xp, x, g)
        x, y, out = wide(x), wide(y), wide(out)
        rest = y - xp.matmul(x, out)
        return xp.matmul(rest, xp.transpose(s)) - xp.matmul(xp.matmul(x, s), xp.transpose(out))

    def d_columns(xp: Any, g: Any, x: Any) -> Any:
        return xp.matmul(wide(x), solved(xp, x, g))

    refuse_complex("polyfit", matrix, columns)
    return record("polyfit", forward, (matrix, columns), (d_matrix, d_columns))


# --- covariance -----------------------------------------------------------------------------------------


def cov(
    m: TensorLike,
    /,
    y: TensorLike | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: TensorLike | None = None,
    aweights: TensorLike | None = None,
) -> Tensor:
    """Covariance matrix of variables, which are rows (columns with ``rowvar=False``), observed along the other axis.

    Divides by n - 1, with ``bias=True`` by n, with ``ddof`` by n - ddof. ``y`` adds more variables. ``fweights`` says
    how often each observation was made, ``aweights`` (which get a gradient) how much it counts, as in
    :func:`numpy.cov`. Raises ShapeError for more than two axes, weights of another shape than one per observation, and
    if there are too few observations to leave a positive divisor.

    >>> import tensorgrad as tg
    >>> tg.cov([[1.0, 2.0, 3.0], [1.0, 0.0, 5.0]]).data.tolist()
    [[1.0, 2.0], [2.0, 7.0]]
    """
    rows = _variables("cov", m, rowvar)
    if y is not None:
        rows = concatenate([rows, _variables("cov", y, rowvar)])
    refuse_complex("cov", rows)
    ddof = (0 if bias else 1) if ddof is None else ddof
    if fweights is not None or aweights is not None:
        result = _weighted_cov(rows, ddof, fweights, aweights)
    else:
        freedom = rows.shape[1] - ddof
        if freedom <= 0:
            raise ShapeError(f"cov: {rows.shape[1]} observations leave a divisor of {freedom}; more of them are needed")
        centred = subtract(rows, mean(rows, axis=1, keepdims=True))
        result = divide(matmul(centred, transpose(centred)), freedom)
    return reshape(result, ()) if rows.shape[0] == 1 else result


def _weighted_cov(rows: Any, ddof: float, fweights: Any, aweights: Any) -> Tensor:
    weights: Any = 1
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        w = shaped(given, "cov")
        if w.shape != rows.shape[1:]:
            raise ShapeError(f"cov: {name} has shape {w.shape}, expected {rows.shape[1:]}, one for each observation")
        if np.any(array_of(w) < 0):
            raise ValueError(f"cov: {name} must not be negative")
        if name == "fweights" and w.dtype.kind not in "iub":
            raise DTypeError(f"cov: fweights must be integers, got {w.dtype}; pass other weights as aweights")
        weights = multiply(weights, w)
    total = sum(weights)
    mean_weight = 1 if aweights is None else divide(sum(multiply(weights, aweights)), total)
    freedom = subtract(total, multiply(ddof, mean_weight))
    if array_of(freedom) <= 0:
        raise ShapeError(f"cov: the weights leave a divisor of {array_of(freedom):.4g}; more observations are needed")
    centre = divide(sum(multiply(rows, weights), axis=1, keepdims=True), total)
    centred = subtract(rows, centre)
    return divide(matmul(multiply(centred, weights), transpose(centred)), freedom)


def _variables(op: str, m: TensorLike, rowvar: bool) -> Any:
    given = shaped(m, op)
    if len(given.shape) > 2:
        raise ShapeError(f"{op}: expected two axes, variables and observations, got shape {given.shape}")
    if len(given.shape) < 2:
        return reshape(given, (1, -1))
    return given if rowvar or given.shape[0] == 1 else transpose(given)


def corrcoef(x: TensorLike, /, y: TensorLike | None = None, rowvar: bool = True) -> Tensor:
    """Correlation matrix: covariances over products of standard deviations. Arguments as for :func:`cov`.

    >>> import tensorgrad as tg
    >>> tg.corrcoef([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]).data.round(12).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    c = cov(x, y, rowvar)
    if not c.shape:
        return divide(c, c)
    deviations = sqrt(diagonal(c))
    return divide(c, outer(deviations, deviations))
