"""A drawing as a page: pan, zoom, open modules and read derivatives by a click, follow a gradient on hover."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple, Protocol

from .page import Page
from .picture import Picture

__all__ = ["Sheet", "Shown", "interactive_page"]

_STYLE = """<style>
html,body{margin:0;height:100%;font:13px Helvetica,Arial,sans-serif;background:#fff;color:#16191d}
body.dark{background:#111418;color:#e8ebee}
header{position:fixed;z-index:1;top:8px;left:8px;right:8px;pointer-events:none}
header>*{pointer-events:auto}
button{font:inherit;background:#eef1f4;color:#16191d;border:1px solid #717d8c;border-radius:4px;padding:2px 8px}
button:focus-visible{outline:2px solid #2b6cb0}
main{height:100%;overflow:hidden;cursor:grab;touch-action:none}
section{transform-origin:0 0;padding:44px 12px 12px}
section[hidden]{display:none}
.dim .node,.dim .edge{opacity:.25}
.dim .node.lit,.dim .edge.lit{opacity:1}
.opens{cursor:pointer}
aside{position:fixed;z-index:2;right:8px;bottom:8px;max-width:calc(100% - 16px);max-height:50%;box-sizing:border-box;
display:flex;flex-direction:column;background:#fff;border:1px solid #717d8c;border-radius:6px;padding:8px 10px}
aside[hidden]{display:none}
aside>div{display:flex;gap:12px;align-items:center;justify-content:space-between;margin-bottom:6px}
aside pre{margin:0;overflow:auto;font:12px Menlo,Consolas,Liberation Mono,monospace;line-height:1.45}
.dark aside{background:#1b2026}
</style>"""

_SCRIPT = """<script>
(() => {
  const views = JSON.parse(document.getElementById("views").textContent);
  const main = document.querySelector("main"), trail = document.getElementById("trail");
  const sections = [...document.querySelectorAll("section")];
  const rule = document.getElementById("rule"), text = rule.querySelector("pre");
  const say = words => { rule.hidden = !words; text.textContent = words || ""; text.scrollTop = text.scrollLeft = 0; };
  let path = [0], x = 0, y = 0, scale = 1, drag = null, moved = false;
  const place = () => sections.forEach(s => s.style.transform = `translate(${x}px,${y}px) scale(${scale})`);
  const fit = () => {
    const svg = sections[path.at(-1)].querySelector("svg");
    const width = svg ? svg.getBoundingClientRect().width / scale : 1;
    scale = Math.min(1, (main.clientWidth - 24) / width); x = y = 0; place();
  };
  const zoom = (factor, cx, cy) => {
    const next = Math.min(8, Math.max(.05, scale * factor));
    x = cx - (cx - x) * next / scale; y = cy - (cy - y) * next / scale; scale = next; place();
  };
  const show = () => {
    sections.forEach((s, i) => s.hidden = i !== path.at(-1));
    trail.replaceChildren(...path.map((view, i) => {
      const button = document.createElement("button");
      button.textContent = (i ? "\\u203a " : "") + views[view].title;
      button.onclick = () => { path = path.slice(0, i + 1); say(); show(); };
      return button;
    }));
    fit();
  };
  sections.forEach((section, at) => {
    const view = views[at], id = name => document.getElementById(view.prefix + name);
    const backward = new Map(), forward = new Map();
    view.edges.forEach(([tail, head], number) => {
      (backward.get(head) || backward.set(head, []).get(head)).push([tail, number]);
      (forward.get(tail) || forward.set(tail, []).get(tail)).push([head, number]);
    });
    const light = (start, links) => {
      const seen = new Set([start]), stack = [start];
      while (stack.length) for (const [next, edge] of links.get(stack.pop()) || []) {
        id("e" + edge)?.classList.add("lit");
        if (!seen.has(next)) { seen.add(next); stack.push(next); }
      }
      seen.forEach(name => id(name)?.classList.add("lit"));
    };
    const dark = () => {
      section.classList.remove("dim");
      section.querySelectorAll(".lit").forEach(item => item.classList.remove("lit"));
    };
    view.cards.forEach(name => {
      const card = id(name);
      if (!card) return;
      card.tabIndex = 0;
      card.onpointerenter = card.onfocus = () => { dark(); section.classList.add("dim"); light(name, forward); };
      card.onpointerleave = card.onblur = dark;
      const target = view.opens[name], words = view.rules[name];
      if (target === undefined && !words) return;
      card.classList.add("opens");
      card.setAttribute("role", "button");
      const open = () => {
        if (moved) return;
        say(words);
        if (target !== undefined) { dark(); path.push(target); show(); }
      };
      card.onclick = open;
      card.onkeydown = event => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); }
      };
    });
  });
  main.onpointerdown = event => { drag = [event.clientX - x, event.clientY - y]; moved = false; };
  window.onpointermove = event => {
    if (!drag) return;
    const nx = event.clientX - drag[0], ny = event.clientY - drag[1];
    moved = moved || Math.abs(nx - x) + Math.abs(ny - y) > 3;
    if (moved) { x = nx; y = ny; place(); }
  };
  window.onpointerup = () => { drag = null; };
  main.onwheel = event => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 500), event.clientX, event.clientY);
  };
  window.onkeydown = event => {
    if (event.key === "+") zoom(1.25, main.clientWidth / 2, main.clientHeight / 2);
    if (event.key === "-") zoom(.8, main.clientWidth / 2, main.clientHeight / 2);
    if (event.key !== "Escape") return;
    if (!rule.hidden) say(); else if (path.length > 1) { path.pop(); show(); }
  };
  document.getElementById("fit").onclick = fit;
  document.getElementById("close").onclick = () => say();
  document.getElementById("page").onclick = () => document.body.classList.toggle("dark");
  if (matchMedia("(prefers-color-scheme: dark)").matches) document.body.classList.add("dark");
  show();
})();
</script>"""


class Shown(Protocol):
    """What a page needs of a drawing."""

    picture: Picture

    @property
    def svg(self) -> str | None:
        """The picture, if there is a layout program."""

    @property
    def prefix(self) -> str:
        """What every id in it starts with."""


class Sheet(NamedTuple):
    """One picture of a page: the graph, or the inside of a closed module."""

    title: str
    drawing: Shown
    opens: dict[str, int]  # the number of the picture that a card opens
    rules: dict[str, str]  # what a click on a card says about its derivative


def interactive_page(sheets: Sequence[Sheet]) -> Page:
    """The page of a drawing and of the insides of its closed modules."""
    views: list[dict[str, Any]] = []
    sections = ""
    for title, each, targets, rules in sheets:
        svg = each.svg or f"<pre>{escape(str(each))}</pre>"
        prefix = f"v{len(views)}-{each.prefix}"  # two modules may look the same
        sections += f"<section hidden>{svg.replace(each.prefix, prefix)}</section>\n"
        views.append(
            {
                "title": title,
                "prefix": prefix,
                "cards": [card.id for card in each.picture.cards],
                "edges": [(edge.tail, edge.head) for edge in each.picture.edges],
                "opens": targets,
                "rules": rules,
            }
        )
    data = json.dumps(views, ensure_ascii=True).replace("<", "\\u003c")
    buttons = '<button id="fit">fit</button> <button id="page">light / dark</button>'
    panel = (
        '<aside id="rule" aria-label="derivative" aria-live="polite" hidden><div><b>derivative</b> '
        '<button id="close" aria-label="close">×</button></div><pre tabindex="0"></pre></aside>'
    )
    body = (
        f'<header><nav id="trail" aria-label="open modules"></nav> {buttons}</header>\n'
        f"<main>\n{sections}</main>\n{panel}\n"
        f'<script type="application/json" id="views">{data}</script>\n{_SCRIPT}\n'
    )
    return Page("computation graph", _STYLE, body, str(sheets[0].drawing))
