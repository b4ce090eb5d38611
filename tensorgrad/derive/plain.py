"""Expressions as NumPy would write them, without regard to the order of axes: for titles and messages."""

from __future__ import annotations

from .numpy_text import Expr, Printer
from .tree import Node, Sym

__all__ = ["plain"]


class _Plain(Printer):
    def fitted(self, expr: Expr, target: tuple[object, ...]) -> Expr:
        """Leave it as it is."""
        return expr


def plain(node: Node) -> str:
    """The text of an expression, such as ``sigma * xhat``."""

    def symbol(sym: Sym, target: object) -> Expr:
        return Expr(sym.symbol.text, 6, tuple(a for a in sym.axes if a is not None))

    return _Plain(symbol).expr(node, ()).text
