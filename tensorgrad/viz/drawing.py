"""``draw()`` and the Drawing that it returns."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.graph import Freed, Node
from ..engine.mode import record_graph
from ..engine.readings import ARRAYS
from ..engine.record import constant
from ..engine.walk import backward as walk
from ..errors import GraphError
from ..tensor import Tensor
from ..words import printable
from .dot import dot_text, finished
from .model import Card, Cluster, Picture, nodes_of, picture_of, summary_of
from .render import INSTALL, render
from .tree import tree_lines

__all__ = ["Drawing", "draw"]

MOST_CARDS = 1500  # larger graphs are not laid out: they are shown as a summary and as text
FEW_CARDS = 12  # smaller graphs run from left to right
MOST_LINES = 300  # lines of text that a notebook stores
MOST_DESCRIBED = 60  # lines of text inside an SVG


class Drawing:
    """A drawing of a computation graph: a picture in a notebook, indented text when printed.

    Attributes:
        picture: cards, edges and modules, as plain data.
        direction: "LR" or "TB".
    """

    def __init__(self, picture: Picture, direction: str, renderer: str | None = None) -> None:
        self.picture = picture
        self.direction = direction
        self._renderer = renderer

    @cached_property
    def _identity(self) -> tuple[str, str]:
        """The prefix of all ids, a hash of the drawing's content, and the DOT text."""
        from hashlib import sha256

        digest = sha256(dot_text(self.picture, "", self.direction).encode()).hexdigest()
        prefix = f"tg{digest[:10]}-"
        return prefix, dot_text(self.picture, prefix, self.direction)

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

    @cached_property
    def svg(self) -> str | None:
        """The drawing as SVG, for use in any page; None if no layout program is found.

        A graph of more than 1,500 cards is not laid out: its SVG says so, with a summary.
        """
        shown = self
        if self.too_large:
            shown = Drawing(Picture([Card("n0", "note", self.too_large)], [], Cluster(""), []), "LR")
        prefix, dot = shown._identity
        made = render(dot, "svg", self._renderer)
        if made is None:
            return None
        label = f"computation graph: {summary_of(self.picture)}"
        return finished(made.decode(), shown.picture, prefix, label, self._text(MOST_DESCRIBED))

    @property
    def too_large(self) -> str:
        """The reason why the graph is not laid out; empty if it is."""
        count = len(self.picture.cards)
        if count <= MOST_CARDS:
            return ""
        return (
            f"{count:,} cards, more than the limit of {MOST_CARDS:,} for a picture: {summary_of(self.picture)}; "
            f"draw a part of it, or print(drawing)"
        )

    @cached_property
    def _lines(self) -> list[str]:
        return tree_lines(self.picture)

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
        svg = self.svg
        lines = self._text(MOST_LINES)
        if svg is None:
            return {"text/plain": "\n".join([*lines, INSTALL])}
        return {"image/svg+xml": svg, "text/plain": "\n".join(lines)}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing to a file, in the format of its suffix: ``.svg``, ``.png`` or ``.dot``.

        An existing file is replaced only once the new one is complete. Raises ValueError for any other suffix,
        RuntimeError if no layout program is found for a picture.

        >>> import tempfile, tensorgrad as tg
        >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = tg.draw(x * x).save(f"{folder}/square.dot")
        ...     file.read_text().split()[0]
        'digraph'
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".svg", ".png", ".dot"):
            raise ValueError(f"save writes .svg, .png or .dot, got {path.name!r}")
        content: bytes | None
        if kind == ".dot":
            content = self.dot.encode()
        elif kind == ".svg":
            content = None if self.svg is None else self.svg.encode()
        elif self.too_large:
            raise ValueError(f"{self.too_large}; save it as .dot")
        else:
            content = render(self.dot, "png", self._renderer)
        if content is None:
            raise RuntimeError(f"no layout program for {path.name}; {INSTALL}; .dot does not need one")
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path


def draw(
    tensor: Tensor | Iterable[Tensor],
    *,
    backward: bool = False,
    direction: str | None = None,
    renderer: str | None = None,
) -> Drawing:
    """Draw the graph that one or several Tensors were computed by.

    After ``backward()`` the cards show gradients. However, ``backward()`` frees the graph's arrays, and the links
    between operations on arrays: draw before it, with ``backward=True``, or compute under
    :func:`tensorgrad.record_graph`. Graphs of scalars stay complete.

    Args:
        tensor: what to draw; a list is drawn as one graph.
        backward: compute the gradients for this drawing only: no ``.grad`` is changed and nothing is freed, but hooks
            are called.
        direction: "TB" for top to bottom or "LR" for left to right; by default LR below 12 cards.
        renderer: the path of a layout program that takes ``dot``'s options; by default the environment variable
            ``TENSORGRAD_DOT``, else the program of the package graphviz-pure, else ``dot`` on PATH.

    Raises:
        TypeError: something is not a Tensor.
        GraphError: with ``backward=True``, the result is not a scalar, or requires no gradient.

    >>> import tensorgrad as tg
    >>> a = tg.Tensor(2.0, requires_grad=True, name="a")
    >>> b = tg.Tensor(-3.0, requires_grad=True, name="b")
    >>> print(tg.draw(a * b + 10.0, backward=True))
    add  4  grad 1
    ├─ multiply  -6  grad 1
    │  ├─ a  2  [parameter]  grad -3
    │  └─ b  -3  [parameter]  grad 2
    └─ 10
    """
    if direction not in (None, "TB", "LR"):
        raise ValueError(f"direction must be 'TB' or 'LR', got {direction!r}")
    tensors = [tensor] if isinstance(tensor, Tensor) else tensor
    if isinstance(tensors, np.ndarray) or not isinstance(tensors, Iterable):
        raise TypeError(f"draw expects a Tensor or a list of Tensors, got {type(tensor).__name__}")
    roots: dict[Node, Tensor] = {}
    for each in tensors:
        if not isinstance(each, Tensor):
            raise TypeError(f"draw expects a Tensor or a list of Tensors, got a {type(each).__name__} among them")
        roots[each._differentiable_node() if each.requires_grad else constant(each)] = each
    gradients = _gradients(roots) if backward else None
    picture = picture_of(roots, gradients)
    if direction is None:
        direction = "LR" if len(picture.cards) < FEW_CARDS else "TB"
    return Drawing(picture, direction, renderer)


def _gradients(roots: dict[Node, Tensor]) -> dict[Node, Any] | None:
    """The gradient of every node, from a walk that leaves the graph unchanged; None if the graph was freed."""
    if len(roots) != 1:
        raise GraphError(f"draw(..., backward=True) takes one scalar, got {len(roots)} Tensors; write their sum")
    ((root, tensor),) = roots.items()
    if tensor.size != 1:
        raise GraphError(f"draw(..., backward=True) needs a scalar, got shape {tensor.shape}; draw its .sum()")
    if not root.requires_grad:
        raise GraphError("draw(..., backward=True): nothing here requires a gradient")
    nodes = nodes_of(roots)
    if any(isinstance(node.saved, Freed) for node in nodes):
        return None
    before = [(node, node.gradient) for node in nodes]
    try:
        with record_graph():
            walk(root, np.ones_like(tensor.data), ARRAYS)
        return {node: node.gradient for node in nodes if node.gradient is not None}
    finally:
        for node, gradient in before:
            node.gradient = gradient
