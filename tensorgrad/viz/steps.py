"""The reverse pass as a page: one operation at a time, its gradient, and what it passes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from ..engine.graph import Leaf, Node
from .cards import Reader
from .facts import data_of, shown
from .graph import Graph, Wanted
from .interactive import Shown
from .page import Page
from .picture import Picture
from .style import number, shape_text
from .values import reverse_pass

__all__ = ["steps_page"]

MOST_STEPS = 300

_STYLE = """<style>
html,body{margin:0;height:100%;font:14px Helvetica,Arial,sans-serif;background:#fff;color:#16191d}
body.dark{background:#111418;color:#e8ebee}
body{display:flex;flex-direction:column}
header{padding:8px 12px;border-bottom:1px solid #717d8c}
button{font:inherit;background:#eef1f4;color:#16191d;border:1px solid #717d8c;border-radius:4px;padding:2px 10px}
button:focus-visible,input:focus-visible{outline:2px solid #2b6cb0}
input{vertical-align:middle;width:min(40%,400px)}
#says{min-height:5.5em;margin:8px 0 0;font:13px Menlo,Consolas,Liberation Mono,monospace;white-space:pre-wrap}
main{flex:1;overflow:auto;padding:8px}
.node,.edge{opacity:.3}
.node.done{opacity:.75}
.node.now,.node.reached,.edge.now{opacity:1}
.node.now polygon[stroke]:not([stroke="none"]){stroke:#c2306b;stroke-width:2.5}
.edge.now path{stroke:#c2306b;stroke-width:2.5}
.edge.now polygon{stroke:#c2306b;fill:#c2306b}
</style>"""

_SCRIPT = """<script>
(() => {
  const {prefix, frames} = JSON.parse(document.getElementById("frames").textContent);
  const slider = document.getElementById("at"), says = document.getElementById("says");
  const id = name => document.getElementById(prefix + name);
  let timer = null;
  const show = at => {
    at = Math.max(0, Math.min(frames.length - 1, at));
    slider.value = at;
    const frame = frames[at];
    says.textContent = frame.text;
    document.querySelectorAll(".now,.done,.reached").forEach(item => item.classList.remove("now", "done", "reached"));
    frames.slice(0, at).forEach(past => id(past.card)?.classList.add("done"));
    id(frame.card)?.classList.add("now");
    frame.edges.forEach(edge => id("e" + edge)?.classList.add("now"));
    frame.to.forEach(card => id(card)?.classList.add("reached"));
    document.getElementById("count").textContent = `${at + 1} of ${frames.length}`;
    id(frame.card)?.scrollIntoView({block: "center", inline: "center"});
  };
  const move = by => show(+slider.value + by);
  slider.max = frames.length - 1;
  slider.oninput = () => show(+slider.value);
  document.getElementById("back").onclick = () => move(-1);
  document.getElementById("next").onclick = () => move(1);
  document.getElementById("play").onclick = event => {
    if (timer) { clearInterval(timer); timer = null; event.target.textContent = "play"; return; }
    event.target.textContent = "stop";
    timer = setInterval(() => {
      if (+slider.value === frames.length - 1) document.getElementById("play").click(); else move(1);
    }, 900);
  };
  window.onkeydown = event => {
    if (event.target === slider) return;
    if (event.key === "ArrowRight") move(1);
    if (event.key === "ArrowLeft") move(-1);
  };
  if (matchMedia("(prefers-color-scheme: dark)").matches) document.body.classList.add("dark");
  show(0);
})();
</script>"""


def steps_page(graph: Graph, draw: Callable[[Picture], Shown]) -> Page:
    """The page of the reverse pass through a graph with one result. ``draw`` makes a drawing of a picture."""
    if len(graph.roots) != 1:
        raise ValueError(f"steps() needs a drawing of one result, got {len(graph.roots)}; draw the loss alone")
    if len(graph.ops) > MOST_STEPS:
        raise ValueError(
            f"steps() shows at most {MOST_STEPS} operations one by one, got {len(graph.ops):,}; draw a smaller part"
        )
    ((root, tensor),) = graph.roots.items()
    if not root.requires_grad:
        raise ValueError("steps() needs a result that requires a gradient; see tg.why_no_grad(t)")
    plain = Graph(graph.roots, {}, Wanted(10**6, None, False, "nodes", "kind"))
    reader = Reader(plain)
    picture = reader.picture()
    for card in picture.cards:
        card.gradient = None
        card.lines = [line._replace(gradient=None) for line in card.lines]
    open_ = draw(picture)
    uses = {node: len(users) for node, users in plain.consumers.items()}  # one entry for each use
    edges: dict[tuple[str, str], list[int]] = {}
    for place, edge in enumerate(picture.edges):
        edges.setdefault((edge.tail, edge.head), []).append(place)
    frames: list[dict[str, Any]] = []
    arrived: dict[Node, int] = {}
    for step in reverse_pass(root, np.ones_like(data_of(tensor)), plain.nodes):
        card = reader.tail(step.node)
        begin = f"{_named(step.node)}: gradient {_value(step.gradient)}"
        begin += " (the start)" if step.node is root else ""
        taken: dict[str, int] = {}
        for position, parent, passed, total in step.passed:
            arrived[parent] = arrived.get(parent, 0) + 1
            text = f"{begin}\n  passes {_value(passed)} to {_named(parent)} (input {position + 1})"
            if uses[parent] > 1:
                text += f"\n  arrival {arrived[parent]} of {uses[parent]}: the sum is {_value(total)}"
            frame: dict[str, Any] = {"card": card.id, "edges": [], "to": [], "text": text}
            frames.append(frame)
            tail = reader.card_of(parent)
            if tail is not None:
                again = taken[tail.id] = taken.get(tail.id, -1) + 1
                frame["to"] = [tail.id]
                frame["edges"] = edges.get((tail.id, card.id), [])[again : again + 1]
    data = json.dumps({"prefix": open_.prefix, "frames": frames}).replace("<", "\\u003c")
    controls = (
        '<button id="back">‹ back</button> <button id="next">next ›</button> <button id="play">play</button> '
        '<input id="at" type="range" min="0" value="0" aria-label="step of the reverse pass"> <span id="count"></span>'
    )
    svg = open_.svg or f"<pre>{escape(str(open_))}</pre>"
    body = (
        f'<header>{controls}<p id="says" aria-live="polite"></p></header>\n<main>{svg}</main>\n'
        f'<script type="application/json" id="frames">{data}</script>\n{_SCRIPT}\n'
    )
    return Page("reverse pass", _STYLE, body, "\n".join(str(frame["text"]) for frame in frames))


def _named(node: Node) -> str:
    if isinstance(node, Leaf):
        return node.label or "a leaf"
    return f"{node.label} = {node.op}" if node.label else node.op


def _value(gradient: Any) -> str:
    array = data_of(gradient)
    if not array.shape:
        return number(array.item(), 4)
    text = shown(array).text.replace("grad rms", "rms")
    return f"{shape_text(array.shape)} of {text}"
