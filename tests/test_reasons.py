"""Why a Tensor has no gradient: each reason, with its source line."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tensorgrad as tg

X = np.array([1.0, 2.0])


def leaf():
    return tg.Tensor(X, requires_grad=True, name="x")


def constant():
    return tg.Tensor(X)


def computed_from_constants():
    return constant() * 2


def integers():
    return tg.Tensor([1, 2])


def cast():
    return (leaf() * 2).astype(np.int64)


def detached():
    return (leaf() * 2).detach()


def detached_leaf():
    return leaf().detach()


def under_no_grad():
    with tg.no_grad():
        return leaf() * 2


def later():
    return tg.exp(detached() + 1.0) * 3.0


def with_a_name():
    y = detached() + 1.0
    y.name = "y"
    return y


CUT = {
    constant: r"\(2,\) is a constant.*requires_grad=True",
    computed_from_constants: r"is a constant",
    integers: r"int64, which carries no gradient.*dtype=np\.float64",
    cast: r"no history: astype returned integers or booleans \(int64\)",
    detached: r"no history: detach\(\) was called.*on the result of multiply",
    detached_leaf: r"detach\(\) was called.*on a leaf 'x'",
    under_no_grad: r"multiply was computed under no_grad\(\).*on a leaf 'x'",
    later: r"detach\(\) was called",
    with_a_name: r"'y'.*detach\(\) was called",
}


@pytest.mark.parametrize("make", CUT, ids=lambda f: f.__name__)
def test_where_the_history_was_cut(make):
    t = make()
    text = tg.why_no_grad(t)
    assert re.search(CUT[make], text), text
    if "no history" in text:
        place = detached if make in (later, with_a_name) else make
        first = place.__code__.co_firstlineno
        lines = re.findall(rf"at {re.escape(__file__)}:(\d+)", text)
        assert first < int(lines[0]) <= first + 2
    with pytest.raises(tg.GraphError, match="does not require grad"):
        t.sum().backward()


def test_a_leaf_that_nothing_reached():
    x = leaf()
    assert "no backward" in tg.why_no_grad(x) or "backward() was not called" in tg.why_no_grad(x)
    (x * 2).sum().backward()
    assert "has a gradient" in tg.why_no_grad(x)


def test_a_graph_that_was_freed_and_a_result():
    x = leaf()
    y = x * 2
    assert re.search(r"result of multiply.*retain_grad\(\)", tg.why_no_grad(y))
    (y * y).sum().backward()
    assert re.search(rf"backward\(\) at {re.escape(__file__)}:\d+ freed it.*retain_graph=True", tg.why_no_grad(y))


def test_between_a_leaf_and_a_result():
    x, w = leaf(), tg.Tensor([3.0, 4.0], requires_grad=True, name="w")
    loss = (w * x.detach()).sum()
    assert re.search(r"'x'.*was cut off from the result: detach\(\) was called", tg.why_no_grad(x, loss))
    assert "backward() gives it a gradient" in tg.why_no_grad(w, loss)
    assert re.search(r"was never used.*not computed from it", tg.why_no_grad(tg.Tensor(1.0, requires_grad=True), loss))
    with tg.no_grad():
        half = tg.exp(x)
    loss = (w * (half + 1)).sum()
    assert "exp was computed under no_grad()" in tg.why_no_grad(x, loss)
    loss.backward()
    assert "freed by backward()" in tg.why_no_grad(x, loss)
    assert "is a constant" in tg.why_no_grad(x, constant())


def test_nothing_is_kept_alive():
    x = leaf()
    y = (x * 2).detach()
    origin = y.node.origin
    assert origin() is None
    with tg.no_grad():
        running = tg.Tensor(X)
        for _ in range(1_000):
            running = running * 0.9 + x * 0.1
    assert running.node.inputs == ()


def test_an_argument_that_is_not_a_tensor():
    with pytest.raises(TypeError, match="ndarray"):
        tg.why_no_grad(X)


# --- in a notebook --------------------------------------------------------------------------------------


def run_cell(source, name="/tmp/ipykernel_1/1234567.py"):
    """Run code as the cell of a notebook: in a file of the kernel's own, which does not exist."""
    names = {"tg": tg, "np": np}
    exec(compile(source, name, "exec"), names)
    return names


def test_places_in_a_notebook_are_cells_and_lines(monkeypatch):
    shell = SimpleNamespace(compile=SimpleNamespace(_filename_map={"/tmp/ipykernel_1/1234567.py": 7}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    names = run_cell("x = tg.Tensor([1.0], requires_grad=True)\ny = (x * 2).detach()\nz = tg.log(x - 1.0).sum()")
    assert "detach() was called, at cell 7, line 2" in tg.why_no_grad(names["y"])
    drawing = tg.draw(names["z"])
    assert any("cell 7, line 3" in c.tip for c in drawing.picture.cards)
    with pytest.raises(tg.NonFiniteError, match="called at cell 7, line 2"), tg.debug():
        run_cell("x = tg.Tensor([0.0])\ntg.log(x)")
    with pytest.raises(tg.GraphError, match="called at cell 7, line 3"):
        float(names["z"])


def test_places_in_a_notebook_without_ipython_name_the_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    names = run_cell("x = tg.Tensor([1.0], requires_grad=True)\ny = (x * 2).detach()")
    assert "at notebook cell, line 2" in tg.why_no_grad(names["y"])
