"""Graphs to draw, and ways to read a drawing, for the tests of tensorgrad.viz."""

import os
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np

import tensorgrad as tg

SVG = "{http://www.w3.org/2000/svg}"


def cpu_seconds():
    """The time that this process and its children, such as a layout program, have computed: waiting does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def leaf(value, name=None):
    return tg.Tensor(value, requires_grad=True, name=name)


def expression():
    """A single neuron: named and unnamed results, a Python scalar, a leaf used twice."""
    a, b, c = leaf(2.0, "a"), leaf(-3.0, "b"), leaf(10.0, "c")
    e = a * b
    e.name = "e"
    out = (e + c) * a + 1.5
    out.name = "L"
    return out, (a, b, c, e)


def block(x, n, m, path, rng):
    """A linear layer, named as nn names its parts."""
    W = leaf(rng.normal(size=(n, m)), f"{path}.W")
    b = leaf(np.zeros(m), f"{path}.b")
    with tg.scope(path, f"Linear {n}→{m} · {n * m + m:,} params"):
        return x @ W + b


def mlp(sizes=(8, 6, 4), blocks=None):
    """A network with a scope for every layer, and a mean squared error as its loss."""
    rng = np.random.default_rng(0)
    sizes = sizes if blocks is None else (6,) * (blocks + 1)
    x = tg.Tensor(rng.normal(size=(16, sizes[0])), name="X")
    labels = tg.Tensor(rng.normal(size=(16, sizes[-1])), name="labels")
    for i, (n, m) in enumerate(pairwise(sizes)):
        x = block(x, n, m, f"net.{2 * i}", rng)
        with tg.scope(f"net.{2 * i + 1}", "Tanh"):
            x = tg.tanh(x)
    error = x - labels
    loss = (error * error).mean()
    loss.name = "loss"
    return loss


def cards(drawing, **wanted):
    """The cards of a drawing with these attributes."""
    return [c for c in drawing.picture.cards if all(getattr(c, key) == value for key, value in wanted.items())]


def card(drawing, title):
    """The one card with this operation, or this name."""
    (found,) = [c for c in drawing.picture.cards if title in (c.name, c.title)]
    return found


def line(drawing, name):
    """The one leaf of this name that is a line in a card, where it first appears."""
    (found,) = [each for c in drawing.picture.cards for each in c.lines if each.name == name and not each.shared]
    return found


def units(drawing):
    """What the cards of operations and closed groups are, in order."""
    return [c.title for c in drawing.picture.cards if c.count]


def parsed(svg):
    """An SVG as an element tree: fails unless it is well-formed XML."""
    return ElementTree.fromstring(svg)


def groups(svg, kind):
    """The ids of the SVG's groups of a class (node, edge, cluster), with their tooltips."""
    found = {}
    for group in parsed(svg).iter(f"{SVG}g"):
        if group.get("class") == kind:
            title = group.find(f"{SVG}title")
            found[group.get("id")] = "" if title is None else title.text
    return found


def dot_edges(drawing):
    """The pairs of card ids in the DOT text, in order, without invisible edges."""
    lines = [line for line in drawing.dot.splitlines() if "style=invis" not in line]
    return [m.groups() for line in lines if (m := re.match(r'"(n\d+)" -> "(n\d+)" \[', line))]


def size(svg):
    """Width and height in points."""
    return tuple(float(parsed(svg).get(side)) * 0.75 for side in ("width", "height"))
