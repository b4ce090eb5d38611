"""Pages: interactive drawings, the reverse pass in steps; and comparisons of two graphs."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.errors import GraphError
from tests.viz.graphs import card, cards, expression, leaf, mlp, units
from tests.viz.test_folding import digits, residual


def data(page, id):
    """The JSON that a page's script reads."""
    (found,) = re.findall(rf'<script type="application/json" id="{id}">(.*?)</script>', page.html, re.DOTALL)
    return json.loads(found)


def sections(page):
    return re.findall(r"<section hidden>(.*?)</section>", page.html, re.DOTALL)


# --- interactive ----------------------------------------------------------------------------------------


def test_every_closed_module_has_a_view_of_its_inside():
    drawing = tg.draw(residual(12), backward=True)
    page = drawing.interactive()
    views = data(page, "views")
    assert len(sections(page)) == len(views)
    first = views[0]
    closed = [c.id for c in drawing.picture.cards if c.kind in ("module", "function", "fold")]
    assert sorted(first["opens"]) == sorted(closed)
    (fold,) = cards(drawing, kind="fold")
    inside = views[first["opens"][fold.id]]
    assert inside["title"] == "blocks.0 … blocks.11 Block"
    block = views[next(iter(inside["opens"].values()))]
    assert len(block["cards"]) == 6  # the input, norm, inner, relu, outer, add
    assert len(block["opens"]) == 3
    assert all(target < len(views) for view in views for target in view["opens"].values())


def test_the_views_share_no_id_and_their_ids_are_in_the_picture():
    page = tg.draw(residual(3), depth=1, fold=False).interactive()
    ids = re.findall(r' id="([^"]*)"', page.html)
    assert len(ids) == len(set(ids))
    for view, section in zip(data(page, "views"), sections(page), strict=True):
        for name in view["cards"]:
            assert f'id="{view["prefix"]}{name}"' in section
        for number in range(len(view["edges"])):
            assert f'id="{view["prefix"]}e{number}"' in section


def test_the_page_uses_no_network():
    html = tg.draw(mlp()).interactive().html
    addresses = {address for address in re.findall(r"https?://[^\"' )]*", html) if "www.w3.org" not in address}
    assert not addresses
    assert "<link" not in html
    assert "import(" not in html
    assert "src=" not in html


def test_names_cannot_end_the_data():
    name = "</script><script>alert(1)</script>"
    x = leaf(np.ones((2, 2)), name)
    with tg.scope(f"net.{name}", name):
        y = (tg.exp(x) @ x).sum()
    assert "<script>alert" not in tg.draw(y).interactive().html
    scripts = []
    for page in (tg.draw(y, depth=0).interactive(), tg.draw(y).steps()):
        parser = HTMLParser()
        parser.handle_starttag = lambda tag, attributes: scripts.append(dict(attributes)) if tag == "script" else None
        parser.feed(page.html)
    assert [script.get("id") for script in scripts] == ["views", None, "frames", None]


def test_pages_are_saved_and_shown_in_a_frame(tmp_path):
    drawing = tg.draw(mlp())
    file = drawing.save(tmp_path / "g.html")
    assert file.read_text(encoding="utf-8") == drawing.interactive().html
    assert drawing.interactive().html.startswith("<!DOCTYPE html>")
    bundle = drawing.interactive()._repr_mimebundle_()
    assert bundle["text/html"].startswith("<iframe ")
    assert bundle["text/plain"] == str(drawing.interactive()) == str(drawing)
    with pytest.raises(ValueError, match=r"a page is saved as .html, got 'g.svg'"):
        drawing.interactive().save(tmp_path / "g.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["g.html"]


# --- derivatives ----------------------------------------------------------------------------------------


def said(page, title, view="graph"):
    """What a click on the card of an operation or module says, without the first line."""
    (found,) = [each for each in data(page, "views") if each["title"] == view]
    texts = [text for text in found["rules"].values() if text.startswith(title)]
    assert len(texts) == 1, texts
    return texts[0].split("\n")[2:]


def normalized():
    """A network whose closed layers have textbook backwards, and its loss."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(5, 4, rng=0), nn.BatchNorm(4), nn.ReLU(), nn.Linear(4, 3, rng=1))
    return nn.functional.cross_entropy(model(rng.normal(size=(6, 5)).astype(np.float32)), np.arange(6) % 3)


@pytest.mark.parametrize("freed", [False, True])
def test_a_click_on_a_layer_shows_its_backward(freed):
    loss = normalized()
    if freed:
        loss.backward()
    page = tg.draw(loss).interactive()
    assert said(page, "3 Linear") == [
        "def backward(x, W, dy):",
        "    dx = dy @ W.T   # (6, 4)",
        "    dW = x.T @ dy   # (4, 3)",
        "    db = dy.sum(0)  # (3,)",
        "    return dx, dW, db",
    ]
    lines = [line.partition("  #")[0].strip() for line in said(page, "1 BatchNorm")]
    assert "dx = gamma / sigma * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))" in lines
    assert any(line.strip().startswith("dx = ") for line in said(page, "cross_entropy"))


def test_a_click_on_an_operation_shows_its_rules():
    page = tg.draw(normalized()).interactive()
    assert said(page, "out = matmul", "3 Linear 4→3") == [
        "drelu = dout @ W.T  # (6, 4)",
        "dW = relu.T @ dout  # (4, 3)",
    ]


def test_what_has_no_derived_backward_is_named():
    x = leaf(np.array([3.0, 1.0, 2.0]), "x")

    @tg.scope(None, "ranked")
    def ranked(x):
        return tg.sort(x) * 2.0

    page = tg.draw(ranked(x).sum(), depth=0).interactive()
    (reason,) = said(page, "ranked")
    assert reason.startswith("no derived backward: derive has no formula for backward of sort")
    assert said(page, "out = sort", "ranked") == ["dx = the rule of sort, which has no formula  # (3,)"]


def test_a_part_with_two_results_and_a_long_one_are_refused():
    x = leaf(np.ones(3), "x")
    with tg.scope("net", "Two"):
        a, b = tg.exp(x), tg.sin(x)
    with tg.scope("long", "Long"):
        y = a * b
        for _ in range(50):
            y = tg.tanh(y)
    page = tg.draw(y.sum(), depth=0, fold=False).interactive()
    assert said(page, "net Two") == [
        "no derived backward: 2 results are used outside of it, so it has no single upstream gradient"
    ]
    assert said(page, "long Long")[0].startswith("no derived backward: it has 51 operations")


def test_equal_inputs_add_up():
    x = leaf(3.0, "x")
    assert said(tg.draw(x * x).interactive(), "out = multiply") == [
        "dx = dout * x  # ()",
        "dx = dout * x  # ()",
        "(an input that is given twice: its lines add up)",
    ]


def test_there_is_an_end_to_what_is_written_out(monkeypatch):
    from tensorgrad.viz import derivatives

    monkeypatch.setattr(derivatives, "MOST_RULES", 2)
    x = leaf(np.ones(3), "x")
    page = tg.draw(tg.exp(tg.sin(tg.cos(x))).sum()).interactive()
    texts = list(data(page, "views")[0]["rules"].values())
    assert sum("not written out: this page is too large" in text for text in texts) == 2
    assert len(texts) == 4


def test_drawing_derives_nothing(monkeypatch):
    from tensorgrad.viz import derivatives

    def refuse(*args, **kwargs):
        raise AssertionError("derived too early")

    monkeypatch.setattr(derivatives, "part_backward", refuse)
    monkeypatch.setattr(derivatives, "rule_text", refuse)
    drawing = tg.draw(normalized(), backward=True)
    assert drawing.svg
    assert str(drawing)


# --- the reverse pass -----------------------------------------------------------------------------------


def test_steps_show_the_arrivals_at_a_reused_leaf_one_by_one():
    out, _ = expression()  # (a b + c) a + 1.5 at (2, -3, 10)
    page = tg.draw(out).steps()
    texts = [frame["text"] for frame in data(page, "frames")["frames"]]
    arrivals = [text.split("\n") for text in texts if " to a " in text]
    assert [lines[1:] for lines in arrivals] == [
        ["  passes 4 to a (input 2)", "  arrival 1 of 2: the sum is 4"],
        ["  passes -6 to a (input 1)", "  arrival 2 of 2: the sum is -2"],
    ]
    assert texts[0].startswith("L = add: gradient 1 (the start)")
    assert len(texts) == 7


def test_steps_add_up_to_the_gradients():
    loss, model, _ = digits()
    drawing = tg.draw(loss)
    frames = data(drawing.steps(), "frames")["frames"]
    loss.backward()
    for parameter in model.parameters():
        rms = np.sqrt(np.mean(np.square(parameter.grad, dtype=np.float64)))
        (last,) = [frame["text"] for frame in frames if f" to {parameter.name} " in frame["text"]]
        shown = float(re.search(r"passes .*? of (?:[▲▼] )?(?:rms )?(\S+) to", last)[1])
        assert shown == pytest.approx(rms, rel=0.06, abs=1e-7)


def test_two_arrivals_from_one_operation_light_two_edges():
    x = leaf(3.0, "x")
    page = tg.draw(x * x).steps()
    frames = data(page, "frames")["frames"]
    assert [frame["edges"] for frame in frames] == [[0], [1]]
    assert [frame["text"].split("\n")[2] for frame in frames] == [
        "  arrival 1 of 2: the sum is 3",
        "  arrival 2 of 2: the sum is 6",
    ]
    assert x.grad is None


def test_what_steps_cannot_show():
    x = leaf(2.0, "x")
    with pytest.raises(ValueError, match=r"steps\(\) needs a drawing of one result, got 2"):
        tg.draw([x * 2.0, x * 3.0]).steps()
    y = x
    for _ in range(400):
        y = y * 1.0
    with pytest.raises(ValueError, match="at most 300 operations one by one, got 400"):
        tg.draw(y).steps()
    with pytest.raises(ValueError, match="requires a gradient"):
        tg.draw(tg.Tensor(1.0)).steps()
    z = tg.exp(x) * x
    z.backward()
    with pytest.raises(GraphError, match="the graph was freed by backward"):
        tg.draw(z).steps()


# --- comparisons ----------------------------------------------------------------------------------------


def test_training_and_evaluation_differ_in_dropout_and_batch_statistics():
    model = nn.Sequential(
        nn.Linear(8, 6, rng=0), nn.BatchNorm(6), nn.ReLU(), nn.Dropout(0.5, rng=0), nn.Linear(6, 3, rng=2)
    )
    X = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)

    def drawn():
        return tg.draw(nn.functional.cross_entropy(model(X), np.arange(16) % 3))

    training = drawn()
    model.eval()
    comparison = training.compare(drawn())
    changed = [(c.change, c.path, c.title) for c in comparison.picture.cards if c.change]
    assert changed == [
        ("removed", "1", "mean"),
        ("removed", "1", "subtract"),
        ("removed", "1", "multiply"),
        ("removed", "1", "mean"),
        ("removed", "1", "add"),
        ("removed", "1", "sqrt"),
        ("removed", "3", "multiply"),
    ]
    text = str(comparison).splitlines()
    assert text[0] == "7 operations only in the first graph, 0 only in the second, 13 in both"
    assert [line for line in text if line[0] == "-"][-1] == "- 3  multiply  16×6  × array"
    assert "− only in the first" in comparison.svg
    backwards = drawn().compare(training)
    assert [c.change for c in backwards.picture.cards if c.change] == ["added"] * 7


def test_equal_graphs_are_one_stretch():
    first, second = tg.draw(mlp()), tg.draw(mlp())
    comparison = first.compare(second)
    assert not [c for c in comparison.picture.cards if c.change]
    assert units(comparison) == ["8 equal operations", "mean"]
    assert card(comparison, "mean").root
    with pytest.raises(ValueError, match="got one that is a comparison"):
        comparison.compare(first)


def test_numbers_shapes_and_order_make_a_difference():
    x = leaf(np.ones((2, 3)), "x")
    base = tg.draw((tg.exp(x) * 2.0).sum())
    for other, count in (
        ((tg.exp(x) * 3.0).sum(), 2),
        ((tg.sin(x) * 2.0).sum(), 2),
        ((tg.exp(x) * 2.0).sum(axis=0), 2),
    ):
        assert sum(bool(c.change) for c in base.compare(tg.draw(other)).picture.cards) == count
