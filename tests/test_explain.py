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
    chain = formulas(w.explain(loss))
    assert chain[-3:] == ["dz = dh / np.cosh(z) ** 2", "dmatmul = dz", "dw = x.T @ dmatmul"]
    assert chain[0] == "dmultiply = dout / 18"
    assert chain[1] == chain[2] == "dh = dmultiply * h"
    assert formulas(b.explain(loss))[-1] == "db = dz.sum(0)"


def test_shapes_operations_and_lines_are_shown():
    w, _, loss = network()
    last = w.explain(loss).splitlines()[-1]
    assert "(5, 3)" in last
    assert "matmul" in last
    assert "test_explain.py:" in last


def test_a_rule_without_a_formula_is_named():
    x = tg.Tensor(np.array([3.0, 1.0, 2.0]), requires_grad=True, name="x")
    y = tg.sort(x)
    assert formulas(x.explain(y.sum()))[-1] == "dx = the rule of sort, which has no formula"


def test_numbers_stand_in_the_formula():
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    assert formulas(x.explain((x * 3.0).sum()))[-1] == "dx = 3 * dmultiply"


def test_a_call_that_is_kept_is_written_out():
    w = tg.Tensor(np.ones((3, 2)), requires_grad=True, name="w")
    row = w.explain(w[np.array([0, 2, 2])].sum()).splitlines()[-1]
    assert row.startswith("dw = np.zeros((3, 2)); np.add.at(dw, ")
    assert "; dw" not in row.split("np.add.at")[1]


def test_names_of_operations_become_names():
    a = tg.Tensor([2.0, 3.0], requires_grad=True, name="a")
    (a**3).sum().backward(create_graph=True)
    assert "dderivative_of_power = " in a.explain(a.grad.sum())


def test_labels_become_names():
    w = tg.Tensor(np.ones((5, 3)), requires_grad=True, name="0.W")
    assert formulas(w.explain((np.ones((2, 5)) @ w).sum()))[-1] == "dW_0 = c.T @ dmatmul"


def test_of_the_operations_of_one_call_the_last_has_the_name():
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    spread = tg.var(x)
    chain = formulas(x.explain(spread * 2.0))
    assert [line.split(" = ")[0] for line in chain].count("dspread") == 1


def test_after_backward_the_graph_is_explained_as_before():
    w, b, loss = network()
    before = w.explain(loss)
    loss.backward()
    assert w.explain(loss) == before
    assert w.explain() == before
    assert formulas(b.explain())[-1] == "db = dz.sum(0)"


def test_a_graph_that_was_kept_is_explained_by_default():
    w, _, loss = network()
    loss.backward(retain_graph=True)
    assert formulas(w.explain())[-1] == "dw = x.T @ dmatmul"


def test_a_result_that_is_the_tensor_itself():
    _, _, loss = network()
    assert loss.explain(loss) == "dout is what backward() starts with"


def test_what_cannot_be_explained():
    w, b, loss = network()
    with pytest.raises(tg.GraphError, match=r"does not depend on this Tensor; tg\.why_no_grad"):
        w.explain(b.sum())
    with pytest.raises(TypeError, match="explain expects the Tensor that backward\\(\\) starts from, got ndarray"):
        w.explain(np.ones(2))
    loss.backward()
    later = (b * b).sum()
    later.backward()
    with pytest.raises(tg.GraphError, match=r"freed the graph, and a later one dropped its links; call explain before"):
        w.explain(loss)
    with pytest.raises(tg.GraphError, match="the last backward\\(\\) did not start from anything that depends"):
        w.explain()
    del later
    with pytest.raises(tg.GraphError, match="no backward\\(\\) yet whose Tensor still exists"):
        b.explain()


def test_explain_keeps_nothing_alive():
    import weakref

    _, _, loss = network()
    loss.backward()
    node = weakref.ref(loss.node)
    del loss
    assert node() is None
