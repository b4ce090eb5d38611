"""The SVG in programs that draw it: Chromium, CairoSVG and resvg, each skipped where it is not installed."""

import io
import json
import re
import subprocess
from functools import cache
from html import unescape
from shutil import which

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tests.viz.graphs import expression, mlp
from tests.viz.test_folding import digits, residual, unrolled

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


@cache
def pictures():
    loss, *_ = digits()
    attention = nn.MultiheadAttention(8, 2, rng=0)
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    out = attention(x, x, x)
    return {
        "digits": tg.draw(loss, backward=True),
        "opened": tg.draw(loss, backward=True, depth=9),
        "residual": tg.draw(residual(33), backward=True),
        "recurrent": tg.draw(unrolled(20), backward=True),
        "expression": tg.draw(expression()[0], backward=True),
        "attention": tg.draw((out[0] if isinstance(out, tuple) else out).sum(), backward=True),
        "failed": tg.draw(nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(4, 1, rng=0)), x[0, :, :2]),
    }


NAMES = ["digits", "opened", "residual", "recurrent", "expression", "attention", "failed"]

# For each text, whether it lies inside the cell that is painted behind it; then the result as the page's title.
MEASURE = """
<script>
addEventListener("load", () => {
  const outside = [];
  let texts = 0;
  document.querySelectorAll("svg text").forEach(text => {
    let cell = text;
    while (cell && !(cell.tagName === "polygon" && !["none", "transparent"].includes(cell.getAttribute("fill")))) {
      cell = cell.previousElementSibling;
    }
    texts += 1;
    if (!cell) return outside.push(`${text.textContent}: no cell`);
    const a = text.getBBox(), b = cell.getBBox();
    if (a.x < b.x - .5 || a.x + a.width > b.x + b.width + .5) outside.push(text.textContent);
  });
  document.title = JSON.stringify([texts, outside]).slice(0, 2000);
});
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.parametrize("font", ["", "DejaVu Sans", "Liberation Sans"])
def test_texts_are_inside_their_cells(tmp_path, font):
    svgs = "".join(drawing.svg for drawing in pictures().values())
    style = f"<style>svg,text{{font-family:'{font}',sans-serif !important}}</style>" if font else ""
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8>{style}{svgs}{MEASURE}", encoding="utf-8")
    texts, outside = titled(tmp_path, page)
    assert texts > 200
    assert outside == []


# Clicks the card of a closed layer, then one inside, then Escape; each time, what the panel says.
CLICKS = """
<script>
addEventListener("load", () => {
  const views = JSON.parse(document.getElementById("views").textContent), panel = document.getElementById("rule");
  const click = (view, card) => document.getElementById(view.prefix + card).dispatchEvent(new MouseEvent("click"));
  const says = () => panel.hidden ? null : panel.querySelector("pre").textContent;
  const found = [says()], [card, inside] = Object.entries(views[0].opens)[0];
  click(views[0], card);
  found.push(says());
  click(views[inside], Object.keys(views[inside].rules)[0]);
  found.push(says());
  dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
  found.push(says(), document.querySelectorAll("aside b script").length);
  document.title = JSON.stringify(found);
});
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
def test_a_click_opens_the_derivative_of_a_card(tmp_path):
    x = tg.Tensor(np.ones((2, 3)), requires_grad=True, name="<b>x</b><script>1</script>")
    with tg.scope("net", "<b>Layer</b>"):
        y = tg.tanh(x)
    page = tg.draw(y.sum(), depth=0).interactive()
    file = tmp_path / "page.html"
    file.write_text(page.html.replace("</body>", f"{CLICKS}</body>"), encoding="utf-8")
    before, layer, operation, after, markup = titled(tmp_path, file)
    assert before is None
    assert layer.startswith("net <b>Layer</b>\n\ndef backward(")
    assert "np.cosh(" in operation
    assert after is None
    assert markup == 0


def titled(tmp_path, page):
    """The JSON that a page's script has made its title."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", done.stdout.decode(), re.DOTALL)[1]))


def ink(png):
    """The share of pixels that are not of the most frequent colour."""
    Image = pytest.importorskip("PIL.Image")
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).reshape(-1, 4)
    _, counts = np.unique(pixels, axis=0, return_counts=True)
    return 1 - counts.max() / len(pixels)


@pytest.mark.parametrize("name", NAMES)
def test_cairosvg_draws_it(name):
    cairosvg = pytest.importorskip("cairosvg")
    assert ink(cairosvg.svg2png(bytestring=pictures()[name].svg.encode())) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_resvg_draws_it(name):
    resvg = pytest.importorskip("resvg_py")
    assert ink(bytes(resvg.svg_to_bytes(svg_string=pictures()[name].svg))) > 0.1


def test_the_root_has_no_style():
    """With one, CairoSVG draws nothing."""
    opening = tg.draw(mlp()).svg.split(">", 1)[0]
    assert "style=" not in opening
    assert 'width="' in opening
