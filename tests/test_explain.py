"""``explain``: the chain of rules between two Tensors."""

import numpy as np
import pytest

import tensorgrad as tg


def network():
    x = tg.Tensor(np.ones((6, 5)), name="x")
    w = tg.Tensor(np.ones((5, 3)), requires_grad=True, name="w")
    b = tg.Tensor(np.zeros(3), requires_grad=True, name="b")
    z = x @ w + b
    h = tg.tanh(z)
    return w, b, (h * h).mean()


def formulas(text):
    return [line.split("  ")[0] for line in text.splitlines()]


def test_each_rule_has_its_formula_from_the_loss_back():
    w, b, loss = network()
    chain = formulas(tg.explain(w, loss))
    assert chain[-3:] == ["dz = dh / np.cosh(z) ** 2", "dmatmul = dz", "dw = x.T @ dmatmul"]
    assert chain[0] == "dmultiply = dout / 18"
    assert chain[1] == chain[2] == "dh = dmultiply * h"
    assert formulas(tg.explain(b, loss))[-1] == "db = dz.sum(0)"


def test_shapes_operations_and_lines_are_shown():
    w, _, loss = network()
    last = tg.explain(w, loss).splitlines()[-1]
    assert "(5, 3)" in last
    assert "matmul" in last
    assert "test_explain.py:" in last


def test_a_rule_without_a_formula_is_named():
    x = tg.Tensor(np.array([3.0, 1.0, 2.0]), requires_grad=True, name="x")
    y = tg.sort(x)
    assert formulas(tg.explain(x, y.sum()))[-1] == "dx = the rule of sort, which has no formula"


def test_what_cannot_be_explained():
    w, b, loss = network()
    loss.backward()
    with pytest.raises(tg.GraphError, match=r"freed the graph; call explain before it"):
        tg.explain(w, loss)
    with pytest.raises(tg.GraphError, match="does not depend on this Tensor"):
        tg.explain(w, b.sum())
    with pytest.raises(TypeError, match="explain expects Tensors, got ndarray"):
        tg.explain(np.ones(2), loss)
