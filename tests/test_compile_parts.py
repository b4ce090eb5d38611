"""Compiled functions of Tensors that require a gradient: one node each, with the derivatives of their operations."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.compiler import part

from .ops.cases import GROUPS
from .test_compile_cases import _function

BACKENDS = ["numpy", *(["native"] if importlib.util.find_spec("llvmlite") else [])]


def leaf(*values: Any, **keywords: Any) -> tg.Tensor:
    return tg.Tensor(np.array(values), requires_grad=True, **keywords)


def second_call(compiled: Any, *arguments: Any) -> Any:
    """The first call is recorded operation by operation; this is the one that is compiled."""
    compiled(*arguments)
    return compiled(*arguments)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_node_with_the_gradients_of_its_operations(backend: str) -> None:
    def layer(x: Any, w: Any, scale: float) -> Any:
        return tg.tanh(x @ w) * scale

    compiled = tg.compile(layer, backend=backend)
    rng = np.random.default_rng(0)
    for k in range(4):
        x, w = rng.normal(size=(5, 3)), leaf(*rng.normal(size=(3, 2)))
        expected = layer(x, w, 1.0 + k)
        (expected**2).sum().backward()
        gradient, w.grad = w.grad, None
        got = compiled(x, w, 1.0 + k)
        (got**2).sum().backward()
        np.testing.assert_allclose(got.data, expected.data, rtol=1e-13)
        np.testing.assert_allclose(w.grad, gradient, rtol=1e-12)
        if k:
            assert got.node is not None
            assert got.node.op == "layer"
            assert w.node in got.node.inputs


def test_several_results_and_those_without_a_gradient() -> None:
    def f(pair: Any) -> Any:
        x, y = pair["x"], pair["y"]
        return {"product": x * y, "largest": tg.argmax(x), "sums": [x.sum(), tg.sqrt(y)], "name": "f"}

    compiled = tg.compile(f)
    for k in range(3):
        x, y = leaf(1.0, 2.0 + k), tg.Tensor(np.array([4.0, 9.0], np.float32), requires_grad=True)
        got, expected = compiled({"x": x, "y": y}), f({"x": x, "y": y})
        assert got.keys() == expected.keys()
        assert got["name"] == "f"
        assert int(got["largest"]) == 1
        found = []
        for results in (got, expected):
            total = results["product"].sum() * 2 + results["sums"][0] + (results["sums"][1] ** 3).sum()
            x.grad = y.grad = None
            total.backward()
            assert results["sums"][1].dtype == np.float32
            found.append((x.grad, y.grad))
        for one, other in zip(*found, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-6 if one.dtype == np.float32 else 1e-14)


@pytest.mark.parametrize(
    "transform",
    [tg.grad, tg.hessian, tg.jacobian, lambda f: tg.grad(lambda x: tg.grad(f)(x)[0] ** 2), lambda f: tg.hessian(f)],
)
def test_any_order(transform: Callable[..., Any]) -> None:
    def f(x: Any) -> Any:
        return (tg.exp(x[1:]) * tg.sin(x[:-1]) ** 2).sum()

    compiled = tg.compile(f)
    for k in range(3):
        x = np.array([0.3, -0.7, 1.1]) + k
        np.testing.assert_allclose(transform(compiled)(x), transform(f)(x), rtol=1e-12)
    np.testing.assert_allclose(
        tg.vmap(tg.grad(compiled))(np.ones((2, 3))), tg.vmap(tg.grad(f))(np.ones((2, 3))), rtol=1e-12
    )


def test_penalties_on_gradients() -> None:
    compiled = tg.compile(lambda x, w: (tg.tanh(x * w) ** 2).sum())
    found = []
    for f in (compiled.function, compiled, compiled):
        w = leaf(0.5, -1.0)
        x = leaf(1.0, 2.0)
        f(x, w).backward(create_graph=True)
        gradient, w.grad, x.grad = x.grad, None, None
        (gradient**2).sum().backward()
        found.append((w.grad, x.grad))
    for gradients in found[1:]:
        for one, other in zip(gradients, found[0], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_repairs(backend: str) -> None:
    """Zero times an infinite derivative is zero, and an honest infinity stays."""
    guarded = tg.compile(lambda x: tg.where(x > 0, tg.sqrt(x), 0.0).sum(), backend=backend)
    root = tg.compile(lambda x: tg.sqrt(x).sum(), backend=backend)
    for _ in range(3):
        x = leaf(0.0, 4.0)
        guarded(x).backward()
        assert x.grad.tolist() == [0.0, 0.25]
        x.grad = None
        root(x).backward()
        assert x.grad.tolist() == [np.inf, 0.25]


def test_what_is_not_needed_gets_no_gradient() -> None:
    compiled = tg.compile(lambda x, y, z: (x * z).sum())
    for _ in range(3):
        x, y, z = leaf(1.0, 2.0), leaf(3.0), tg.Tensor([5.0, 6.0])
        compiled(x, y, z).backward()
        assert x.grad.tolist() == [5.0, 6.0]
        assert y.grad is None
        assert z.grad is None
    for _ in range(2):
        with pytest.raises(tg.GraphError, match="does not depend on argument 1"):
            tg.grad(compiled, (0, 1))(np.ones(2), np.ones(1), np.ones(2))


def test_the_same_tensor_twice_and_results_that_are_arguments() -> None:
    compiled = tg.compile(lambda a, b: (a * b, a))
    for _ in range(3):
        w = leaf(2.0, 3.0)
        product, same = compiled(w, w)
        (product.sum() + 10 * same.sum()).backward()
        assert w.grad.tolist() == [14.0, 16.0]


def test_without_recording() -> None:
    compiled = tg.compile(lambda x: x * 2)
    w = leaf(1.0, 2.0)
    with tg.no_grad():
        for _ in range(3):
            assert not second_call(compiled, w).requires_grad
    assert second_call(compiled, w).requires_grad


def test_hooks_and_freed_graphs() -> None:
    def doubled(x: Any) -> Any:
        return (x * x * 2).sum()

    compiled = tg.compile(doubled)
    w = leaf(1.0, 2.0)
    w.register_hook(lambda g: 10 * g)
    result = second_call(compiled, w)
    result.register_hook(lambda g: g + 1)
    result.backward()
    assert w.grad.tolist() == [80.0, 160.0]
    with pytest.raises(tg.GraphError, match="doubled"):
        result.backward()
    result = compiled(w)
    tg.writes_to(w, "a test")[...] = 0.0
    with pytest.raises(tg.InplaceError, match="doubled"):
        result.backward()


def test_inside_another_compiled_step() -> None:
    square = tg.compile(lambda x: x * x)
    w = leaf(1.0, 2.0)

    @tg.compile
    def step(x: Any) -> Any:
        w.grad = None
        loss = square(w * x).sum()
        loss.backward()
        return loss

    for k in range(3):
        assert step(np.full(2, 1.0 + k)).item() == 5.0 * (1 + k) ** 2
        assert w.grad.tolist() == [2.0 * (1 + k) ** 2, 4.0 * (1 + k) ** 2]
    assert "multiply" in step.source


def test_a_function_that_uses_a_parameter_is_recorded_as_usual_and_says_so_once() -> None:
    layer = nn.Linear(2, 1, rng=0)
    compiled = tg.compile(lambda x: layer(x).sum())
    x = tg.Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    compiled(x)
    with pytest.warns(RuntimeWarning, match=r"recorded operation by operation, because it uses 'W' from outside"):
        compiled(x).backward()
    np.testing.assert_allclose(x.grad, layer.W.data[:, 0])
    np.testing.assert_allclose(layer.W.grad[:, 0], [1.0, 2.0])
    compiled(x)  # without a warning


def test_random_draws_and_running_statistics_happen_once_a_call() -> None:
    norms = nn.BatchNorm(2), nn.BatchNorm(2)
    drawn = np.random.default_rng(0), np.random.default_rng(0)
    eager, other = ((lambda x, n=n, r=r: tg.host(lambda: r.normal(size=2)) * n(x)) for n, r in zip(norms, drawn))
    for norm in norms:
        for p in norm.parameters():
            p.requires_grad = False
    compiled = tg.compile(other)
    values = np.array([[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]], np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(4):
            x = tg.Tensor(values * (k + 1), requires_grad=True)
            np.testing.assert_array_equal(compiled(x).data, eager(x).data)
    (warning,) = caught
    assert "because it writes to an array" in str(warning.message)
    np.testing.assert_array_equal(norms[0].running_mean.data, norms[1].running_mean.data)


def test_a_drawing_shows_the_operations() -> None:
    compiled = tg.compile(lambda x: tg.tanh(x * x).sum())
    w = leaf(1.0, 2.0)
    second_call(compiled, w)
    with tg.record_graph():
        result = compiled(w)
    text = str(tg.draw(result))
    assert "tanh" in text
    with tg.debug():
        assert compiled(w).node.op == "sum"


def test_new_shapes_and_settings() -> None:
    compiled = tg.compile(lambda x, power: (x**power).sum())
    for _ in range(2):
        for shape, power in (((2,), 2), ((3, 1), 2), ((2,), 3)):
            x = tg.Tensor(np.full(shape, 2.0), requires_grad=True)
            compiled(x, power).backward()
            np.testing.assert_allclose(x.grad, np.full(shape, power * 2.0 ** (power - 1)))


@pytest.mark.parametrize("group", ["Activations", "Reductions", "Indexing"])
def test_rows_of_the_case_table(group: str) -> None:
    as_usual = set()
    for case in GROUPS[group]:
        sample = case.samples[0]
        if not case.orders or any(map(np.iscomplexobj, sample.arrays)):
            continue
        f = _function(case, sample, (None,) * len(sample.arrays))
        compiled = tg.compile(f)
        for scale in (1.0, 0.97):
            arrays = [np.asarray(scale * a) for a in sample.arrays]
            gradients = []
            for function in (f, compiled):
                xs = [tg.Tensor(a, requires_grad=True) for a in arrays]
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    function(*xs).backward()
                gradients.append([x.grad for x in xs])
                as_usual |= {case.name} if caught else set()
            for one, other in zip(*gradients, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13, err_msg=case.name)
    assert as_usual == ({"gumbel_softmax"} if group == "Activations" else set())  # it draws random numbers


def test_the_kinds_of_calls_that_were_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "MANY_KINDS", 2)
    compiled = tg.compile(lambda x: x * 2.0)
    for length in (1, 2, 1, 3):
        compiled(leaf(*np.ones(length)))
    nodes = [compiled(leaf(*np.ones(length))).node for length in (1, 3)]
    assert len(compiled._part._facts) == 2  # one that was used in between, and the last one
    assert [node.op for node in nodes] == ["<lambda>", "<lambda>"]
    assert compiled(leaf(1.0, 1.0)).node.op == "multiply"  # recorded again
