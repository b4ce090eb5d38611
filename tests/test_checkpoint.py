"""checkpoint: the same derivatives with less memory."""

import tracemalloc

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.errors import GraphError, InplaceError
from tests.test_graph import growth

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 3))
W = RNG.normal(size=(3, 3))


def test_gradients_of_arguments_and_closed_over_tensors():
    w = tg.Tensor(W, requires_grad=True)
    x = tg.Tensor(X, requires_grad=True)
    inner = w * 2.0  # a result from outside

    def f(x, scale):
        return tg.tanh(x @ w) * scale + (x @ inner).sum()

    f(f(x, 2.0), 3.0).sum().backward()
    expected = x.grad, w.grad
    x.grad = w.grad = None
    inner = w * 2.0
    g = tg.checkpoint(f)
    y = g(g(x, 2.0), 3.0)
    assert y.node.op == "checkpoint"
    y.sum().backward()
    np.testing.assert_allclose(x.grad, expected[0], rtol=1e-12)
    np.testing.assert_allclose(w.grad, expected[1], rtol=1e-12)


def test_higher_order_derivatives():
    f = lambda x: tg.exp(tg.sin(x)) * x
    g = tg.checkpoint(f)
    for _ in range(4):
        np.testing.assert_allclose(g(tg.Tensor(0.7)).data, f(tg.Tensor(0.7)).data, rtol=1e-11)
        f, g = tg.grad(f), tg.grad(g)
    tg.testing.gradcheck(tg.checkpoint(lambda x, w: tg.tanh(x @ w)), X, W)
    tg.testing.gradgradcheck(tg.checkpoint(lambda x, w: tg.tanh(x @ w)), X, W)


def test_second_derivatives_with_respect_to_closed_over_tensors():
    w = tg.Tensor(2.0, requires_grad=True)
    for wrapped in (lambda f: f, tg.checkpoint):
        w.grad = None
        g = tg.grad(wrapped(lambda x: (w * x) ** 3))(1.5)
        (g * g).backward()
        np.testing.assert_allclose(w.grad, 2 * 3 * 8 * 1.5**2 * 9 * 4 * 1.5**2)


def test_nested_arguments_and_results():
    def f(p, *, more, flag):
        assert flag == "yes"
        return {"a": p["w"][0] * more, "b": (p["w"][1].sum(), None, 7, p["n"])}

    w = tg.Tensor(X, requires_grad=True)
    v = tg.Tensor(X.astype(np.float32), requires_grad=True)
    out = tg.checkpoint(f)({"w": [w, v], "n": np.arange(3)}, more=X, flag="yes")
    assert out["b"][1:3] == (None, 7)
    assert out["b"][3].tolist() == [0, 1, 2]
    assert out["b"][0].dtype == np.float32
    (out["a"].sum() + 3 * out["b"][0]).backward()
    np.testing.assert_allclose(w.grad, X)
    np.testing.assert_array_equal(v.grad, np.full((4, 3), 3, np.float32))


def test_the_same_tensor_twice_and_closed_over():
    x = tg.Tensor(3.0, requires_grad=True)
    tg.checkpoint(lambda a, b: a * b * x)(x, x).backward()
    assert x.grad == 27.0


def test_memory_of_a_chain_of_fifty_layers():
    def block(x):
        for _ in range(7):
            x = tg.tanh(x)
        return x

    def peak(block):
        x = tg.Tensor(np.ones(50_000), requires_grad=True)
        tracemalloc.start()
        try:
            y = x
            for _ in range(7):
                y = block(y)
            y = y.sum()
            y.backward()
            return tracemalloc.get_traced_memory()[1], x.grad
        finally:
            tracemalloc.stop()

    plain, expected = peak(block)
    checkpointed, got = peak(tg.checkpoint(block))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert checkpointed < 0.45 * plain


@pytest.mark.parametrize("how", ["argument", "attribute", "method", "rng", "list"])
def test_random_masks_are_the_same_in_both_runs(how):
    rng = np.random.default_rng(0)
    drop = nn.Dropout(0.5, rng=rng)
    x = tg.Tensor(np.ones((50, 4)), requires_grad=True)
    f = lambda x, rng: nn.functional.dropout(tg.exp(x), 0.5, rng=rng)
    closed = lambda x: f(x, rng)
    out = {
        "argument": lambda: tg.checkpoint(f)(x, rng),
        "attribute": lambda: tg.checkpoint(drop)(tg.exp(x)),
        "method": lambda: tg.checkpoint(drop.forward)(tg.exp(x)),
        "rng": lambda: tg.checkpoint(closed, rng=rng)(x),
        "list": lambda: tg.checkpoint(closed, rng=[rng])(x),
    }[how]()
    after = rng.bit_generator.state
    out.sum().backward()
    np.testing.assert_allclose(x.grad, out.data)
    assert rng.bit_generator.state == after  # the next draw is the same as without a checkpoint


def test_a_forgotten_generator_is_detected():
    rng = np.random.default_rng(0)
    x = tg.Tensor(np.ones((50, 4)), requires_grad=True)
    out = tg.checkpoint(lambda x: nn.functional.dropout(x, 0.5, rng=rng))(x)
    with pytest.raises(GraphError, match=r"returned a different result when it was run again.*rng=generator"):
        out.sum().backward()
    assert x.grad is None


def test_a_loop_variable_is_detected():
    x = tg.Tensor(X, requires_grad=True)
    for k in (1.0, 2.0):
        x = tg.checkpoint(lambda x: x * k)(x)  # noqa: B023
    with pytest.raises(GraphError, match="such as a loop variable"):
        x.sum().backward()
    flag = [True]
    w = tg.Tensor(1.0, requires_grad=True)
    y = tg.checkpoint(lambda x: x * w if flag else x * 1.0)(tg.Tensor(X, requires_grad=True))
    flag.clear()
    with pytest.raises(GraphError, match="used different Tensors"):
        y.sum().backward()


def test_a_write_to_an_argument_or_a_parameter_is_detected():
    for written in (0, 1, 2):
        tensors = [tg.Tensor(X, requires_grad=i < 2) for i in range(3)]
        out = tg.checkpoint(lambda a, c, b=tensors[1]: a * b * c)(tensors[0], tensors[2])
        tg.writes_to(tensors[written], "my update")[...] = 0.0
        with pytest.raises(InplaceError, match=r"checkpoint.*my update"):
            out.sum().backward()


def test_the_mode_of_the_first_call_holds_in_the_second():
    paths = []

    def f(x):
        with tg.no_grad():
            constant = x * 2
        y = x * constant
        paths.append(y.node.scope.path)
        return y

    x = tg.Tensor(3.0, requires_grad=True)
    with tg.scope("net.2"):
        out = tg.checkpoint(f)(x)
    out.backward()
    assert paths == ["net.2", "net.2"]
    assert x.grad == 6.0
    with tg.no_grad():
        assert not tg.checkpoint(lambda x: x * x)(x).requires_grad


def test_transforms_with_respect_to_a_modules_parameters():
    model = nn.MLP([3, 5, 5, 1], activation="tanh", rng=0).to(np.float64)

    def plain(m):
        return (m(X) ** 2).sum()

    def checkpointed(m):
        x = X
        for layer in m.layers:
            x = tg.checkpoint(layer)(x)
        return (x**2).sum()

    for transform in (tg.grad, tg.hessian):
        got, expected = transform(checkpointed)(model), transform(plain)(model)
        for name, part in expected.items():
            for a, b in zip(*((g[name].values() if transform is tg.hessian else [g[name]]) for g in (got, expected))):
                np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-13)
            assert part is not None
    checkpointed(model).backward()
    first = [p.grad for p in model.parameters()]
    model.zero_grad()
    plain(model).backward()
    for p, g in zip(model.parameters(), first):
        np.testing.assert_allclose(p.grad, g, rtol=1e-10)


def test_nested_checkpoints_and_a_second_backward():
    x = tg.Tensor(0.3, requires_grad=True)
    inner = tg.checkpoint(tg.sin)
    y = tg.checkpoint(lambda x: inner(x) * inner(x))(x)
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * np.sin(0.6))


def test_a_compiled_step_runs_the_function_itself():
    rng = np.random.default_rng(0)
    w = tg.Tensor(np.ones(50), requires_grad=True)

    @tg.compile
    def step(x):
        w.grad = None
        out = tg.checkpoint(lambda x: nn.functional.dropout(w * x, 0.5, rng=rng))(x)
        out.sum().backward()
        return out

    for _ in range(3):
        out = step(np.ones(50))
        np.testing.assert_array_equal(w.grad, out.data)


def test_what_needs_no_gradient_is_not_recorded():
    assert not tg.checkpoint(lambda x: x * 2)(tg.Tensor(X)).requires_grad
    assert tg.checkpoint(lambda x: 7)(tg.Tensor(X, requires_grad=True)) == 7


def test_nothing_is_left_behind(no_collector):
    w = tg.Tensor(W, requires_grad=True)
    f = tg.checkpoint(lambda x: tg.tanh(x @ w))

    def work():
        w.grad = None
        f(f(X)).sum().backward()
        tg.grad(lambda x: f(f(x)).sum())(X)
        with tg.no_grad():
            tg.grad(lambda x: f(f(x)).sum())(X)

    assert growth(work, 80) < 40
    w.grad = None
