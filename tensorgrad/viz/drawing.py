"""What ``draw()`` returns: a picture in a notebook, text in a terminal, files."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ..engine.graph import Node
from ..engine.locks import computed_once
from ..words import printable
from .cards import inside_of
from .comparison import compared
from .dot import dot_text
from .graph import Graph
from .groups import Group
from .interactive import Sheet, interactive_page
from .page import Page, write_file
from .picture import Card, Cluster, Picture, summary_of
from .render import INSTALL, Renderer, render
from .steps import steps_page
from .svg import finished
from .tree import tree_lines

__all__ = ["Drawing", "direction_of"]

MOST_CARDS = 1500  # larger pictures are not laid out: they are shown as a summary and as text
MOST_INSIDES = 60  # closed modules whose inside an interactive page has
FEW_CARDS = 12  # smaller pictures without modules run from left to right
MOST_LINES = 300  # lines of text that a notebook stores
MOST_DESCRIBED = 60  # lines of text inside an SVG


class Drawing:
    """A drawing of a computation graph: a picture in a notebook, indented text when printed.

    Attributes:
        picture: cards, edges and modules, as plain data.
        direction: "LR" or "TB".
        renderer: the program or function asked for, if any.
        color: what colours say.
        graph: the nodes it was read from, which it keeps; None for what was not read from a graph.
        groups: the closed modules, by the id of their card.
        operations: the nodes of the operations that have a card of their own, by its id.
    """

    def __init__(
        self,
        picture: Picture,
        direction: str,
        renderer: Renderer | None = None,
        *,
        color: str = "grad",
        graph: Graph | None = None,
        groups: Mapping[str, Group] | None = None,
        operations: Mapping[str, Node] | None = None,
    ) -> None:
        self.picture = picture
        self.direction = direction
        self.renderer = renderer
        self.color = color
        self.graph = graph
        self.groups = groups or {}
        self.operations = operations or {}

    @computed_once
    def _identity(self) -> tuple[str, str]:
        """The prefix of all ids, a hash of the drawing's content, and the DOT text."""
        from hashlib import sha256

        digest = sha256(dot_text(self.picture, "", self.direction, self.color).encode()).hexdigest()
        prefix = f"tg{digest[:10]}-"
        return prefix, dot_text(self.picture, prefix, self.direction, self.color)

    @property
    def prefix(self) -> str:
        """What every id in the SVG starts with: a hash of the content."""
        return self._identity[0]

    @property
    def dot(self) -> str:
        """The drawing in DOT, the language of Graphviz."""
        return self._identity[1]

    @property
    def source(self) -> Any:
        """The drawing as a ``graphviz.Source``, for programs that expect one."""
        try:
            import graphviz
        except ImportError as error:
            raise ImportError("Drawing.source needs the package graphviz: pip install graphviz") from error
        return graphviz.Source(self.dot)

    @computed_once
    def svg(self) -> str | None:
        """The drawing as SVG, for use in any page; None if no layout program is found.

        A picture of more than 1,500 cards is not laid out: its SVG says so, with a summary.
        """
        shown = self
        if self.too_large:
            shown = Drawing(Picture([Card("n0", "note", self.too_large)], [], Cluster(""), []), "LR", self.renderer)
            shown.picture.clusters.cards = shown.picture.cards
        prefix, dot = shown._identity
        made = render(dot, "svg", self.renderer).content
        if made is None:
            return None
        return finished(made.decode(), shown.picture, prefix, self._label, self._text(MOST_DESCRIBED))

    @property
    def _label(self) -> str:
        return f"computation graph: {summary_of(self.picture)}"

    @property
    def too_large(self) -> str:
        """The reason why the picture is not laid out; empty if it is."""
        count = len(self.picture.cards)
        if count <= MOST_CARDS:
            return ""
        return (
            f"{count:,} cards, more than the limit of {MOST_CARDS:,} for a picture: {summary_of(self.picture)}; "
            f"draw it folded, with fold=True or depth=1, or print(drawing)"
        )

    @computed_once
    def _lines(self) -> list[str]:
        return self.picture.text or tree_lines(self.picture)

    def _text(self, most: int) -> list[str]:
        """The text tree, truncated to ``most`` lines."""
        head = [self.too_large] if self.too_large else []
        more = len(self._lines) - most
        tail = [f"… {more:,} more lines: print(drawing) shows them all"] if more > 0 else []
        return [*head, *self._lines[:most], *tail]

    def __str__(self) -> str:
        head = [self.too_large] if self.too_large else []
        return printable("\n".join([*head, *self._lines]))

    def __repr__(self) -> str:
        return f"<Drawing of {len(self.picture.cards):,} cards; print() shows it as text, .save() writes it>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        """An image, which notebooks that are not trusted also show, the SVG with its tooltips, and text."""
        svg = self.svg
        lines = self._text(MOST_LINES)
        if svg is None:
            return {"text/plain": "\n".join([*lines, INSTALL])}
        return {"text/html": self._image(svg), "image/svg+xml": svg, "text/plain": "\n".join(lines)}

    def _image(self, svg: str) -> str:
        data = b64encode(svg.encode()).decode()
        return f'<img alt="{escape(self._label)}" style="max-width:100%" src="data:image/svg+xml;base64,{data}">'

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing to a file, in the format of its suffix: ``.svg``, ``.png``, ``.dot`` or ``.html``.

        An HTML file is :meth:`interactive`. An existing file is replaced only once the new one is complete. Raises
        ValueError for any other suffix, RuntimeError if no layout program makes the picture.

        >>> import tempfile, tensorgrad as tg
        >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = tg.draw(x * x).save(f"{folder}/square.dot")
        ...     file.read_text().split()[0]
        'digraph'
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".svg", ".png", ".dot", ".html"):
            raise ValueError(f"save writes .svg, .png, .dot or .html, got {path.name!r}")
        if kind == ".html":
            return self.interactive().save(path)
        if kind == ".dot":
            return write_file(path, self.dot.encode())
        if kind == ".svg":
            content = None if self.svg is None else self.svg.encode()
            trouble = ""
        elif self.too_large:
            raise ValueError(f"{self.too_large}; save it as .dot")
        else:
            content, trouble = render(self.dot, "png", self.renderer)
        if content is None:
            if trouble:
                raise RuntimeError(f"{path.name} was not written: {trouble}; save it as .svg, or fold it: fold=True")
            raise RuntimeError(f"no layout program for {path.name}; {INSTALL}; .dot does not need one")
        return write_file(path, content)

    def compare(self, other: Drawing) -> Drawing:
        """What differs between this graph and another: a drawing in which equal stretches are folded, and text.

        Operations are equal if they have the same name, module, shape and numbers, and come in the same order. Raises
        ValueError for graphs of more than 5,000 operations, or for a drawing that is itself a comparison.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> print(tg.draw(tg.exp(x).sum()).compare(tg.draw(tg.exp(x * 2.0).sum())))
        0 operations only in the first graph, 1 only in the second, 2 in both
        + multiply  × 2  2  × x
          exp  2
          sum  ()
        """
        if self.graph is None or other.graph is None:
            raise ValueError("compare takes two drawings of graphs, got one that is a comparison")
        return Drawing(compared(self.graph, other.graph), "TB", self.renderer, color="kind")

    def interactive(self) -> Page:
        """The drawing as a page that pans, zooms, opens modules by a click, and shows a gradient's path on hover.

        A click on an operation also shows the rules that give its gradients, and on a closed layer or function its
        backward, derived from the graph and verified, or why there is none. This is worked out here, not in draw(), for
        the first 300 operations, and for layers of up to 40 operations, 200 in all: about a second for a network of ten
        layers, and several for the largest.

        Every level is laid out in advance; the page is one HTML text with its own script and uses no network.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
        >>> "<svg" in tg.draw(x * x).interactive().html
        True
        """
        from .derivatives import Derivatives

        shown: list[tuple[str, Drawing]] = [("graph", self)]
        opens: list[dict[str, int]] = [{}]
        at = 0
        while at < len(shown):
            for id, group in shown[at][1].groups.items():
                if len(shown) > MOST_INSIDES or self.graph is None:
                    break
                opens[at][id] = len(shown)
                reader = inside_of(self.graph, group)
                inside = Drawing(
                    reader.picture(),
                    "TB",
                    self.renderer,
                    color=self.color,
                    graph=self.graph,
                    groups=reader.groups,
                    operations=reader.operations,
                )
                shown.append((f"{group.path} {group.title.partition(' · ')[0]}".strip(), inside))
                opens.append({})
            at += 1
        texts = None if self.graph is None else Derivatives(self.graph)
        rules = [{} if texts is None else texts.of(each.operations, each.groups) for _, each in shown]
        sheets = zip(shown, opens, rules, strict=True)
        return interactive_page([Sheet(title, each, targets, said) for (title, each), targets, said in sheets])

    def steps(self) -> Page:
        """The reverse pass, one operation at a time, as a page: each step shows what a gradient passes on to.

        At a result that is used several times, the contributions arrive one by one. Raises GraphError if the graph
        was freed by ``backward()``, ValueError if several Tensors are drawn or operations are folded.

        >>> import tensorgrad as tg
        >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
        >>> page = tg.draw(x * x).steps()
        >>> "multiply" in page.html
        True
        """
        if self.graph is None:
            raise ValueError("steps() needs a drawing of one result, got a comparison; draw the loss alone")

        def opened(picture: Picture) -> Drawing:
            return Drawing(picture, direction_of(picture), self.renderer, color="kind")

        return steps_page(self.graph, opened)


def direction_of(picture: Picture) -> str:
    """The direction in which a picture is drawn if nobody asks for one."""
    return "LR" if len(picture.cards) < FEW_CARDS and not picture.clusters.inside else "TB"
