"""Minimax polynomials by the Remez exchange: how the coefficients of the native functions were found."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

__all__ = ["minimax"]


def minimax(f: Callable[[Any], Any], low: float, high: float, degree: int) -> tuple[list[float], float]:
    """The coefficients, lowest first, of the polynomial whose greatest error on an interval is least, and that error.

    It solves for equal errors of alternating sign at ``degree + 2`` points, moves the points to where the error is
    greatest, and does so again (Remez, 1934).
    """
    import mpmath as mp

    with mp.workdps(50):
        middle, half, count = mp.mpf(low + high) / 2, mp.mpf(high - low) / 2, degree + 2
        points = [middle - half * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]
        for _ in range(8):
            system = mp.matrix([[*(x**k for k in range(degree + 1)), (-1) ** i] for i, x in enumerate(points)])
            solution = mp.lu_solve(system, mp.matrix([f(x) for x in points]))
            coefficients = list(solution)[:-1]

            def error(x: Any, coefficients: Any = coefficients) -> Any:
                return f(x) - reduce(lambda total, c: total * x + c, reversed(coefficients))

            grid = [middle - half * mp.cos(mp.pi * i / (40 * count)) for i in range(40 * count + 1)]
            errors = [error(x) for x in grid]
            peaks: list[int] = []
            for i, e in enumerate(errors):
                if peaks and (e > 0) == (errors[peaks[-1]] > 0):
                    if abs(e) > abs(errors[peaks[-1]]):
                        peaks[-1] = i
                else:
                    peaks.append(i)
            if len(peaks) != count:
                break
            points = [grid[i] for i in peaks]
        return [float(c) for c in coefficients], float(max(map(abs, errors)))
