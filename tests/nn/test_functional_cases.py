"""Every function of nn.functional, from its row: values, derivatives, PyTorch's values, float32, kinks, refusals."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from nn import functional as F
from tensorgrad.testing import gradcheck, gradgradcheck
from tests.closeness import assert_close
from tests.ops.cases import Sample

from .cases import CASES

SAMPLES = [pytest.param(c, s, id=f"{c.name}-{i}") for c in CASES for i, s in enumerate(c.samples)]
DIFFERENTIABLE = [p for p in SAMPLES if p.values[0].orders]
PEERS = [p for p in SAMPLES if p.values[0].peer]
KINKS = [pytest.param(c, k, id=f"{c.name}-{i}") for c in CASES for i, k in enumerate(c.kinks)]
REFUSALS = [pytest.param(r, id=f"{c.name}-{i}") for c in CASES for i, r in enumerate(c.refusals)]


def listed(result):
    return list(result) if isinstance(result, list | tuple) else [result]


def gradients(case, sample, arrays):
    """Return the results, and the gradients of their sum with respect to the arrays."""
    leaves = [tg.from_numpy(a, requires_grad=True) for a in arrays]
    results = listed(sample.apply(case.op, leaves))
    for result in results:
        result.backward(np.ones_like(result.data), retain_graph=True)
    return results, [leaf.grad for leaf in leaves]


def cast(sample, dtype):
    """Return the sample with all floating-point arrays, even those not differentiated, in another dtype."""

    def one(value: Any) -> Any:
        return value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

    keywords = {name: one(value) for name, value in sample.keywords.items()}
    return Sample(tuple(map(one, sample.arrays)), tuple(map(one, sample.more)), keywords)


def test_every_function_is_in_the_table():
    public = {name for name, f in vars(F).items() if inspect.isfunction(f) and not name.startswith("_")}
    assert public == {case.name for case in CASES}


@pytest.mark.parametrize(("case", "sample"), SAMPLES)
def test_value_is_the_oracle(case, sample):
    expected = listed(sample.apply(case.oracle))
    results = listed(sample.apply(case.op))
    assert len(results) == len(expected)
    for got, want in zip(results, expected):
        data = got.data if isinstance(got, tg.Tensor) else got
        assert data.shape == np.shape(want)
        assert_close(data, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("case", "sample"), DIFFERENTIABLE)
def test_first_and_second_derivative(case, sample):
    def f(*inputs: Any) -> Any:
        return sample.apply(case.op, inputs)

    gradcheck(f, *sample.arrays, method=case.method)
    if case.orders > 1:
        gradgradcheck(f, *sample.arrays, method=case.method)


@pytest.mark.peer
@pytest.mark.parametrize(("case", "sample"), PEERS)
def test_value_and_gradient_equal_pytorch(case, sample):
    torch = pytest.importorskip("torch")

    def converted(value: Any) -> Any:
        return torch.tensor(value) if isinstance(value, np.ndarray) else value

    leaves = [torch.tensor(a, requires_grad=True) for a in sample.arrays]
    keywords = {name: converted(value) for name, value in sample.keywords.items()}
    peers = listed(case.peer(torch.nn.functional, *leaves, *map(converted, sample.more), **keywords))
    results, grads = gradients(case, sample, sample.arrays)
    assert len(results) == len(peers)
    for got, want in zip(results, peers):
        assert_close(got.data, want.detach().numpy(), rtol=1e-12, atol=1e-14)
        want.backward(torch.ones_like(want), retain_graph=True)
    for got, leaf in zip(grads, leaves):
        assert_close(got, leaf.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("case", "sample"), [p for p in DIFFERENTIABLE if p.values[0].float32])
def test_float32_stays_float32(case, sample):
    narrow = cast(sample, np.float32)
    results, grads = gradients(case, narrow, narrow.arrays)
    wide = cast(narrow, np.float64)
    _, exact = gradients(case, wide, wide.arrays)
    assert all(result.dtype == np.float32 for result in results)
    for got, want in zip(grads, exact):
        assert got.dtype == np.float32
        assert_close(got, want, rtol=5e-6, atol=5e-6)


@pytest.mark.filterwarnings("ignore:backward.. starts from a loss that is inf")
@pytest.mark.parametrize(("case", "kink"), KINKS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kinks(case, kink, dtype):
    sample = cast(kink.sample, dtype)
    _, grads = gradients(case, sample, sample.arrays)
    for got, want in zip(grads, kink.gradients, strict=True):
        assert_close(got, np.asarray(want, dtype=dtype), rtol=3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals(refusal):
    with pytest.raises(refusal.error) as caught:
        refusal.call()
    for text in refusal.texts:
        assert text in str(caught.value)
