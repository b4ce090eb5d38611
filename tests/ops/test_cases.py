"""Every operation, by its row in the table: values, derivatives, dtypes, layouts, kinks, refusals."""

from __future__ import annotations

import inspect
from itertools import combinations, permutations, product

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.testing import gradcheck, gradgradcheck
from tests.closeness import assert_close

from .cases import CASES, S

SAMPLES = [pytest.param(c, s, id=f"{c.name}-{i}") for c in CASES for i, s in enumerate(c.samples)]
DIFFERENTIABLE = [pytest.param(c, s, id=f"{c.name}-{i}") for c in CASES if c.orders for i, s in enumerate(c.samples)]
FIRST = [pytest.param(c, c.samples[0], id=c.name) for c in CASES if c.orders]
KINKS = [pytest.param(c, k, id=f"{c.name}-{i}") for c in CASES for i, k in enumerate(c.kinks)]
GUARDS = [
    pytest.param(c, g, "".join(order), id=f"{c.name}-{i}-{''.join(order)}")
    for c in CASES
    for i, g in enumerate(c.guards)
    for name in g.derivatives
    for order in sorted(set(permutations(name)))
]
REFUSALS = [pytest.param(r, id=f"{c.name}-{i}") for c in CASES for i, r in enumerate(c.refusals)]
BINARY = ["add", "subtract", "multiply", "divide", "power", "logaddexp", "maximum", "minimum"]
SHAPES = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (1, 2, 3)]


def listed(result):
    return list(result) if isinstance(result, list | tuple) else [result]


def gradients(case, sample, arrays):
    """The results, and the gradients of their sum with respect to the arrays."""
    leaves = [tg.from_numpy(a, requires_grad=True) for a in arrays]
    results = listed(sample.apply(case.op, leaves))
    for result in results:
        if result.requires_grad:
            result.backward(np.ones_like(result.data), retain_graph=True)
    return results, [leaf.grad for leaf in leaves]


def functions_of(module):
    """The public functions defined in a module or in a package's own files."""
    return {
        name
        for name, f in vars(module).items()
        if inspect.isfunction(f) and not name.startswith("_") and f.__module__.startswith(module.__name__)
    }


@pytest.mark.promise("M3")
def test_every_public_operation_is_in_the_table():
    public = {name for family in tg.ops.FAMILIES for name in family.__all__}
    for family in tg.ops.FAMILIES:
        exported = {name for name in functions_of(family) if getattr(tg, name, None) is getattr(family, name)}
        assert exported <= set(family.__all__), f"{family.__name__}.__all__ lists its operations"
    for module in (tg.fft, tg.linalg, tg.special, tg.random):
        public |= {f"{module.__name__.rpartition('.')[2]}.{name}" for name in functions_of(module)}
    assert public == {case.name for case in CASES}
    inside = {"getitem", "setitem", "scatter"}  # t[i], t[i] = v, and the gradient of t[i]
    assert {name for name in public if "." not in name and not hasattr(tg, name)} == inside


@pytest.mark.promise("M3", "D12")
@pytest.mark.parametrize(("case", "sample"), SAMPLES)
def test_forward_matches_the_oracle(case, sample):
    before = [a.copy() for a in sample.arrays]
    expected = listed(sample.apply(case.oracle))
    results = listed(sample.apply(case.op))
    assert len(results) == len(expected)
    for got, want in zip(results, expected):
        assert isinstance(got, tg.Tensor) == (case.orders > 0)
        data = got.data if isinstance(got, tg.Tensor) else got
        want = np.asarray(want)
        assert data.shape == want.shape
        assert data.dtype == want.dtype
        assert_close(data, want, rtol=1e-13, atol=1e-15)
    for a, b in zip(sample.arrays, before):
        np.testing.assert_array_equal(a, b)


@pytest.mark.promise("M3")
@pytest.mark.parametrize(("case", "sample"), [p for p in DIFFERENTIABLE if p.values[0].honest])
def test_first_and_second_derivative(case, sample):
    def f(*inputs):
        return sample.apply(case.op, inputs)

    # With complex inputs there is no complex step.
    method = "central" if any(map(np.iscomplexobj, sample.arrays)) else case.method
    gradcheck(f, *sample.arrays, method=method)
    if case.orders > 1:
        gradgradcheck(f, *sample.arrays, method=method)


@pytest.mark.promise("F4")
@pytest.mark.parametrize(("name", "a", "b"), list(product(BINARY, SHAPES, SHAPES)))
def test_broadcasting(name, a, b):
    case = next(c for c in CASES if c.name == name)
    rng = np.random.default_rng(len(a) + 7 * len(b))
    x, y = rng.uniform(0.5, 1.5, a), rng.uniform(1.6, 2.5, b)
    leaves = tg.Tensor(x, requires_grad=True), tg.Tensor(y, requires_grad=True)
    out = case.op(*leaves)
    assert out.shape == np.broadcast_shapes(a, b)
    out.sum().backward()
    assert leaves[0].grad.shape == a
    assert leaves[1].grad.shape == b
    gradcheck(case.op, x, y, method=case.method)


@pytest.mark.promise("M3")
@pytest.mark.parametrize(("case", "sample"), [p for p in FIRST if p.values[0].float32])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_dtype_is_preserved(case, sample, dtype):
    narrow = [a.astype(dtype) for a in sample.arrays]
    results, grads = gradients(case, sample, narrow)
    _, exact = gradients(case, sample, [a.astype(np.float64) for a in narrow])
    assert all(result.dtype == dtype for result in results)
    tolerance = 20 * np.finfo(dtype).eps
    for got, want in zip(grads, exact):
        assert got.dtype == dtype
        assert_close(got, want, rtol=tolerance, atol=tolerance)
    # the second derivative too, and with Python scalars involved
    leaves = [tg.from_numpy(a, requires_grad=True) for a in narrow]
    for result in listed(sample.apply(case.op, leaves)):
        (2.0 * result * result).sum().backward(create_graph=True)
    assert all(leaf.grad.dtype == dtype for leaf in leaves)


LAYOUTS = {
    "F order": lambda a: np.array(a, order="F"),
    "every second": lambda a: np.repeat(a[..., None], 2, axis=-1)[..., 0],
    "reversed": lambda a: np.asarray(np.flip(np.flip(a).copy())),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@pytest.mark.promise("E10")
@pytest.mark.parametrize(("case", "sample"), FIRST)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(case, sample, layout):
    others = [LAYOUTS[layout](a) for a in sample.arrays]
    for a in others:
        a.flags.writeable = False
    results, grads = gradients(case, sample, others)
    expected, expected_grads = gradients(case, sample, [a.copy() for a in sample.arrays])
    for got, want in zip(results, expected):
        assert_close(got.data, want.data, rtol=1e-13, atol=1e-14)
    for got, want, a in zip(grads, expected_grads, sample.arrays):
        assert_close(got, want, rtol=1e-13, atol=1e-14)
        assert got.shape == a.shape


@pytest.mark.promise("E10")
@pytest.mark.parametrize(("case", "sample"), FIRST)
def test_zero_strides(case, sample):
    one = [np.full_like(a, a.flat[0]) for a in sample.arrays]
    spread = [np.broadcast_to(a.flat[0], a.shape) for a in sample.arrays]
    _, grads = gradients(case, sample, spread)
    _, expected = gradients(case, sample, one)
    for got, want in zip(grads, expected):
        assert_close(got, want, rtol=1e-13, atol=1e-14)


@pytest.mark.promise("M3")
@pytest.mark.parametrize(("case", "sample"), DIFFERENTIABLE)
def test_gradients_have_memory_of_their_own(case, sample):
    arrays = [a.copy() for a in sample.arrays]
    _, grads = gradients(case, sample, arrays)
    grads = [g for g in grads if g is not None]
    for g in grads:
        assert isinstance(g, np.ndarray)
        assert g.flags.writeable
        assert not any(np.shares_memory(g, a) for a in arrays)
    assert not any(np.shares_memory(g, h) for g, h in combinations(grads, 2))


@pytest.mark.promise("D1", "D3", "D4", "D5", "D6", "D11", "D13")
@pytest.mark.filterwarnings("ignore:backward.. starts from a loss that is nan")
@pytest.mark.parametrize(("case", "kink"), KINKS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kinks(case, kink, dtype):
    arrays = [
        a.astype(np.result_type(dtype, np.complex64) if np.iscomplexobj(a) else dtype) for a in kink.sample.arrays
    ]
    _, grads = gradients(case, kink.sample, arrays)
    for got, want, a in zip(grads, kink.gradients, arrays, strict=True):
        assert got.dtype == a.dtype
        assert_close(got, np.asarray(want, dtype=a.dtype), rtol=3 * np.finfo(dtype).eps)


@pytest.mark.promise("D1", "D4")
@pytest.mark.filterwarnings("ignore:backward.. starts from a loss that is")
@pytest.mark.parametrize(("case", "guard", "order"), GUARDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_guards(case, guard, order, dtype):
    leaves = [tg.Tensor(a.astype(dtype), requires_grad=True) for a in guard.sample.arrays]
    out = guard.sample.apply(case.op, leaves)
    for letter in order:
        leaf = leaves["xyz".index(letter)]
        for other in leaves:
            other.grad = None
        if out.requires_grad:
            out.backward(create_graph=True)
        out = tg.zeros(()) if leaf.grad is None else leaf.grad
    want = guard.derivatives["".join(sorted(order))]
    eps = np.finfo(dtype).eps
    assert_close(out.data, want, rtol=50 * eps, atol=0 if want else 4 * eps)


@pytest.mark.promise("E12", "F3")
@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals(refusal):
    with pytest.raises(refusal.error) as caught:
        refusal.call()
    for text in refusal.texts:
        assert text in str(caught.value)


def test_a_result_without_gradient_of_an_integer():
    assert not S([1.5]).apply(lambda x: tg.Tensor(x, requires_grad=True).astype(np.int64)).requires_grad
