"""Numeric derivatives, with bounds on their errors, for :mod:`tensorgrad.testing` to compare with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from ..engine.mode import no_grad, silenced
from ..engine.record import tensor_of
from ..tensor import Tensor

__all__ = [
    "GradcheckError",
    "Method",
    "Numeric",
    "central",
    "central_by_parts",
    "complex_or_none",
    "complex_step",
    "evaluated",
    "name_of",
    "results_of",
    "shown",
]

Method = Literal["complex", "central"]
Numeric = tuple[list[Any], list[Any]]  # derivatives, and a bound on the error of each

_STEP = 1e-4  # the step of a central difference, for inputs around 1
_FINER = 1 / 16  # the factor for a second, finer step, to tell strong curvature from a kink
_TINY = 1e-100  # the complex step: nothing is subtracted, so nothing cancels
_ROUNDING = 500 * np.finfo(np.float64).eps  # the rounding error of f, relative to its values
_CANCELLING = 100 * np.finfo(np.float64).eps  # that of f where its terms cancel, relative to its values nearby
_NEARBY = 0.25  # the distance of nearby points, relative to the inputs
_LEAST = float(np.finfo(np.float64).tiny)  # the least rounding error of f, so that no tolerance is zero
_EXACT = 1e-12  # the error of a complex-step derivative, relative to the terms of its sum
_CANCELLED = 1e-14  # the error of a first derivative that almost cancels, relative to what it was computed from


class GradcheckError(AssertionError):
    """A derivative is wrong, or cannot be checked at this point."""


def results_of(returned: Any) -> list[Tensor]:
    """What f returned, as a list of Tensors."""
    results = list(returned) if isinstance(returned, list | tuple) else [returned]
    for out in results:
        if not isinstance(out, Tensor):
            raise TypeError(f"gradcheck: f returned a {type(out).__name__}, expected a Tensor, or a list of Tensors")
    return results


def evaluated(f: Callable[..., Any], points: list[Any]) -> list[Any]:
    """The arrays that f returns, computed without recording."""
    with no_grad():
        return [out.data for out in results_of(f(*(tensor_of(point.copy(order="K"), None) for point in points)))]


def name_of(f: Callable[..., Any]) -> str:
    """The name of f, for messages."""
    return getattr(f, "__name__", None) or type(f).__name__


def shown(index: tuple[int, ...]) -> str:
    """An index, for messages."""
    return f"({', '.join(map(str, index))}{',' if len(index) == 1 else ''})"


def _moved(points: list[Any], i: int, index: tuple[int, ...], step: Any) -> list[Any]:
    """The points with ``step`` added to one element of input ``i``; all complex if the step is."""
    moved = [point.astype(np.result_type(point, step)) for point in points]
    moved[i][index] += step
    return moved


def _elements(points: list[Any]) -> Iterator[tuple[int, tuple[int, ...]]]:
    for i, point in enumerate(points):
        for index in np.ndindex(point.shape):
            yield i, index


def _weighted(weights: list[Any], values: list[Any]) -> Any:
    return sum([(w * v).sum() for w, v in zip(weights, values, strict=True)])


def _terms(weights: list[Any], values: list[Any]) -> list[Any]:
    """The magnitudes of the weighted results."""
    return [np.abs(w * v) for w, v in zip(weights, values, strict=True)]


def _counting(moved: list[Any]) -> list[Any]:
    """Which results count for a size: those that moved, or all of them if none did."""
    return moved if any(m.any() for m in moved) else [np.True_] * len(moved)


def _size(terms: list[Any], counting: list[Any]) -> float:
    return float(sum([np.where(m, t, 0).sum() for t, m in zip(terms, counting, strict=True)]))


def _sizes_nearby(f: Callable[..., Any], points: list[Any], middle: list[Any]) -> list[Any]:
    """The magnitudes of the results of f, at this point or nearby.

    If terms cancel, as in the determinant of a singular matrix, a result can be zero here, and stay zero whichever
    element moves. Its rounding error still scales with the terms, and so with the results nearby. Nearby results that
    are not finite, or where f raises, do not count.
    """
    rng = np.random.default_rng(0)
    shifts = [_NEARBY * rng.uniform(-1, 1, point.shape) * _scale(point) for point in points]
    sizes = [np.abs(out) for out in middle]
    for sign in (1, -1):
        try:
            # Twice: if Ctrl-C breaks into the end of one, the other puts the filters back.
            with warnings.catch_warnings(), warnings.catch_warnings(), silenced():
                warnings.simplefilter("ignore")
                there = evaluated(f, [point + sign * shift for point, shift in zip(points, shifts, strict=True)])
        except Exception:
            continue  # outside the domain
        if [out.shape for out in there] == [size.shape for size in sizes]:
            large = [np.where(np.isfinite(out), np.abs(out), 0) for out in there]
            sizes = [np.maximum(a, b) for a, b in zip(sizes, large, strict=True)]
    return sizes


def _scale(point: Any) -> Any:
    """The magnitude of each element; for zeros that of the largest element, or 1."""
    sizes = np.abs(point)
    return np.where(sizes > 0, sizes, np.max(sizes, initial=0) or 1.0)


class _Difference(NamedTuple):
    """The five-point central difference with respect to one element, and estimates of its quality."""

    derivative: float
    rounding: float  # its error from rounding in f
    floor: float  # the least error to expect, because f was computed from terms that cancel
    truncation: float  # its error from the step
    bend: float  # the measure of a kink: for a smooth function, it shrinks with the step, or faster
    steepest: float  # the largest of the four slopes, in absolute value
    right: float
    left: float


def _difference(
    f: Callable[..., Any],
    points: list[Any],
    weights: list[Any],
    middle: list[Any],
    nearby: list[Any],
    size: float,
    i: int,
    index: tuple[int, ...],
    step: float,
) -> _Difference:
    slopes = []
    rounding = floor = 0.0
    for k in (1, -1, 2, -2):
        there = evaluated(f, _moved(points, i, index, k * step))
        # The change of elements that did not move is exactly zero, before weights and sums can add rounding errors.
        still = [a == b for a, b in zip(middle, there, strict=True)]
        counting = _counting([~s for s in still])
        changes = [np.where(s, 0, b - a) for a, b, s in zip(middle, there, still, strict=True)]
        slopes.append(float(_weighted(weights, changes) / (k * step)))
        large = [np.maximum(np.abs(a), np.abs(b)) for a, b in zip(middle, there, strict=True)]
        rounding = max(rounding, _ROUNDING * _size(_terms(weights, large), counting) / step)
        floor = max(floor, (_CANCELLING * _size(nearby, counting) + _LEAST) / step)
    right, left, right2, left2 = slopes
    near, far = (right + left) / 2, (right2 + left2) / 2
    apart, larger = abs(near - far), max(abs(near), abs(far))
    return _Difference(
        derivative=(4 * near - far) / 3,
        rounding=rounding + _CANCELLED * size / step,
        floor=floor,
        # The error of near is about apart / 3, of order step**2; what remains of it is of order step**4.
        truncation=4 * apart * (apart / larger) if larger else 0.0,
        # For a smooth function, right - left is proportional to the step, and near - far to its square.
        bend=max(abs(2 * (right - left) - (right2 - left2)), apart),
        steepest=max(map(abs, slopes)),
        right=right,
        left=left,
    )


def central(
    f: Callable[..., Any], points: list[Any], weights: list[Any], middle: list[Any], size: float, atol: float
) -> Numeric:
    """Five-point central differences. Raises GradcheckError if there is a kink among the five points."""
    numeric, errors = [np.zeros_like(point) for point in points], [np.zeros_like(point) for point in points]
    nearby = _terms(weights, _sizes_nearby(f, points, middle))
    for i, index in _elements(points):
        step = _STEP * max(1.0, abs(points[i][index]))
        found = _difference(f, points, weights, middle, nearby, size, i, index, step)
        if not np.isfinite(found.derivative):
            raise GradcheckError(
                f"{name_of(f)} is not finite around input {i}, index {shown(index)} = {points[i][index]}, so "
                f"it has no numeric derivative there; check at another point"
            )
        if found.bend > 1e-3 * found.steepest + max(found.rounding, found.floor, atol):
            finer = _difference(f, points, weights, middle, nearby, size, i, index, _FINER * step)
            # Curvature shrinks by a power of the step. A kink stays, or is now outside the points and leaves nothing.
            nothing = max(_FINER**10 * found.bend, 0.01 * finer.rounding)
            if not nothing < finer.bend < 2 * _FINER * found.bend:
                raise GradcheckError(
                    f"{name_of(f)} has a kink or a jump at input {i}, index {shown(index)} = {points[i][index]}, "
                    f"or within {2 * step:.1e} of it: the slope to the right is {found.right}, to the left "
                    f"{found.left}; check at a point farther away from it"
                )
            found = finer
        numeric[i][index] = found.derivative
        errors[i][index] = max(found.rounding, found.floor) + found.truncation
    return numeric, errors


def central_by_parts(
    f: Callable[..., Any], points: list[Any], weights: list[Any], middle: list[Any], size: float, atol: float
) -> Numeric:
    """Central differences of ``L = Re(sum(weights * f))`` for real and imaginary parts, as ``dL/dx - i dL/dy``."""

    def of_parts(*parts: Tensor) -> list[Tensor]:
        results = results_of(f(*(tensor_of(whole, None) for whole in _joined([part.data for part in parts], points))))
        return [tensor_of(part, None) for part in _parted([out.data for out in results])]

    of_parts.__name__ = f"{name_of(f)}, as a function of real and imaginary parts,"
    # Re(w z) is Re(w) Re(z) - Im(w) Im(z), so the weights of the parts are those of the conjugate.
    by_parts = _parted([np.conj(weight) for weight in weights])
    numeric, errors = central(of_parts, _parted(points), by_parts, _parted(middle), size, atol)
    return [np.conj(whole) for whole in _joined(numeric, points)], [np.abs(e) for e in _joined(errors, points)]


def _parted(arrays: list[Any]) -> list[Any]:
    """The arrays, with each complex one replaced by its real and imaginary parts."""
    return [part for a in arrays for part in ((a.real.copy(), a.imag.copy()) if a.dtype.kind == "c" else (a,))]


def _joined(parts: list[Any], like: list[Any]) -> list[Any]:
    """The inverse of :func:`_parted`: arrays that are complex where those of ``like`` are."""
    rest = iter(parts)
    return [next(rest) + 1j * next(rest) if a.dtype.kind == "c" else next(rest) for a in like]


def complex_step(f: Callable[..., Any], points: list[Any], weights: list[Any], size: float) -> Numeric:
    """The imaginary part of f at x + ih, divided by h."""
    numeric, errors = [np.zeros_like(point) for point in points], [np.zeros_like(point) for point in points]
    nearby = _terms(weights, _sizes_nearby(f, points, evaluated(f, points)))
    for i, index in _elements(points):
        results = evaluated(f, _moved(points, i, index, _TINY * 1j))
        parts = [np.imag(out) / _TINY for out in results]
        counting = _counting([part != 0 for part in parts])
        numeric[i][index] = _weighted(weights, parts)
        truncation = 1e6 * _TINY**2  # for functions like x**3 at 0, whose imaginary part is -h**3 there
        errors[i][index] = (
            truncation
            + _CANCELLED * size
            + _EXACT
            * max(
                _size(nearby, counting) / max(1.0, abs(points[i][index])),
                _size(_terms(weights, parts), counting),
            )
        )
    return numeric, errors


def complex_or_none(
    f: Callable[..., Any], points: list[Any], weights: list[Any], size: float, roughly: list[Any], errors: list[Any]
) -> Numeric | None:
    """The complex step, if f accepts complex numbers and is analytic, judging by a rough central difference."""
    try:
        with warnings.catch_warnings(), warnings.catch_warnings():  # twice, as above
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            found = complex_step(f, points, weights, size)
    except Exception:
        return None  # f does not accept complex numbers, whatever its error says
    for exact, rough, error in zip(found[0], roughly, errors, strict=True):
        if not np.all(np.abs(exact - rough) <= 1e-5 * np.abs(rough) + error):
            return None
    return found
