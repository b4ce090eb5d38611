"""NaN, infinity and zero in every input, and in every gradient, of every operation.

A gradient is then finite where it is right, and otherwise honestly not finite. Nothing else: no other exception, and
no number that the engine put in place of another to find out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.engine import readings
from tests.nn.cases import CASES as NN_CASES
from tests.ops.cases import CASES, Sample

OTHERS = (0.41421, -0.93782)  # other stand-ins
NAN, INF = np.nan, np.inf

pytestmark = pytest.mark.filterwarnings("ignore:backward.. starts from a loss that is")

# Of each row the first sample, and the first that is of numbers alone.
ROWS = [
    pytest.param(case, sample, id=f"{case.name}-{i}")
    for case in (*CASES, *NN_CASES)
    if case.orders and case.name not in ("gru", "lstm", "lstm_cell")  # many steps of what other rows are
    for i, sample in enumerate(
        (case.samples[0], *[s for s in case.samples[1:] if all(a.ndim == 0 for a in s.arrays)][:1])
    )
]


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def array_of(gradient: Any, leaf: Any) -> Any:
    if gradient is None:
        return np.zeros_like(leaf.data)
    return np.asarray(gradient.data if isinstance(gradient, tg.Tensor) else gradient)


def seed(k: int, result: Any) -> Any:
    return np.asarray(np.random.default_rng(k + 1).uniform(0.5, 1.5, result.shape), result.dtype)


def forward(case: Any, sample: Sample, arrays: Any) -> Any:
    leaves = [tg.Tensor(a, requires_grad=True) for a in arrays]
    return leaves, [r for r in listed(sample.apply(case.op, leaves)) if getattr(r, "requires_grad", False)]


def pulled(result: Any, cotangent: Any, leaves: Any, create_graph: bool = False) -> list[Any]:
    for leaf in leaves:
        leaf.grad = None
    result.backward(cotangent, retain_graph=True, create_graph=create_graph)
    return [leaf.grad for leaf in leaves]


def firsts(graph: Any, seed: Any) -> list[Any]:
    """The gradients of each result."""
    leaves, results = graph
    return [array_of(g, leaf) for k, r in enumerate(results) for g, leaf in zip(pulled(r, seed(k, r), leaves), leaves)]


def both(graph: Any, seed: Any) -> tuple[list[Any], list[Any]]:
    """The gradients of each result, and those of their sum, weighted."""
    leaves, results = graph
    first, second = [], []
    for k, result in enumerate(results):
        gradients = pulled(result, seed(k, result), leaves, create_graph=True)
        first += [array_of(g, leaf) for g, leaf in zip(gradients, leaves)]
        for g in gradients:
            if g is not None and g.requires_grad:
                again = pulled(g, np.full_like(g.data, 0.7), leaves)
                second += [array_of(h, leaf) for h, leaf in zip(again, leaves)]
    return first, second


def same(got: Any, expected: Any, places: Any = True) -> bool:
    return all(
        np.all(~np.asarray(p) | np.isclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True))
        for a, b, p in zip(got, expected, [True] * len(got) if places is True else places, strict=True)
    )


def never_contradict(got: Any, expected: Any) -> bool:
    """Are two lists of arrays the same wherever both are finite?"""
    return same(got, expected, [np.isfinite(a) & np.isfinite(b) for a, b in zip(got, expected, strict=True)])


def with_others(monkeypatch: Any, function: Any, *args: Any) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(readings, "_STAND_INS", OTHERS)
        return function(*args)


def drive(graph: Any, seed: Any, monkeypatch: Any) -> list[Any]:
    """Gradients of both orders and readings, which may not know of a stand-in."""
    first, second = both(graph, seed)
    plain = firsts(graph, seed)
    assert never_contradict(plain, first)
    others = with_others(monkeypatch, both, graph, seed)
    assert never_contradict(first, others[0])
    assert never_contradict(second, others[1])
    return plain


@pytest.mark.parametrize(("case", "sample"), ROWS)
@np.errstate(all="ignore")
def test_a_number_that_is_not_finite(case: Any, sample: Sample, monkeypatch: Any) -> None:
    for i, array in enumerate(sample.arrays):
        if not array.size:
            continue

        def put(value: Any, i: int = i, array: Any = array) -> Any:
            arrays = [a.copy() for a in sample.arrays]
            arrays[i].flat[array.size // 2] = value
            return arrays

        for value in (NAN, INF, 0.0):
            try:
                graph = forward(case, sample, put(value))
            except (np.linalg.LinAlgError, ValueError):  # refused
                continue
            drive(graph, seed, monkeypatch)
            assert not any(map(np.any, firsts(graph, lambda k, r: np.zeros_like(r.data))))


@pytest.mark.parametrize(("case", "sample"), ROWS)
@np.errstate(all="ignore")
def test_a_gradient_that_is_not_finite(case: Any, sample: Sample, monkeypatch: Any) -> None:
    def seeded(value: float) -> Any:
        def put(k: int, result: Any) -> Any:
            g = seed(k, result)
            g.flat[g.size // 2 : g.size // 2 + 1] = value
            return g

        return put

    graph = forward(case, sample, sample.arrays)
    one, other = (firsts(graph, seeded(value)) for value in (0.83, 1.31))
    reached = [~np.isclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(one, other)]
    for value in (NAN, INF):
        got = drive(graph, seeded(value), monkeypatch)
        assert not any(np.any(np.isfinite(a) & p) for a, p in zip(got, reached))
        assert never_contradict(got, [np.where(p, NAN, b) for b, p in zip(one, reached)])


# --- by name --------------------------------------------------------------------------------------------

# What is zero, and has a first derivative of zero or a second one that is not, at a vector of four zeros.
INNER = {
    "dot": lambda v: tg.dot(v, v),
    "inner": lambda v: tg.inner(v, v),
    "einsum": lambda v: tg.einsum("i,i->", v, v),
    "outer": lambda v: tg.outer(v, v).sum(),
    "kron": lambda v: tg.kron(v, v).sum(),
    "convolve": lambda v: tg.convolve(v, v).sum(),
    "prod": lambda v: tg.prod(v[:2]),
    "cumprod": lambda v: tg.cumprod(v).sum(),
    "det": lambda v: tg.linalg.det(v.reshape(2, 2)),
    "var": tg.var,
    "cov": lambda v: tg.cov(v.reshape(2, 2)).sum(),
    "trace": lambda v: tg.trace(v.reshape(2, 2) @ v.reshape(2, 2)),
    "elementwise": lambda v: (v * v).sum(),
}
OUTER = {
    "sqrt": tg.sqrt,
    "log": tg.log,
    "1 / x": lambda s: 1 / s,
    "** 0.5": lambda s: s**0.5,
    "** 0.75": lambda s: s**0.75,
    "arccos": lambda s: tg.arccos(1 - s),
    "cbrt": tg.cbrt,
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", OUTER)
@np.errstate(all="ignore")
def test_a_pole_of_a_zero(inner: str, outer: str, monkeypatch: Any) -> None:
    """Where the inner function's Hessian is not zero, the whole one's is not finite."""
    zeros = np.zeros(4)

    def f(v: Any) -> Any:
        return OUTER[outer](INNER[inner](v))

    def hessian(g: Any) -> Any:
        return np.asarray(tg.hessian(g)(zeros))

    found = hessian(f)
    curved = hessian(INNER[inner]) != 0
    assert not np.isfinite(found[curved]).any()
    assert (~np.isfinite(found) | (found == 0)).all()
    np.testing.assert_array_equal(with_others(monkeypatch, hessian, f), found)
    along = tg.hvp(f, (zeros,), (np.array([1.0, 0.5, -0.25, 2.0]),))[0]
    assert (~np.isfinite(along) | (np.asarray(along) == 0)).all()


@pytest.mark.parametrize(
    ("f", "at", "expected"),
    [
        (lambda v: tg.sqrt(v @ v), [0.0, 0.0], [[INF, 0.0], [0.0, INF]]),
        (lambda v: (v @ v) ** 0.75, [0.0], [[INF]]),
        (lambda v: ((v * v) ** 0.75).sum(), [0.0], [[INF]]),
        (lambda v: tg.exp(v[0] * v[1]), [800.0, 1.0], [[INF, INF], [INF, INF]]),
        (lambda v: v[0] ** v[1], [-2.0, 2.0], [[2.0, NAN], [NAN, NAN]]),
        (lambda v: 1 / v[0], [0.0, 1.0], [[INF, 0.0], [0.0, 0.0]]),
        (lambda v: tg.where(v > 0, tg.log(v), 0.0).sum(), [0.0, 2.0], [[0.0, 0.0], [0.0, -0.25]]),
    ],
)
@np.errstate(all="ignore")
def test_hessians(f: Any, at: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.asarray(tg.hessian(f)(np.array(at))), expected)


def test_a_sum_in_which_one_number_is_nan() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    tg.sum(w[0] * np.array([NAN, 1.0]) + w[1]).backward()
    np.testing.assert_array_equal(w.grad, [NAN, 2.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@np.errstate(all="ignore")
def test_beside_a_large_number_infinity_is_seen(dtype: Any) -> None:
    """Stand-ins of about 1 would be lost to rounding in such a sum."""
    A = tg.Tensor(np.array([[INF, 1.0], [1e20, 1.0]], dtype))
    x = tg.Tensor(np.ones(2, dtype), requires_grad=True)
    (A @ x).backward(np.ones(2, dtype))
    np.testing.assert_array_equal(x.grad, [INF, 2.0])


@pytest.mark.parametrize("f", [tg.var, tg.std, lambda x: tg.softmax(x) @ np.arange(3.0)])
def test_nan_everywhere_is_not_zero(f: Any) -> None:
    """Equal stand-ins would have no deviation from their mean."""
    x = tg.Tensor([NAN] * 3, requires_grad=True)
    f(x).backward()
    assert np.isnan(x.grad).all()


def test_a_constant_gradient_of_nan_is_not_zero() -> None:
    x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    tg.softmax(x).backward(np.full(3, NAN))
    assert np.isnan(x.grad).all()


@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-exact"])
@np.errstate(all="ignore")  # SciPy squares the gradient
def test_minimize_where_the_curvature_overflows(method: str) -> None:
    pytest.importorskip("scipy")
    with pytest.raises(tg.NonFiniteError, match="its curvature is not"):
        tg.minimize(lambda v: tg.exp(v[0] * v[1]) + v @ v, np.array([26.5, 26.566]), method=method)
