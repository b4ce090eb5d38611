"""The backward of a part of a recorded graph: executed beside ``backward()``, or refused by name."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.derive.parts import part_backward
from tensorgrad.engine.graph import Leaf, ancestors

from .derive_random import built


def leaf(shape, name, seed=0):
    return tg.Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True, name=name)


def operations(out):
    return [node for node in ancestors([out.node]) if not isinstance(node, Leaf)]


def gradients(source, values):
    """What a printed function returns, by the name of the gradient."""
    space = {"np": np}
    exec(source, space)
    backward = space["backward"]
    arguments = backward.__code__.co_varnames[: backward.__code__.co_argcount]
    made = backward(*(values[name] for name in arguments))
    names = source.splitlines()[-1].removeprefix("    return ").split(", ")
    return dict(zip(names, made if isinstance(made, tuple) else (made,), strict=True))


def functions():
    x, w, b = leaf((6, 5), "x"), leaf((5, 3), "w", 1), leaf(3, "b", 2)
    s, t = leaf((4, 4), "s"), leaf((4, 4), "t", 1)
    return {
        "linear": (lambda: x @ w + b, [x, w, b]),
        "square matrices": (lambda: s @ s.T @ t, [s, t]),
        "axes of a square": (lambda: (s - s.mean(0)) * t.mean(1, keepdims=True), [s, t]),
        "sums of a square": (lambda: s * t.sum(1) + t.sum(0), [s, t]),
        "layouts": (lambda: s.T[:, None] * tg.transpose(t)[None] + s[0:4], [s, t]),
        "broadcast": (lambda: tg.broadcast_to(s[:, None], (4, 2, 4)) * t[:, None, :], [s, t]),
        "batch norm": (lambda: nn.functional.batch_norm(x, gamma=leaf(5, "g"), training=True), [x]),
        "kept values": (lambda: tg.softmax(s, axis=1) * t, [s, t]),
        "numbers": (lambda: 3.0 - 2.0 / (s**2 + 1.0), [s]),
    }


@pytest.mark.parametrize("freed", [False, True])
@pytest.mark.parametrize("name", functions())
def test_it_computes_what_backward_computes(name, freed):
    make, leaves = functions()[name]
    out = make()
    nodes = operations(out)
    dy = np.random.default_rng(5).normal(size=out.shape)
    if freed:
        out.backward(dy)
    source = part_backward(nodes, [out.node])
    if not freed:
        out.backward(dy)
    values = {each.name: each.data for each in leaves} | {"dy": dy, "g": np.random.default_rng(0).normal(size=5)}
    if name == "kept values":
        values["softmax"] = tg.softmax(leaves[0], axis=1).data
    made = gradients(source, values)
    for each in leaves:
        assert made[f"d{each.name}"] == pytest.approx(each.grad, rel=1e-11, abs=1e-11)


def test_a_loss_starts_from_one():
    x = leaf((6, 5), "x")
    out = (tg.tanh(x) ** 2).mean()
    source = part_backward(operations(out), [out.node], whole=True)
    assert source.startswith("def backward(x):")
    out.backward()
    assert gradients(source, {"x": x.data})["dx"] == pytest.approx(x.grad, rel=1e-12)


def test_what_enters_and_the_parameters_of_a_module_have_short_names():
    layer = nn.Sequential(nn.Linear(5, 4, rng=0), nn.Linear(4, 3, rng=1))
    out = layer(np.ones((6, 5), np.float32))
    inner = [node for node in operations(out) if node.scope.path == "1"]
    assert part_backward(inner, [out.node], path="1").startswith("def backward(x, W, dy):")


def test_what_a_rule_says_is_not_taken_for_the_forward():
    x = leaf((3,), "x")
    rounded = tg.straight_through_round(x)  # whose rule is that of a copy
    out = rounded * rounded
    assert part_backward(operations(out), [out.node]).startswith("def backward(rounded, dy):")


def test_an_operation_of_the_users_is_not_known_by_its_name():
    @tg.differentiable
    def exp(x):
        return np.floor(x)

    @exp.backward
    def _(g, x, out):
        return g

    x = leaf((3,), "x")
    floored = exp(x)
    out = floored * floored
    with pytest.raises(tg.GraphError, match="no formula for backward of exp"):
        part_backward(operations(out), [out.node])


@pytest.mark.parametrize("label", ["x y", "²", "lambda", "np", "3", "", "a.b", 'q"]; import os #'])
def test_any_label_gives_a_name(label):
    x = leaf((3,), label)
    y = tg.exp(x * 2.0)
    assert "def backward(" in part_backward(operations(y), [y.node])
    assert x.explain(y).startswith("d")


def test_a_name_that_is_assigned_again_gets_a_number():
    h = leaf((3,), "x")
    for _ in range(3):
        h = tg.tanh(h)
    source = part_backward(operations(h), [h.node])
    assert "h2 = np.tanh(h)" in source
    assert "h3 = np.tanh(h2)" in source


def test_what_is_refused():
    x = leaf((3,), "x")
    a, b = tg.exp(x), tg.sin(x)
    with pytest.raises(tg.GraphError, match="2 results are used outside"):
        part_backward([a.node, b.node], [a.node, b.node])
    y = tg.sort(x)
    with pytest.raises(tg.GraphError, match="no formula for backward of sort"):
        part_backward([y.node], [y.node])
    z = tg.real(tg.Tensor([1j], requires_grad=True) * 2)
    with pytest.raises(tg.GraphError, match="complex"):
        part_backward(operations(z), [z.node])


def test_what_cannot_be_checked_after_backward_is_refused():
    x = leaf((3, 4), "x")
    y = tg.max(x, axis=1)
    assert part_backward([y.node], [y.node]).startswith("def backward(x, y, dy):")
    nodes = operations(y)
    y.sum().backward()
    with pytest.raises(tg.GraphError, match=r"deviates by .* has freed the values"):
        part_backward(nodes, [y.node])


def test_a_formula_that_deviates_is_not_shown(monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["tensorgrad.derive.parts"], "TOLERANCE", -1.0)
    x = leaf((3,), "x")
    y = tg.exp(x)
    with pytest.raises(tg.GraphError, match=r"deviates by .* so it is not shown"):
        part_backward([y.node], [y.node])


@pytest.mark.parametrize("seed", [0, 3, 6])
def test_random_graphs(seed):
    f, arrays = built(seed)
    out = f(*(tg.Tensor(a, requires_grad=True, name=n) for a, n in zip(arrays, "abcd", strict=True)))
    assert part_backward(operations(out), [out.node], whole=True).startswith("def backward(")
