"""The SVG: safe on any page, the same bytes every time, readable on white and on black."""

import os
import re
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from shutil import which

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.viz import style
from tests.viz.graphs import SVG, expression, groups, leaf, mlp, parsed, size

RENDERERS = [
    pytest.param(None, id="graphviz-pure"),
    pytest.param(which("dot"), id="dot", marks=pytest.mark.skipif(which("dot") is None, reason="no dot on PATH")),
]

HOSTILE = [
    "a<b>&\"'|{}:\\N\\G\\",
    "</svg><script>alert(1)</script>",
    "--> <!-- ]]> <![CDATA[",
    "two\nlines\ttab\r",
    "😀👩‍👩‍👧 שלום 你好世界 ﷽",
    "\x00\x07\x1b\x85\ud800\uffff",
    "&lt;&#10;&nonsense; %s {x} \\n\\l",
    '<g id="n0" class="node"> id="x" font-family="Helvetica" <!-- q -->',
    "n0 -> n1; subgraph cluster_0 { }",
    "x" * 500,
    "",
    " ",
]


# --- hostile names (W6) ---------------------------------------------------------------------------------


@pytest.mark.promise("L11")
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_gives_valid_xml_without_scripts(name, renderer):
    x, W = leaf(2.0, name), leaf(np.ones((2, 2)), name)
    data = tg.Tensor(np.ones((2, 2)), name=name)
    with tg.scope(f"net.{name}", name):
        y = (data @ W).sum() * x
    y.name = name
    svg = tg.draw(y, renderer=renderer).svg
    root = parsed(svg)
    assert {element.tag for element in root.iter()} <= {
        SVG + tag for tag in ("svg", "g", "title", "desc", "text", "path", "polygon", "polyline", "ellipse")
    }
    assert len(groups(svg, "node")) == 4
    assert len(groups(svg, "edge")) == 3
    assert len(groups(svg, "cluster")) >= 1


@pytest.mark.promise("L11")
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_gives_html_without_elements_of_its_own(name):
    def tags(name):
        model = nn.Module()
        setattr(model, name, nn.Linear(2, 1))
        parser = HTMLParser(convert_charrefs=True)
        found, texts = [], []
        parser.handle_starttag = lambda tag, attributes: found.append((tag, attributes))
        parser.handle_comment = parser.handle_decl = parser.unknown_decl = parser.handle_pi = found.append
        parser.handle_data = texts.append
        parser.feed(leaf(np.ones(2), name)._repr_html_() + model.summary()._repr_html_())
        parser.close()
        assert not name.strip() or tg.words.escaped(name) in "".join(texts)
        return found

    assert [tag for tag in tags(name) if tag[0] != "b"] == [tag for tag in tags("x") if tag[0] != "b"]


@pytest.mark.promise("L11")
@pytest.mark.parametrize("renderer", RENDERERS)
def test_names_are_shown_as_they_are(renderer):
    name = 'a<b>&"\' {0} \\N|:é→世界 id="q"'
    svg = tg.draw(leaf(2.0, name) * 2.0, renderer=renderer).svg
    assert name in [text.text for text in parsed(svg).iter(f"{SVG}text")]
    assert any(tip.startswith(f"{name}: leaf") for tip in groups(svg, "node").values())


# --- safe on any page -----------------------------------------------------------------------------------


@pytest.mark.parametrize("renderer", RENDERERS)
def test_no_prolog_no_comments_no_links_no_styles(renderer):
    svg = tg.draw(mlp(), renderer=renderer).svg
    assert svg.startswith("<svg ")
    for unwanted in ("<?xml", "<!DOCTYPE", "<!--", "<a ", "<style", "prefers-color-scheme"):
        assert unwanted not in svg


@pytest.mark.parametrize("renderer", RENDERERS)
def test_every_id_has_the_drawing_s_prefix(renderer):
    drawing = tg.draw(mlp(), renderer=renderer, depth=9)
    ids = [element.get("id") for element in parsed(drawing.svg).iter() if element.get("id")]
    prefix = ids[0].split("-")[0]
    assert re.fullmatch("tg[0-9a-f]{10}", prefix)
    assert len(ids) == len(set(ids)) > 25
    assert all(id.startswith(f"{prefix}-") for id in ids)
    assert sorted(groups(drawing.svg, "node")) == sorted(f"{prefix}-{c.id}" for c in drawing.picture.cards)


def test_two_drawings_share_no_id():
    first, second = tg.draw(mlp()).svg, tg.draw(mlp((8, 6, 5))).svg
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_titles_are_the_tooltips(renderer):
    drawing = tg.draw(mlp(), backward=True, renderer=renderer)
    tips = groups(drawing.svg, "node")
    for c in drawing.picture.cards:
        (tip,) = [tip for id, tip in tips.items() if id.endswith(f"-{c.id}")]
        assert tip.split("\n") == c.tip
    assert all("input" in tip for tip in groups(drawing.svg, "edge").values())


def test_it_describes_itself_in_words():
    out, _ = expression()
    drawing = tg.draw(out)
    root = parsed(drawing.svg)
    assert root.get("role") == "img"
    assert root.get("aria-label").startswith("computation graph: 4 operations (2 multiply, 2 add), 3 leaves")
    assert root.find(f"{SVG}desc").text == str(drawing)


def test_a_notebook_gets_an_image_svg_and_text():
    out, _ = expression()
    drawing = tg.draw(out)
    bundle = drawing._repr_mimebundle_()
    assert bundle["image/svg+xml"] == drawing.svg
    assert bundle["text/plain"] == str(drawing)
    # An image with its data inside is shown in notebooks that are not trusted, where bare SVG is removed.
    (image,) = [attributes for tag, attributes in tags(bundle["text/html"]) if tag == "img"]
    assert dict(image)["alt"].startswith("computation graph: 4 operations")
    kind, data = dict(image)["src"].split(",")
    assert kind == "data:image/svg+xml;base64"
    assert b64decode(data).decode() == drawing.svg


def tags(html):
    parser = HTMLParser(convert_charrefs=True)
    found = []
    parser.handle_starttag = lambda tag, attributes: found.append((tag, attributes))
    parser.feed(html)
    parser.close()
    return found


def test_source_is_what_the_graphviz_package_takes():
    graphviz = pytest.importorskip("graphviz")
    drawing = tg.draw(expression()[0])
    assert isinstance(drawing.source, graphviz.Source)
    assert drawing.source.source == drawing.dot


# --- layout ---------------------------------------------------------------------------------------------


def test_few_cards_run_from_left_to_right():
    small, large = tg.draw(expression()[0]), tg.draw(mlp())
    assert (len(small.picture.cards), small.direction) == (7, "LR")
    assert large.direction == "TB"
    assert "rankdir=LR" in tg.draw(mlp(), direction="LR").dot


@pytest.mark.parametrize("params", ["inside", "nodes"])
def test_modules_are_stacked_vertically(params):
    """With parameters as nodes and without the invisible edges, the blocks would form a staircase."""
    drawing = tg.draw(mlp(blocks=33), fold=False, depth=9, params=params)
    assert len(drawing.picture.cards) > 100
    width, height = size(drawing.svg)
    assert width < 450
    assert height > 5000


# --- the same bytes (W5) --------------------------------------------------------------------------------

PROGRAM = """
import gc, sys
history = int(sys.argv[1])
kept = [object() for _ in range(1000 * history)]
import tensorgrad as tg
for i in range(history):
    old = tg.Tensor(1.0, requires_grad=True, name="old")
    (old * 2.0).backward()
    kept.append(old)
sys.path.insert(0, sys.argv[2])
from tests.viz.graphs import mlp
drawing = tg.draw(mlp(), backward=True)
out = sys.stdout.buffer
out.write((drawing.svg + drawing.dot + str(drawing)).encode())
"""


def test_same_program_same_bytes_whatever_came_before(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    root = Path(tg.__file__).parents[1]
    outputs = set()
    for seed, history in (("1", "0"), ("2", "7"), ("99", "1")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, str(program), history, str(root)]
        done = subprocess.run(command, capture_output=True, env=environment, check=True, cwd=tmp_path)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert b"</svg>" in outputs.pop()


# --- contrast (W12) -------------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def over(page, fill):
    alpha = int(fill[7:9], 16) / 255
    mixed = [(1 - alpha) * int(page[i : i + 2], 16) + alpha * int(fill[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def test_the_contrast_measure():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the textbook grey that just fails


def test_text_on_cards_has_contrast():
    pairs = [
        *style.PILLS.values(),
        style.FADED,
        *((colour, "#ffffff") for colour, _ in style.CHANGED.values()),
        *((colour, style.INK) for colour in (style.NONE, style.NOTE, style.PAPER, style.CHIP, style.HATCHED)),
        *((style.share_colour(share), style.INK) for share in np.linspace(0, 1, 11)),
    ]
    for exponent in np.linspace(-8, 2, 101):
        pairs += [(style.heat(10.0**exponent, missing), style.heat_ink(missing)) for missing in (0, 1)]
    assert min(contrast(*pair) for pair in pairs) >= 4.5


@pytest.mark.parametrize("page", ["#ffffff", "#808080", "#111418"])
def test_all_text_stands_on_an_opaque_background(page):
    """So its contrast does not depend on the page."""
    texts = 0
    for drawing in (tg.draw(mlp(), backward=True, depth=9), tg.draw(mlp(), depth=0), tg.draw(expression()[0])):
        cells = []
        for element in parsed(drawing.svg).iter():
            if element.tag == f"{SVG}polygon" and element.get("fill") not in (None, "none", "transparent"):
                points = [tuple(map(float, point.split(","))) for point in element.get("points").split()]
                cells.append((element.get("fill"), [min(v) for v in zip(*points)], [max(v) for v in zip(*points)]))
            if element.tag == f"{SVG}text":
                x, y = float(element.get("x")), float(element.get("y"))
                behind = [fill for fill, low, high in cells if low[0] <= x <= high[0] and low[1] <= y <= high[1]]
                assert behind
                assert contrast(behind[-1], element.get("fill")) >= 4.5
                texts += 1
    assert texts > 60


def deuteranopic(colour):
    """How a colour looks without the green receptors, in linear RGB (Viénot, Brettel and Mollon, 1999)."""
    r, g, b = (((int(colour[i : i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (1, 3, 5))
    return np.array([0.29275 * r + 0.70725 * g, 0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b])


def test_colours_differ_without_red_and_green():
    colours = [style.heat(1e-9), style.heat(1.0), style.heat(0.0, 1), style.PILLS["parameter"][0]]
    seen = [deuteranopic(colour) ** (1 / 2.4) for colour in colours]
    for i, first in enumerate(seen):
        for second in seen[:i]:
            assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("page", ["#ffffff", "#111418"])
def test_edges_and_frames_have_contrast_on_light_and_dark_pages(page):
    assert contrast(style.FREE, page) >= 3.9
    assert contrast(style.FREE, over(page, style.CLUSTER_FILL)) >= 3.8


def test_the_svg_uses_only_those_colours():
    svg = tg.draw(mlp(), backward=True, depth=9).svg
    pills = {colour for pill in style.PILLS.values() for colour in pill}
    named = pills | {style.INK, style.PAPER, style.FREE, style.NONE, style.CHIP, style.CLUSTER_FILL[:7]}
    fills = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', svg))
    rest = fills - named
    texts = set(re.findall(r'<text[^>]* fill="([^"]*)"', svg))
    assert texts <= {style.INK, "white", "#ffffff"}
    assert all(contrast(colour, style.INK) >= 4.5 for colour in rest)
    assert 'fill="black"' not in svg


# --- widths ---------------------------------------------------------------------------------------------


def test_cells_are_wide_enough_for_east_asian_names():
    svg = tg.draw(leaf(2.0, "世界" * 6) * 2.0).svg
    at = svg.index("世界世界</text>")
    right, left = re.findall(r'points="([-\d.]+),\S+ \S+ ([-\d.]+),', svg[:at])[-1]
    assert abs(float(right) - float(left)) >= 12 * 12  # twelve characters of 12 points
