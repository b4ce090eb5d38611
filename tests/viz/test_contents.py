"""What a drawing shows: cards, gradients, edges, modules, freed graphs, the text tree."""

import re
from collections import Counter

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.errors import GraphError
from tests.viz.graphs import card, cards, dot_edges, expression, groups, leaf, line, mlp

BROKEN, NO_GRADIENT = "#5b0f4d", "#d5dae0"


# --- scalars --------------------------------------------------------------------------------------------


def test_scalars_show_value_and_no_gradient_yet():
    out, _ = expression()
    drawing = tg.draw(out)
    assert [(c.kind, c.title, c.name, c.value) for c in drawing.picture.cards] == [
        ("parameter", "a", "", "2"),
        ("parameter", "b", "", "-3"),
        ("op", "multiply", "e", "-6"),
        ("parameter", "c", "", "10"),
        ("op", "add", "", "4"),
        ("op", "multiply", "", "8"),
        ("op", "add", "L", "9.5"),
    ]
    assert drawing.picture.cards[-1].operands == "+ 1.5"
    assert {c.gradient.text for c in drawing.picture.cards if c.gradient} == {"no gradient yet"}


def test_values_and_gradients_of_unnamed_results_outlive_backward():
    out, _ = expression()
    out.backward()
    shown = [(c.title, c.value, c.gradient and c.gradient.text) for c in tg.draw(out).picture.cards]
    # L = (a b + c) a + 1.5 at (2, -3, 10): dL/da = 2 a b + c = -2, dL/db = a a = 4, dL/dc = a = 2
    assert shown == [
        ("a", "2", "grad -2"),
        ("b", "-3", "grad 4"),
        ("multiply", "-6", "grad 2"),
        ("c", "10", "grad 2"),
        ("add", "4", "grad 2"),
        ("multiply", "8", "grad 1"),
        ("add", "9.5", "grad 1"),
    ]


def test_gradient_of_a_leaf_is_what_grad_holds():
    x = leaf(3.0, "x")
    for _ in range(2):
        y = x * x
        y.backward()
    assert card(tg.draw(y), "x").gradient.text == "grad 12"  # accumulated: 6 + 6
    x.grad = None
    assert card(tg.draw(x * x), "x").gradient.text == "no gradient yet"


def test_gradient_of_four_digits():
    x = leaf(138.8338 / 2, "x")
    y = x * x
    y.backward()
    assert card(tg.draw(y), "x").gradient.text == "grad 138.8"


def test_functional_gradients_show_although_grad_is_untouched():
    x = leaf(3.0, "x")
    y = x * x
    tg.draw(y, backward=True)
    assert x.grad is None
    assert card(tg.draw(y), "x").gradient.text == "no gradient yet"


# --- arrays ---------------------------------------------------------------------------------------------


def test_kinds_of_leaves():
    drawing = tg.draw(mlp(), params="nodes", depth=9)
    kinds = {c.title: c.kind for c in drawing.picture.cards if c.kind != "op"}
    assert kinds == {"X": "input", "labels": "constant", "W": "parameter", "b": "parameter"}
    assert card(drawing, "X").path == ""
    assert [c.path for c in cards(drawing, title="W")] == ["net.0", "net.2"]
    assert cards(drawing, title="W")[1].tip[0].startswith("net.2.W")


def test_integer_labels_and_plain_arrays():
    x = leaf(np.ones((3, 2)), "x")
    mask = np.array([[1.0, 0.0]] * 3)
    drawing = tg.draw((x * x * mask).sum() * 2.0)
    array = line(drawing, "array")
    assert (array.kind, array.text, array.operand) == ("constant", "3×2", "× array")
    W = leaf(np.ones((2, 4)), "W")
    (entering,) = cards(tg.draw((mask @ W).sum()), title="input")
    assert (entering.kind, entering.shape) == ("input", (3, 2))


def test_drawing_with_backward_shows_rms_and_leaves_no_trace():
    x = leaf(np.array([3.0, 4.0]), "x")
    loss = (x * x).sum()
    drawing = tg.draw(loss, backward=True)
    assert line(drawing, "x").gradient.text == f"▲ grad rms {np.sqrt(np.mean([36.0, 64.0])):.1e}"
    assert card(drawing, "multiply").gradient.text == "▲ grad rms 1.0e+00"
    assert card(drawing, "sum").gradient.text == "grad 1"
    assert x.grad is None
    assert loss.node.gradient is None
    loss.backward()  # nothing was freed
    assert x.grad.tolist() == [6.0, 8.0]


def test_backward_for_a_drawing_needs_one_scalar():
    x = leaf(np.ones(2), "x")
    with pytest.raises(GraphError, match=r"needs a scalar, got shape \(2,\)"):
        tg.draw(x * x, backward=True)
    with pytest.raises(GraphError, match="takes one scalar, got 2 Tensors"):
        tg.draw([x.sum(), x.sum()], backward=True)
    with pytest.raises(GraphError, match="nothing here requires a gradient"):
        tg.draw(tg.Tensor(1.0), backward=True)


def test_what_is_not_a_tensor_is_refused():
    with pytest.raises(TypeError, match="expects a Tensor or a list of Tensors, got ndarray"):
        tg.draw(np.ones(2))
    with pytest.raises(TypeError, match="got a float among them"):
        tg.draw([tg.Tensor(1.0), 2.0])
    with pytest.raises(ValueError, match="direction must be 'TB' or 'LR', got 'up'"):
        tg.draw(tg.Tensor(1.0), direction="up")


def test_graph_freed_by_backward_keeps_its_shape_until_the_next_backward():
    model = nn.MLP([4, 3, 2], rng=0)
    loss = (model(np.ones((5, 4), np.float32)) ** 2).mean()
    before = [(c.kind, c.title, c.shape) for c in tg.draw(loss).picture.cards]
    loss.backward()
    drawing = tg.draw(loss, depth=9)
    assert [(c.kind, c.title, c.shape) for c in tg.draw(loss).picture.cards] == before
    gradients = [each.gradient.text for c in drawing.picture.cards for each in c.lines]
    assert len(gradients) == 4
    assert all(text.startswith("grad rms ") for text in gradients)
    assert not cards(drawing, kind="note")
    mlp().backward()
    for backward in (False, True):
        drawing = tg.draw(loss, backward=backward)
        (note,) = cards(drawing, kind="note")
        assert note.title.startswith("graph was freed by backward() at ")
        assert "test_contents.py:" in note.title
        assert "draw(loss, backward=True)" in note.title
        assert "tg.record_graph()" in note.title
        assert note.title in str(drawing)
        assert note.title.split(",")[0] in drawing.svg.replace("\n", " ")
        assert card(drawing, "mean").gradient.text == "grad 1"


def test_record_graph_keeps_links_values_and_gradients():
    with tg.record_graph():
        loss = mlp()
        loss.backward()
    mlp().backward()
    drawing = tg.draw(loss, params="nodes", depth=9)
    assert not cards(drawing, kind="note")
    assert len(cards(drawing, title="W")) == 2
    before = {c.id: c.gradient for c in tg.draw(mlp(), backward=True, params="nodes", depth=9).picture.cards}
    assert {c.id: c.gradient for c in drawing.picture.cards} == before
    assert any("values: rms" in line for line in cards(drawing, title="matmul")[0].tip)


def test_gradient_not_kept_for_an_array_says_how_to_get_it():
    x = leaf(np.ones(2), "x")
    y = x * x
    loss = y.sum()
    loss.backward(retain_graph=True)
    multiply = card(tg.draw(loss), "multiply")
    assert multiply.gradient is None
    assert any("gradient not kept" in line for line in multiply.tip)


def test_retained_gradient_is_shown():
    x = leaf(np.ones(2), "x")
    y = x * x
    y.retain_grad()
    (3 * y).sum().backward(retain_graph=True)
    assert card(tg.draw(y), "multiply").gradient.text == "▲ grad rms 3.0e+00"


# --- gradients that are missing or broken (W9) ----------------------------------------------------------


def test_gradient_that_is_not_finite_is_dark_and_counted():
    x = leaf(np.ones((64, 128)), "x")
    y = x * 1.0
    gradient = np.ones((64, 128))
    gradient.flat[:37] = np.nan
    y.backward(gradient, retain_graph=True)
    found = line(tg.draw(y), "x").gradient
    assert found.text == "‼ NaN 37/8192"
    assert found.colour == BROKEN
    assert "NaN 37/8192" in str(tg.draw(y))


def test_infinities_are_not_called_nan():
    x = tg.Tensor([0.0, 0.0, 4.0, -1.0], requires_grad=True)
    with tg.record_graph():
        y = tg.sqrt(x * 1.0)
        with pytest.warns(RuntimeWarning, match="loss that is nan"):
            y.sum().backward()
    text = str(tg.draw(y))
    assert "inf 2/4" in text  # of the product; the root of -1 has no gradient either
    assert "NaN 1/4, inf 2/4" in text
    scalar = leaf(0.0, "s")
    root = tg.sqrt(scalar)
    root.backward()
    assert card(tg.draw(root), "s").gradient[:2] == ("‼ grad inf", BROKEN)


def test_leaf_that_no_gradient_reached_is_grey_and_says_so():
    x, unreached = leaf(2.0, "x"), leaf(5.0, "u")
    y = x * x
    y.backward()
    drawing = tg.draw([y, unreached])
    assert card(drawing, "u").gradient[:2] == ("no gradient reached", NO_GRADIENT)
    assert "u  5  [parameter]  no gradient reached" in str(drawing)


# --- edges ----------------------------------------------------------------------------------------------


def test_styles_and_labels_of_edges():
    x = tg.Tensor(np.ones((4, 3)), name="x")
    W, b = leaf(np.ones((3, 2)), "W"), leaf(np.ones(2), "b")
    drawing = tg.draw((x @ W + b).mean() * 2.0, params="nodes")
    title = {c.id: c.title for c in drawing.picture.cards}
    seen = {(title[e.tail], title[e.head]): (e.style, e.label) for e in drawing.picture.edges}
    assert seen == {
        ("x", "matmul"): ("dotted", "left"),
        ("W", "matmul"): ("solid", "right"),
        ("matmul", "add"): ("solid", ""),
        ("b", "add"): ("dashed", "broadcast"),
        ("add", "mean"): ("solid", "4×2"),
        ("mean", "multiply"): ("solid", ""),
    }


def random_graph(seed):
    """Operations on random earlier results: residuals, shared leaves, scalars, one operand twice."""
    rng = np.random.default_rng(seed)
    pool = [leaf(rng.normal(size=(3, 3)), f"p{i}") for i in range(4)]
    pool.append(tg.Tensor(np.ones((3, 3)), name="X"))
    for i in range(int(rng.integers(5, 40))):
        first, second = (pool[int(k)] for k in rng.integers(len(pool), size=2))
        with tg.scope(rng.choice(["", "a", "a.b", "a.b.c", "d.e"])):
            made = [first @ second, first + second, first * 2.0, tg.tanh(first), first - np.ones((3, 3))]
            pool.append(made[i % 5])
    total = pool[-1].sum()
    for extra in pool[-4:-1]:
        total = total + extra.sum()
    return total


def graph_of(root):
    """The nodes behind a root in order of creation, and how often each is an input of which."""
    nodes, stack, wanted = {root}, [root], Counter()
    while stack:
        node = stack.pop()
        for parent in node.inputs:
            if hasattr(parent, "birth"):
                wanted[parent.birth, node.birth] += 1
                if parent not in nodes:
                    nodes.add(parent)
                    stack.append(parent)
    return sorted(nodes, key=lambda node: node.birth), wanted


@pytest.mark.parametrize("seed", range(12))
def test_edges_are_those_of_the_graph(seed):
    root = random_graph(seed).node
    nodes, wanted = graph_of(root)
    drawing = tg.draw(random_graph_tensor(root), depth=99, fold=False, params="nodes")
    ops = iter([node.birth for node in nodes if node.op != "leaf"])
    leaves = {node.label: node.birth for node in nodes if node.op == "leaf"}
    inside = {node.birth for node in nodes if node.op == "leaf" and not node.label}  # in the card of their user
    name = {}
    for c in drawing.picture.cards:
        label = c.tip[0].partition(":")[0].rpartition(".")[2]
        name[c.id] = next(ops) if c.count else leaves.get(label, "an array")
    assert next(ops, None) is None
    got = Counter((name[tail], name[head]) for tail, head in dot_edges(drawing))
    arrays = sum(count for (tail, _), count in got.items() if tail == "an array")
    got = Counter({ends: count for ends, count in got.items() if ends[0] != "an array"})
    assert got == Counter({ends: count for ends, count in wanted.items() if ends[0] not in inside})
    assert len(groups(drawing.svg, "edge")) == got.total() + arrays
    assert len(groups(drawing.svg, "node")) == len(drawing.picture.cards)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_every_operation_and_parameter_is_in_one_card(seed, depth):
    root = random_graph(seed)
    nodes, _ = graph_of(root.node)
    drawing = tg.draw(root, depth=depth, fold=seed % 2 == 0)
    assert sum(c.count for c in drawing.picture.cards) == sum(node.op != "leaf" for node in nodes)
    parameters = sorted(node.label for node in nodes if node.op == "leaf" and node.requires_grad)
    listed = [each for c in drawing.picture.cards for each in c.lines]
    lines = [each.name for each in listed if not each.shared and each.kind == "parameter"]
    summed = sum(int(c.summary.split()[0].replace(",", "")) for c in drawing.picture.cards if c.summary)
    assert 9 * len(lines) + summed == 9 * len(parameters)  # each has nine elements
    assert len(set(lines)) == len(lines)


def random_graph_tensor(node):
    """A Tensor around a node: draw needs only the root's node."""
    result = tg.Tensor(0.0)
    result.node = node
    return result


# --- modules --------------------------------------------------------------------------------------------


def test_modules_are_nested_clusters_and_hold_each_card_once():
    x = leaf(2.0, "x")
    with tg.scope("net", "Net · 1 param"):
        y = x * x
        with tg.scope("net.0.inner", "Inner"):
            y = y * x
        with tg.scope("net.1"):
            y = y + 1.0
    y = y * y
    page = tg.draw(y, depth=9).picture.clusters
    (net,) = page.inside
    assert (net.path, net.title) == ("net", "Net · 1 param")
    assert [(c.path, c.title) for c in net.inside] == [("net.0.inner", "Inner"), ("net.1", "")]
    held, stack = [], [page]
    while stack:
        cluster = stack.pop()
        held += [c.id for c in cluster.cards]
        stack += cluster.inside
    assert sorted(held) == sorted(c.id for c in tg.draw(y, depth=9).picture.cards)
    assert [c.title for c in net.inside[1].cards] == ["add"]


def test_leaf_of_one_module_lies_in_it_and_a_shared_one_outside():
    x, own, shared = leaf(1.0, "x"), leaf(2.0, "net.0.w"), leaf(3.0, "net.0.s")
    with tg.scope("net.0"):
        y = x * own * shared
    with tg.scope("net.1"):
        y = y * shared
    drawing = tg.draw(y)
    assert card(drawing, "w").path == "net.0"
    (both,) = [c for c in drawing.picture.cards if c.tip[0].startswith("net.0.s")]
    assert both.path == "net"


def test_cluster_names_and_tooltips_in_the_svg():
    svg = tg.draw(mlp(), depth=9).svg
    tips = list(groups(svg, "cluster").values())
    assert tips == [
        "net.0 Linear 8→6 · 54 params",
        "net.1 Tanh",
        "net.2 Linear 6→4 · 28 params",
        "net.3 Tanh",
    ]
    assert ">net.0</text>" in svg


def test_tooltips_hold_the_facts():
    drawing = tg.draw(mlp(), backward=True, params="nodes", depth=9)
    tip = cards(drawing, title="matmul")[0].tip
    assert tip[0] == "net.0 Linear 8→6 · 54 params · matmul"
    assert tip[1] == "float64 16×6, 768 bytes"
    assert tip[2].startswith("grad rms ")
    assert "graphs.py:" in tip[-2]
    assert tip[-1] == "return x @ W + b"
    inside = cards(tg.draw(mlp(), backward=True, depth=9), title="matmul")[0].tip
    assert inside[: len(tip)] == tip
    assert inside[len(tip)] == "net.0.W: leaf that requires a gradient"
    tip = cards(drawing, title="W")[1].tip
    assert tip[0] == "net.2.W: leaf that requires a gradient"
    assert tip[2].startswith("values: mean ")
    assert any(line.startswith("|grad| / |value| ") for line in tip)


# --- text -----------------------------------------------------------------------------------------------


def test_text_tree_refers_to_what_was_shown():
    x = leaf(2.0, "x")
    y = x * x
    assert str(tg.draw(y + y)).splitlines() == [
        "add  8  no gradient yet",
        "├─ multiply  4  no gradient yet  #n1",
        "│  ├─ x  2  [parameter]  no gradient yet",
        "│  └─ x  2  [parameter]  no gradient yet",
        "└─ multiply  4  no gradient yet  #n1 …",
    ]


def test_constant_and_single_leaf_are_drawn():
    drawing = tg.draw([tg.Tensor(2.5), leaf(np.ones((2, 3)), "W")])
    assert str(drawing).splitlines() == ["constant  2.5", "W  2×3  [parameter]"]
    assert len(groups(drawing.svg, "node")) == 2


def test_numbers_and_constants_are_drawn_alike_whatever_is_recorded():
    """The short way of an operation and the long one keep the same of an input that needs no gradient."""

    def drawn():
        x, c = leaf([1.0, 2.0], "x"), tg.Tensor([3.0, 4.0], name="c")
        return tg.draw(((x * 2.0 + c) * c - 1.5).sum(), params="nodes")

    short = drawn()
    with tg.record_graph():
        long = drawn()
    for drawing in (short, long):
        assert [(c.kind, c.title, c.operands) for c in drawing.picture.cards] == [
            ("parameter", "x", ""),
            ("op", "multiply", "× 2"),
            ("constant", "c", ""),
            ("op", "add", ""),
            ("op", "multiply", ""),
            ("op", "subtract", "− 1.5"),
            ("op", "sum", ""),
        ]
        assert [edge.tail for edge in drawing.picture.edges].count(card(drawing, "c").id) == 2


def visible(drawing):
    """Each card's rows of cells: the words with their background, and what else marks them, in DOT's own text."""
    found = []
    for label in re.findall(r'label=<(<TABLE BORDER="0" CELLBORDER="1".*?</TABLE>)>', drawing.dot):
        rows = []
        for row in re.findall(r"<TR>(.*?)</TR>", label):
            cells = re.findall(r'<TD BGCOLOR="(.*?)".*?><FONT COLOR="(.*?)".*?>(?:<B>)?(.*?)(?:</B>)?</FONT></TD>', row)
            marks = ["bold" if "<B>" in cell else "" for cell in row.split("</TD>")]
            rows.append([(text, back, ink, mark) for (back, ink, text), mark in zip(cells, marks)])
        found.append(rows)
    return found


OPERATION, PARAMETER, RESULT, PAPER = "#3b4d6b", "#f0cf57", "#c2306b", "#ffffff"
INK, WHITE = "#16191d", "#ffffff"


def test_the_visible_text_of_a_drawing():
    w, x = leaf(2.0, "w"), leaf(np.zeros((3, 2)), "x")
    h = tg.exp(x)
    h.name = "h"
    out = (h * w).sum() + 1.5
    below = [("no gradient yet", PAPER, INK, "")]
    assert visible(tg.draw(out)) == [
        [
            [("exp", OPERATION, WHITE, "bold"), ("h", PAPER, INK, "bold"), ("3×2", PAPER, INK, "")],
            [("x", PARAMETER, INK, "bold"), ("3×2", PAPER, INK, "")],
        ],
        [
            [("multiply", OPERATION, WHITE, "bold"), ("3×2", PAPER, INK, "")],
            [("× w", PARAMETER, INK, "bold"), ("2", PAPER, INK, ""), *below],
        ],
        [[("sum", OPERATION, WHITE, "bold"), ("12", PAPER, INK, "")], below],
        [
            [
                ("add", OPERATION, WHITE, "bold"),
                ("loss", RESULT, WHITE, "bold"),
                ("+ 1.5", PAPER, INK, ""),
                ("13.5", PAPER, INK, ""),
            ],
            below,
        ],
    ]
    out.name = "L"
    (legend,), *cards = visible(tg.draw(out, backward=True))
    large = legend[3][1]  # the legend shows the colours
    assert [text for text, *_ in legend] == ["grad: rms", "▼ ≤ 1e-6", "1e-3", "▲ ≥ 1", "parameter"]
    assert legend[2][1] == PAPER
    assert legend[4][1] == PARAMETER
    assert len({back for _, back, *_ in legend}) == 5
    # d out / d h is w = 2 everywhere, d out / d w the sum of h = 1, and the root's own gradient has no colour
    gradients = [[cell for row in rows for cell in row if "grad" in cell[0]] for rows in cards]
    assert gradients == [
        [("▲ grad 2.0e+00", large, INK, ""), ("▲ grad 2.0e+00", large, INK, "")],
        [("▲ grad 1.0e+00", large, INK, ""), ("▲ grad 6", large, INK, "")],
        [("▲ grad 1", large, INK, "")],
        [("grad 1", PAPER, INK, "")],
    ]
    assert cards[3][0][1] == ("L", RESULT, WHITE, "bold")
    # Of an array the gradient is beside the shape; of a parameter with a card of its own it is below.
    _, x_card, h_card, *_ = visible(tg.draw(out, backward=True, params="nodes"))
    assert [[text for text, *_ in row] for row in x_card] == [["x", "3×2"], ["▲ grad 2.0e+00"]]
    assert [[text for text, *_ in row] for row in h_card] == [["exp", "h", "3×2", "▲ grad 2.0e+00"]]


def test_the_size_of_a_gradient_is_given_relative_to_the_values():
    x = leaf(np.full(4, 4.0), "x")
    with tg.record_graph():
        h = x * 2.0
        out = (h * h).sum()
        out.backward()
    drawing = tg.draw(out, params="nodes")
    assert "|grad| / |value| 8.0e+00" in card(drawing, "x").tip  # 8 x / x
    (first, _) = cards(drawing, title="multiply")
    assert "|grad| / |value| 2.0e+00" in first.tip  # 2 h / h
    out = (leaf(np.zeros(4), "zero") * 2.0).sum()
    assert not any("|value|" in fact for fact in card(tg.draw(out, backward=True), "multiply").tip)
