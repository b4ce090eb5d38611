"""Functions in native code, to the last digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg

from .minimax import minimax

pytest.importorskip("llvmlite")
mpmath = pytest.importorskip("mpmath")

from tensorgrad.compiler.native import cache as stored  # noqa: E402
from tensorgrad.compiler.native import machine, nests  # noqa: E402
from tensorgrad.compiler.native.functions import DOUBLE, MIDDLE, NEAR, SINGLE  # noqa: E402

WORST = {  # units in the last place
    np.exp: 1.2,
    np.cosh: 1.8,
    np.expm1: 1.8,
    np.log: 1.2,
    np.log1p: 1.2,
    np.tanh: 1.8,
    np.logaddexp: 2.0,
}
EXACT: dict[Any, Callable[..., Any]] = {
    np.exp: mpmath.exp,
    np.cosh: mpmath.cosh,
    np.expm1: mpmath.expm1,
    np.log: mpmath.log,
    np.log1p: mpmath.log1p,
    np.tanh: mpmath.tanh,
}
try:
    from scipy.special import ndtr
except ImportError:
    pass
else:
    EXACT[ndtr], WORST[ndtr] = lambda x: mpmath.ncdf(min(max(x, -60), 60)), 5.0


def wide(ufunc: Any, x: Any) -> Any:
    """The results in more digits than x has, rounded to its dtype, if there are any."""
    wider = np.longdouble if "g" in "".join(ufunc.types) else np.float64
    with np.errstate(all="ignore"):
        return ufunc(x.astype(wider)).astype(x.dtype)


@cache
def compiled(ufunc: np.ufunc) -> Any:
    """The function in native code; numbers go into a vector loop, and the rest of a loop."""
    step = tg.compile(lambda *x: ufunc(*x), backend="native")

    def run(*arrays: Any) -> Any:
        with np.errstate(all="ignore"):  # the first run is NumPy's
            step(*arrays)
        got = step(*arrays)
        assert "run_segment0(" in step.source
        assert f"{ufunc.__name__}(" not in step.source
        return np.asarray(got)

    return run


def special(dtype: Any) -> Any:
    """Numbers at the ends of a format."""
    limits = np.finfo(dtype)
    ends = [0.0, limits.smallest_subnormal, limits.tiny, limits.tiny / 2, 1.0, limits.eps, limits.max, np.inf]
    ends += [np.nextafter(dtype(1), dtype(0)), np.nextafter(dtype(1), dtype(2)), 0.5, 2.0, 1e-3, NEAR]
    ends += [88.0, 89.0, 103.0, 104.0, 709.0, 710.0, 745.0, 746.0, 1e4, np.log(limits.max), -np.log(limits.tiny)]
    ends = np.array(ends, dtype)
    return np.concatenate([ends, -ends, [np.nan]]).astype(dtype)


def samples(dtype: Any) -> Any:
    """Numbers of every exponent and both signs, and more where the functions bend."""
    rng = np.random.default_rng(0)
    low, high = np.finfo(dtype).minexp, np.finfo(dtype).maxexp
    step = 1 if dtype is np.float32 else 8
    exponents = np.repeat(np.arange(low - 20, high, step), 4)
    with np.errstate(all="ignore"):
        every = np.ldexp(rng.uniform(1, 2, len(exponents)), exponents).astype(dtype)
    every = np.concatenate([every, -every])
    near = [rng.normal(size=500), rng.uniform(-1, 1, 300) * 100, rng.normal(size=300) * 0.05, rng.uniform(0.5, 2, 300)]
    return np.concatenate([every, *near]).astype(dtype)


def error(got: Any, exact: Any, dtype: Any) -> float:
    """In units in the last place of the exact result."""
    with mpmath.workdps(40):
        rounded = dtype(float(exact)) if dtype is np.float32 else float(exact)
        with np.errstate(all="ignore"):
            unit = np.spacing(np.abs(dtype(rounded)))
        return float(abs(mpmath.mpf(float(got)) - exact) / mpmath.mpf(float(unit)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ufunc", list(EXACT))
def test_functions_are_accurate(ufunc: Any, dtype: Any) -> None:
    x = samples(dtype)
    reference = wide(ufunc, x)
    got = compiled(ufunc)(x)
    assert got.dtype == dtype
    finite = np.isfinite(reference)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(reference))
    with mpmath.workdps(40):
        worst = max(
            (error(y, EXACT[ufunc](mpmath.mpf(float(a))), dtype), float(a))
            for a, y in zip(x[finite], got[finite], strict=True)
        )
    assert worst[0] <= WORST[ufunc]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logaddexp_is_accurate(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 500)).astype(dtype) * 5
    got = compiled(np.logaddexp)(x, y)
    with mpmath.workdps(40):
        pairs = zip(x.tolist(), y.tolist(), strict=True)
        exact = [mpmath.log(mpmath.exp(mpmath.mpf(a)) + mpmath.exp(mpmath.mpf(b))) for a, b in pairs]
    size = np.maximum(np.abs(x), np.abs(y))  # where they cancel, the error is one of these
    for a, b, scale in zip(got, exact, size, strict=True):
        assert abs(mpmath.mpf(float(a)) - b) <= WORST[np.logaddexp] * np.spacing(max(scale, abs(a)))
    ends = special(dtype)
    one, other = (part.ravel() for part in np.meshgrid(ends, ends))
    with np.errstate(all="ignore"):
        expected = np.logaddexp(one, other)
    np.testing.assert_allclose(compiled(np.logaddexp)(one, other), expected, rtol=4 * np.finfo(dtype).eps, atol=1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ufunc", list(EXACT))
def test_functions_at_the_ends(ufunc: Any, dtype: Any) -> None:
    """Infinities, zeros with their sign, NaN, the smallest and the largest numbers; in pieces of any length."""
    x = special(dtype)
    expected = wide(ufunc, x)
    for length in (len(x), 1, 3, 17):
        got = compiled(ufunc)(np.ascontiguousarray(x[-length:]))
        np.testing.assert_array_almost_equal_nulp(
            np.where(np.isfinite(got), got, 0), np.where(np.isfinite(got), expected[-length:], 0), 2 * WORST[ufunc]
        )
        same = np.isnan(got) & np.isnan(expected[-length:]) | (np.isfinite(got) == np.isfinite(expected[-length:]))
        assert same.all()
        known = ~np.isnan(got)
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[-length:][known]))
        np.testing.assert_array_equal(np.isinf(got), np.isinf(expected[-length:]))


def test_polynomials_are_minimax() -> None:
    """The coefficients in the functions are those that the exchange finds, and their error does not show."""
    half = float(mpmath.log(2) / 2) * 1.0001
    edge = float(((mpmath.sqrt(2) - 1) / (mpmath.sqrt(2) + 1)) ** 2) * 1.0001

    def exponential(r: Any) -> Any:
        return (mpmath.expm1(r) - r) / r**2 if abs(r) > 1e-12 else mpmath.mpf(1) / 2 + r / 6

    def logarithm(z: Any) -> Any:
        s = mpmath.sqrt(z)
        return 2 * (mpmath.atanh(s) / s - 1) / z if z > 1e-20 else mpmath.mpf(2) / 3 + 2 * z / 5

    def tangent(z: Any) -> Any:
        x = mpmath.sqrt(z)
        return (mpmath.tanh(x) / x - 1) / z if z > 1e-20 else -mpmath.mpf(1) / 3 + 2 * z / 15

    def tail(form: Any) -> Any:
        def ratio(u: Any) -> Any:
            t = form.knee * (1 + u) / (1 - u)
            return mpmath.exp(t * t / 2) * mpmath.erfc(t / mpmath.sqrt(2)) / 2 * (t + form.knee)

        return ratio

    def middle(z: Any) -> Any:
        x = mpmath.sqrt(z)
        root = mpmath.sqrt(2)
        return mpmath.erf(x / root) / 2 / x if z > 1e-20 else (1 - z / 6) / mpmath.sqrt(2 * mpmath.pi)

    for form, epsilon in (SINGLE, 2.0**-24), (DOUBLE, 2.0**-53):
        for function, low, high, given, weight in (
            (exponential, -half, half, form.exponential, half**2),
            (logarithm, 0, edge, form.logarithm, edge),
            (tangent, 0, NEAR**2, form.tangent, NEAR**2),
            (tail(form), -1, (form.far - form.knee) / (form.far + form.knee), form.tail, 1.0),
            (middle, 0, MIDDLE**2, form.middle, MIDDLE),
        ):
            found, worst = minimax(function, low, high, len(given) - 1)
            assert worst * weight < 0.1 * epsilon
            np.testing.assert_allclose(given, found, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("vector", [None, 0, 16, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_any_length_in_vectors_of_any_size(
    dtype: Any, vector: int | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last elements of a row are a part of a vector; what lies behind them is neither read nor written to."""
    if vector is not None:
        monkeypatch.setattr(nests, "vector_bytes", lambda: vector)
        monkeypatch.setattr(stored, "find", lambda key: None)
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    for length in (1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 100):
        state = np.full((6, length + 3), 7, dtype)

        def step(x: Any, labels: Any, state: Any = state, length: int = length) -> Any:
            memory = tg.array_of(state)
            scaled = np.exp(np.subtract(x[:, :length], x[:, :1]))
            chosen = np.where(np.equal(labels, np.arange(length)), np.log1p(scaled), 0.0)
            memory[:, :length] = np.tanh(scaled)
            return scaled, scaled.sum(axis=1), scaled.sum(axis=0), scaled.sum(), chosen

        x, labels = rng.normal(size=(6, length + 1)).astype(dtype), rng.integers(0, length, (6, 1))
        x[2, -1] = np.nan  # behind the row
        compiled = tg.compile(step, backend="native")
        compiled(x, labels)
        got, written = [np.asarray(y) for y in compiled(x, labels)], state.copy()
        for one, other in zip(got, step(x, labels), strict=True):
            np.testing.assert_allclose(one, other, rtol=40 * eps, atol=40 * eps)
        np.testing.assert_allclose(written, state, rtol=8 * eps)
        assert (written[:, length:] == 7).all()
    assert capfd.readouterr().err == ""


def test_wide_vectors_are_asked_for_where_the_processor_has_them() -> None:
    features = machine._processor()[2].split(",")
    assert machine.vector_bytes() == (64 if "+avx512f" in features else 0)
