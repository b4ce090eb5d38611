"""What must be seen: cuts, unreached parameters, the birth of NaN, zeros, inputs, failures; what colours mean."""

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.errors import GraphError
from tensorgrad.viz import style
from tests.viz.graphs import SVG, card, cards, expression, leaf, line, mlp, parsed, units
from tests.viz.test_folding import digits

# --- cuts -----------------------------------------------------------------------------------------------


def test_a_detached_result_is_marked_with_its_line_and_what_was_before_is_grey():
    x, w = leaf(np.ones(3), "x"), leaf(np.ones(3), "w")
    before = tg.exp(x)
    loss = (before.detach() * w).sum()
    drawing = tg.draw(loss, backward=True)
    (cut,) = cards(drawing, kind="detached")
    assert cut.title.startswith("detached at ")
    assert "test_marks.py:" in cut.title
    exp = card(drawing, "exp")
    assert exp.faded
    assert not card(drawing, "multiply").faded
    assert [(e.tail, e.style) for e in drawing.picture.edges if e.head == cut.id] == [(exp.id, "dotted")]
    assert cut.title in str(drawing)
    assert style.FAILED in drawing.svg  # its border


def test_a_cut_inside_a_closed_module():
    class Stop(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2, rng=0)

        def forward(self, x):
            h = self.inner(x)
            return h * tg.exp(h).detach()

    loss = Stop()(np.ones((3, 2), np.float32)).sum()
    for depth in (0, 1, 9):
        drawing = tg.draw(loss, backward=True, depth=depth)
        (cut,) = cards(drawing, kind="detached")
        assert [e for e in drawing.picture.edges if e.tail == cut.id]
        assert drawing.interactive().html


def test_a_cut_by_no_grad_says_so():
    x = leaf(np.ones(3), "x")
    with tg.no_grad():
        half = x * 0.5
    (found,) = cards(tg.draw((half * x).sum()), kind="detached")
    assert found.title.startswith("multiply was computed under no_grad() at ")


def test_parameters_that_are_not_reached_are_listed():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 2, rng=0), nn.Linear(2, 3, rng=1)

        def forward(self, x):
            return self.used(x)

    net = Net()
    loss = net(np.ones((4, 2), np.float32)).sum()
    (note,) = cards(tg.draw(loss, model=net), kind="note")
    assert note.title == "2 parameters not reached: unused.W, unused.b"
    assert note.gradient.colour == style.NONE
    assert note.title in str(tg.draw(loss, model=net))
    assert not cards(tg.draw(loss), kind="note")
    assert not cards(tg.draw(loss, model=net.used), kind="note")


# --- values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [False, True])
def test_the_operation_where_nan_was_born_is_marked(kept):
    x = tg.Tensor([0.0, 1.0, 4.0, -1.0], requires_grad=True, name="x")
    with tg.record_graph() if kept else tg.enable_grad():
        y = tg.exp(tg.sqrt(x)) * 2.0
        loss = (y + 1.0).sum()
    drawing = tg.draw(loss)
    marked = [c for c in drawing.picture.cards if c.born]
    assert [c.title for c in marked] == ["sqrt"]
    assert marked[0].born.startswith("‼ first NaN 1/4 at ")
    assert "test_marks.py:" in marked[0].born
    assert "first value that is not finite: NaN 1/4 in sqrt" in str(drawing)
    assert not [c for c in tg.draw(x.sum()).picture.cards if c.born]


def test_a_value_that_was_not_kept_may_have_been_the_first():
    x = tg.Tensor([-1.0, 1.0], requires_grad=True, name="x")
    drawing = tg.draw((tg.log(x) * 2.0).sum())  # neither rule needs the logarithm
    (marked,) = [c for c in drawing.picture.cards if c.born]
    assert (marked.title, marked.born.partition(" at ")[0]) == ("sum", "‼ NaN 1/1 here or before")
    assert "known to be not finite" in str(drawing)
    with tg.record_graph():
        (marked,) = [c for c in tg.draw((tg.log(x) * 2.0).sum()).picture.cards if c.born]
    assert (marked.title, marked.born.partition(" at ")[0]) == ("log", "‼ first NaN 1/2")


def test_nan_in_a_closed_module_names_the_operation():
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.ReLU(), nn.Linear(2, 2, rng=0), nn.ReLU(), nn.Linear(2, 1, rng=0))
    model[2].W.data[0, 0] = np.inf
    with tg.record_graph():
        loss = model(np.ones((3, 2), np.float32)).sum()
    (first,) = [c for c in tg.draw(loss, depth=1).picture.cards if c.born]
    assert (first.title, first.born) == ("2", "‼ first inf 1/4 in 2.W")


def test_an_exact_zero_has_a_hatched_cell_of_its_own():
    x, dead = leaf(np.array([1.0, 2.0]), "x"), leaf(np.array([3.0, 4.0]), "dead")
    loss = (x + tg.relu(-dead)).sum()
    drawing = tg.draw(loss, backward=True)
    zero = line(drawing, "dead").gradient if not cards(drawing, title="dead") else card(drawing, "dead").gradient
    assert (zero.text, zero.colour) == ("grad 0", style.HATCHED)
    assert "exactly 0" in drawing.svg
    hatches = [p for p in parsed(drawing.svg).iter(f"{SVG}path") if p.get("stroke-opacity")]
    assert len(hatches) >= 2  # the cells, and the legend's


def test_gradients_of_scalars_have_no_scale():
    out, _ = expression()
    out.backward()
    assert {c.gradient.colour for c in tg.draw(out).picture.cards} == {style.PAPER}
    assert "≥ 1" not in tg.draw(out).svg


def test_vanishing_and_exploding_have_a_sign_beside_the_colour():
    small, large = leaf(np.full(3, 1e-9), "small"), leaf(np.full(3, 1e9), "large")
    loss = (small * large).sum()
    drawing = tg.draw(loss, backward=True, params="nodes")
    assert card(drawing, "small").gradient.text.startswith("▲ ")
    assert card(drawing, "large").gradient.text.startswith("▼ ")


def test_scalar_leaves_keep_their_value_without_their_tensor():
    def made():
        a, b = leaf(2.0, "a"), leaf(5.0, "b")
        return a + b

    assert {c.title: c.value for c in tg.draw(made()).picture.cards} == {"a": "2", "b": "5", "add": "7"}


def test_the_legend_explains_what_occurs():
    texts = {text.text for text in parsed(tg.draw(mlp(), backward=True).svg).iter(f"{SVG}text")}
    assert texts >= {"grad: rms", "▼ ≤ 1e-6", "1e-3", "▲ ≥ 1", "parameter", "input"}
    assert "exactly 0" not in texts
    assert "grad: rms" not in tg.draw(mlp()).svg


def test_operands_are_in_order():
    x, y = leaf(2.0, "x"), leaf(3.0, "y")
    drawing = tg.draw(y**2 / (x - y))
    of = {c.id: c.title for c in drawing.picture.cards}
    assert {(of[e.tail], of[e.head]): e.label for e in drawing.picture.edges} == {
        ("y", "power"): "",
        ("x", "subtract"): "left",
        ("y", "subtract"): "right",
        ("power", "divide"): "numerator",
        ("subtract", "divide"): "denominator",
    }
    assert card(drawing, "power").operands == "^ 2"
    assert [c.operands for c in tg.draw(1.0 - x).picture.cards] == ["", "1 −"]
    M, v = leaf(np.ones((2, 2)), "M"), leaf(np.ones(2), "v")
    assert line(tg.draw((M @ (v * 2.0)).sum()), "M").operand == "M @"


# --- inputs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_what_the_model_was_called_with_is_its_only_input(training):
    """Also if the first layer normalises: then its first operations see data only, and are not recorded."""
    model = nn.Sequential(nn.BatchNorm(4), nn.Linear(4, 3, rng=0), nn.BatchNorm(3), nn.ReLU())
    model.train(training)
    X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    for given in (X, tg.Tensor(X), tg.Tensor(X, name="X")):
        inputs = [(c.title, c.shape) for c in tg.draw(model(given).sum()).picture.cards if c.kind == "input"]
        assert inputs in ([("input", (8, 4))], [("X", (8, 4))])


def test_no_stray_input_in_evaluation():
    loss, *_ = digits(training=False)
    assert [c.shape for c in cards(tg.draw(loss, depth=9), kind="input")] == [(64, 64)]


def test_an_array_has_its_shape_also_where_nothing_was_saved():
    y = (leaf(np.ones((3, 2)), "x") - np.zeros((3, 2))).sum()
    shown = [c.shape for c in tg.draw(y).picture.cards if "an array, not a Tensor" in c.tip]
    assert shown == [(3, 2)]


# --- a model and its input ------------------------------------------------------------------------------


def test_a_model_is_drawn_with_its_input():
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.ReLU())
    drawing = tg.draw(model, np.ones((5, 4), np.float32))
    assert [(c.kind, c.title, c.shape) for c in drawing.picture.cards] == [
        ("input", "x", (5, 4)),
        ("op", "matmul", (5, 3)),
        ("op", "add", (5, 3)),
        ("op", "relu", (5, 3)),
    ]
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert units(tg.draw(model, np.ones((5, 4), np.float32))) == ["matmul", "add", "relu"]


def test_a_function_may_return_several():
    drawing = tg.draw(lambda a, b: {"sum": a + b, "both": [a * b]}, 2.0, 3.0)
    assert units(drawing) == ["add", "multiply"]
    assert sum(c.root for c in drawing.picture.cards) == 2
    with pytest.raises(TypeError, match="the function returned int, expected a Tensor"):
        tg.draw(lambda x: 3, 1.0)
    with pytest.raises(TypeError, match=r"draw\(exp\) needs the input to call it with; write tg.draw\(exp, x\)"):
        tg.draw(tg.exp)
    with pytest.raises(TypeError, match="takes inputs only with a model or function"):
        tg.draw(leaf(1.0) * 2.0, 3.0)


# --- a forward pass that failed -------------------------------------------------------------------------


def test_what_ran_before_a_failure_is_drawn_with_the_failed_operation_in_red():
    model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.ReLU(), nn.Linear(9, 2, rng=0))
    drawing = tg.draw(model, np.ones((5, 4), np.float32))
    (failed,) = cards(drawing, kind="failed")
    assert failed.title == "matmul"
    assert "ShapeError" in failed.born
    assert "8 != 9" in failed.born
    titles = {c.id: c.title for c in drawing.picture.cards}
    assert [titles[e.tail] for e in drawing.picture.edges if e.head == failed.id] == ["relu", "2.W"]
    assert style.FAILED in drawing.svg
    assert "forward failed: ShapeError in matmul" in str(drawing)


def test_an_exception_can_be_drawn():
    x = leaf(np.ones((2, 3)), "x")
    try:
        tg.exp(x) + np.ones(4)
    except ValueError as error:
        drawing = tg.draw(error)
    (failed,) = cards(drawing, kind="failed")
    assert (failed.title, failed.operands) == ("add", "4")
    assert "test_marks.py:" in failed.name
    assert "exp" in units(drawing)
    assert cards(tg.draw(error_of(lambda: tg.exp(x) @ x), color="time"), kind="failed")


def error_of(function):
    try:
        function()
    except ValueError as error:
        return error


def test_a_failure_of_the_users_own_code():
    def forward(x):
        y = tg.exp(x)
        raise RuntimeError(f"nothing to do with {y.shape}")

    drawing = tg.draw(forward, np.ones(3))
    (failed,) = cards(drawing, kind="failed")
    assert failed.title == "RuntimeError"
    assert "nothing to do with (3,)" in failed.born
    assert units(drawing) == ["exp"]


# --- colours --------------------------------------------------------------------------------------------


def test_memory_is_what_backward_keeps():
    x = leaf(np.ones((8, 8)), "x")
    drawing = tg.draw((tg.exp(x) + 1.0).sum(), color="memory")
    assert card(drawing, "exp").gradient.text == "512 bytes"  # its result
    assert card(drawing, "add").gradient.text == "0 bytes"
    assert "memory kept for backward" in drawing.svg


def test_time_is_that_of_the_rules():
    x = leaf(np.ones((400, 400)), "x")
    drawing = tg.draw(tg.exp(x @ x).sum(), color="time")
    for title in ("matmul", "exp", "sum"):
        assert card(drawing, title).gradient.text.endswith((" µs", " ms"))
    colours = [card(drawing, title).gradient.colour for title in ("sum", "matmul")]
    blue = [int(colour[5:], 16) for colour in colours]
    assert blue[0] > blue[1]  # the product takes the larger share
    with pytest.raises(GraphError, match=r"color=\"time\"\) needs a scalar"):
        tg.draw(x * x, color="time")


def test_kind_leaves_gradients_uncoloured():
    drawing = tg.draw(mlp(), backward=True, color="kind")
    assert {c.gradient.colour for c in drawing.picture.cards if c.gradient} == {style.PAPER}
    assert "parameter" in drawing.svg
