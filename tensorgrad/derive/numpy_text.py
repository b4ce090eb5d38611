"""Expressions as NumPy: axes are aligned by ``None``, ``keepdims``, ``.T``, and products summed by ``@``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .atoms import Label
from .tree import Function, Node, Number, Power, Product, Reduced, Sum, Sym, atoms_of

__all__ = ["Expr", "Printer", "axes_order", "hot", "number_text"]

Axes = tuple[Label | None, ...]
_COMPARED = {
    "greater": ">",
    "greater_equal": ">=",
    "less": "<",
    "less_equal": "<=",
    "equal": "==",
    "not_equal": "!=",
}
# How tightly an expression binds.
COMPARE, ADD, MATMUL, MULTIPLY, UNARY, POWER, ATOM = range(7)


@dataclass(frozen=True)
class Expr:
    """Python text, how tightly it binds, and the labels of its result's axes."""

    text: str
    binds: int
    axes: Axes

    def inside(self, binds: int) -> str:
        """The text, in parentheses if it binds less tightly."""
        return self.text if self.binds >= binds else f"({self.text})"


def number_text(value: Fraction) -> str:
    """A number as Python writes it: 2, 0.5, 1e-05; a quotient if that is shorter and exact."""
    if value.denominator == 1:
        return str(value.numerator)
    return repr(float(value))


def broadcasts(axes: Sequence[Label | None], target: Sequence[Label | None]) -> bool:
    """Whether an array with these axes broadcasts to the target as it is."""
    if len(axes) > len(target):
        return False
    return all(a is None or a == target[-i] for i, a in zip(range(len(axes), 0, -1), axes, strict=True))


def joined(parts: Sequence[Expr]) -> Axes:
    """The axes of what broadcasting makes of several arrays."""
    n = max((len(p.axes) for p in parts), default=0)
    axes: list[Label | None] = [None] * n
    for part in parts:
        for i in range(1, len(part.axes) + 1):
            if part.axes[-i] is not None:
                axes[-i] = part.axes[-i]
    return tuple(axes)


class Printer:
    """Prints expressions; ``symbol(sym, target)`` gives the expression for a symbol."""

    def __init__(self, symbol: Callable[[Sym, Axes], Expr]) -> None:
        self.symbol = symbol

    def expr(self, node: Node, target: Axes) -> Expr:
        """The expression, which broadcasts to the target's axes."""
        if isinstance(node, Number):
            return Expr(number_text(node.value), ATOM if node.value >= 0 else UNARY, ())
        if isinstance(node, Sym):
            return self.fitted(self.symbol(node, target), target)
        if isinstance(node, Sum):
            return self._sum(node, target)
        if isinstance(node, Product):
            return self._product(node, target)
        if isinstance(node, Power):
            base = self.expr(node.base, target)
            e = Fraction(node.exponent)
            return Expr(f"{base.inside(ATOM)} ** {number_text(e)}", POWER, base.axes)
        if isinstance(node, Function):
            return self._function(node, target)
        return self._reduced(node, target)

    # --- axes -------------------------------------------------------------------------------------------

    def fitted(self, expr: Expr, target: Axes) -> Expr:
        """The same values with axes that broadcast to the target."""
        if broadcasts(expr.axes, target):
            return expr
        kept = [a for a in expr.axes if a is not None]
        if len(kept) < len(expr.axes):
            index = ", ".join(":" if a is not None else "0" for a in expr.axes)
            expr = Expr(f"{expr.inside(ATOM)}[{index}]", ATOM, tuple(kept))
        wanted = [a for a in target if a in kept]
        if wanted != kept:
            expr = self.permuted(expr, tuple(wanted))
        if not broadcasts(expr.axes, target):
            first = target.index(wanted[0])
            index = ", ".join(":" if a in kept else "None" for a in target[first:])
            expr = Expr(f"{expr.inside(ATOM)}[{index}]", ATOM, tuple(a if a in kept else None for a in target[first:]))
        return expr

    def permuted(self, expr: Expr, axes: Axes) -> Expr:
        """The same with its axes in another order."""
        if expr.axes == axes:
            return expr
        text = expr.inside(ATOM)
        n = len(axes)
        if expr.axes == axes[::-1]:
            return Expr(f"{text}.T", ATOM, axes)
        if n > 2 and expr.axes == (*axes[:-2], axes[-1], axes[-2]):
            return Expr(f"{text}.swapaxes(-1, -2)", ATOM, axes)
        order = ", ".join(str(expr.axes.index(a)) for a in axes)
        return Expr(f"{text}.transpose({order})", ATOM, axes)

    def exact(self, node: Node, axes: Axes, shape: Sequence[int]) -> str:
        """The text of an array of exactly this shape."""
        expr = self.expr(node, axes)
        if not expr.axes and all(n == 1 for n in shape):
            return expr.text if not shape else f"np.full({tuple(shape)}, {expr.text})"
        if len(expr.axes) == len(axes) and all(a == b for a, b in zip(expr.axes, axes, strict=True)):
            return expr.text
        return f"np.broadcast_to({expr.text}, {tuple(shape)})"

    # --- elementwise ------------------------------------------------------------------------------------

    def _sum(self, node: Sum, target: Axes) -> Expr:
        parts = [self.expr(term, target) for _, term in node.terms]
        text = ""
        for k, ((sign, term), part) in enumerate(zip(node.terms, parts, strict=True)):
            written = part.inside(MATMUL)
            if k == 0 and hot(term):
                written = f"1.0 * {part.inside(MULTIPLY)}"  # NumPy does not subtract booleans, and adds them as "or"
            elif k == 0 and sign < 0:
                written = part.inside(MULTIPLY)
            text += f" {'-' if sign < 0 else '+'} {written}" if k else f"{'-' if sign < 0 else ''}{written}"
        return Expr(text, ADD, joined(parts))

    def _product(self, node: Product, target: Axes) -> Expr:
        c = node.number
        sign, c = ("-", -c) if c < 0 else ("", c)
        plain = [self.expr(n, target) for n in node.above if not isinstance(n, Sum)]
        sums = [self.expr(n, target) for n in node.above if isinstance(n, Sum)]
        below = [self.expr(n, target) for n in node.below]
        divisor = ""
        if c != 1:
            if c.numerator == 1 and len(str(c.denominator)) < 10:
                divisor = str(c.denominator)
            elif c.denominator == 1 or len(repr(float(c))) <= 6 or len(str(c.numerator)) > 6:
                plain.insert(0, Expr(number_text(c), ATOM, ()))
            else:
                plain.insert(0, Expr(str(c.numerator), ATOM, ()))
                divisor = str(c.denominator)
        front = plain if plain or not sums else [sums.pop(0)]
        if not front:
            front = [Expr("1", ATOM, ())]
        text = " * ".join(p.inside(MULTIPLY if k else MATMUL) for k, p in enumerate(front))
        under = [b.inside(POWER) for b in below]
        if not sums and divisor:
            under.append(divisor)
        if under:
            text += " / " + (under[0] if len(under) == 1 else f"({' * '.join(under)})")
        for part in sums:
            text += f" * {part.inside(MULTIPLY)}"
        if sums and divisor:
            text += f" / {divisor}"
        parts = [*front, *sums, *below]
        lone = len(front) == 1 and not (under or sums or divisor)
        first = next((n for n in node.above if not isinstance(n, Sum)), None)
        if sign and first is not None and hot(first) and not text.startswith(number_text(c)):
            text = f"1.0 * {text}"  # NumPy has no minus for booleans
        return Expr(sign + text, UNARY if sign and lone else MULTIPLY, joined(parts))

    def _function(self, node: Function, target: Axes) -> Expr:
        args = [self.expr(a, target) for a in node.args]
        axes = joined(args)
        if node.name in _COMPARED:
            left, right = args
            return Expr(f"{left.inside(ADD)} {_COMPARED[node.name]} {right.inside(ADD)}", COMPARE, axes)
        if node.name == "sigmoid":
            return Expr(f"1 / (1 + np.exp({negated(args[0])}))", ADD, axes)
        return Expr(f"{_function_name(node.name)}({', '.join(a.text for a in args)})", ATOM, axes)

    # --- sums -------------------------------------------------------------------------------------------

    def _reduced(self, node: Reduced, target: Axes) -> Expr:
        if node.kind == "sum" and isinstance(node.inner, Product):
            product = self._matmul(node, node.inner, target) or self._einsum(node, node.inner, target)
            if product is not None:
                return self.fitted(product, target)
        inner = self.expr(node.inner, axes_order(node.inner, target))
        places = [i for i, a in enumerate(inner.axes) if a in node.bound]
        left = tuple(a for i, a in enumerate(inner.axes) if i not in places)
        kept = tuple(None if i in places else a for i, a in enumerate(inner.axes))
        base = inner.inside(ATOM)
        if node.kind == "max" and len(places) > 1:
            axis = str(tuple(places))
        else:
            axis = "" if not left else str(places[0]) if len(places) == 1 else str(tuple(places))
        if broadcasts(left, target) or not broadcasts(kept, target):
            return self.fitted(Expr(f"{base}.{node.kind}({axis})", ATOM, left), target)
        return Expr(f"{base}.{node.kind}({axis}, keepdims=True)", ATOM, kept)

    def _matmul(self, node: Reduced, product: Product, target: Axes) -> Expr | None:
        if product.below or product.number != 1 or len(product.above) != 2 or len(node.bound) != 1:
            return None
        (k,) = node.bound
        one, other = product.above
        if k not in one.labels or k not in other.labels:
            return None
        shared = (one.labels & other.labels) - {k}
        rows, columns = one.labels - shared - {k}, other.labels - shared - {k}
        if len(rows) > 1 or len(columns) > 1 or not (rows or columns):
            return None
        if shared and not (rows and columns):
            return None
        order = [a for a in target if a is not None]
        ((i,), (j,)) = (tuple(rows) or (None,)), (tuple(columns) or (None,))
        if (i is None and len(other.labels) == 2) or (j is None and len(one.labels) == 2):
            if j is not None and i is None:  # a matrix times a vector reads better than the other way round
                one, other, i, j = other, one, j, i
        elif i is not None and j is not None and i in order and j in order and order.index(i) > order.index(j):
            one, other, i, j = other, one, j, i
        batch = tuple(a for a in order if a in shared)
        if len(batch) < len(shared):
            return None
        left = self._matrix(one, (*batch, *([i] if i is not None else []), k))
        right = self._matrix(other, (*batch, k, *([j] if j is not None else [])))
        axes = (*batch, *([i] if i is not None else []), *([j] if j is not None else []))
        return Expr(f"{left.inside(MATMUL)} @ {right.inside(POWER)}", MATMUL, axes)

    def _matrix(self, node: Node, axes: Axes) -> Expr:
        own = axes_order(node, axes) if not isinstance(node, Sym) else tuple(a for a in node.axes if a is not None)
        expr = self.expr(node, own if isinstance(node, Sym) else axes)
        if None in expr.axes or len(expr.axes) < len(axes):
            expr = self.fitted(expr, axes)
        return self.permuted(expr, axes)

    def _einsum(self, node: Reduced, product: Product, target: Axes) -> Expr | None:
        factors = product.above
        if product.below or product.number != 1 or len(factors) < 2:
            return None
        if any(f.labels == node.inner.labels for f in factors):
            return None
        letters: dict[Label, str] = {}
        texts, specs = [], []
        for factor in factors:
            expr = self.expr(factor, axes_order(factor, target))
            if None in expr.axes:
                expr = self.fitted(expr, tuple(a for a in expr.axes if a is not None))
            texts.append(expr.text)
            specs.append("".join(letters.setdefault(a, "ijklmnopqrstuvw"[len(letters)]) for a in expr.axes if a))
        order = [a for a in target if a is not None and a in node.labels]
        order += [a for a in letters if a in node.labels and a not in order]
        spec = f"{','.join(specs)}->{''.join(letters[a] for a in order)}"
        return Expr(f'np.einsum("{spec}", {", ".join(texts)})', ATOM, tuple(order))


def axes_order(node: Node, target: Axes) -> Axes:
    """An order for all labels of an expression: that of its largest symbol, or else the target's."""
    labels = node.labels
    best: tuple[Any, ...] = ()
    for atom in atoms_of(node):
        axes = tuple(a for a in atom.axes if a is not None and a in labels)
        if len(set(axes)) == len(axes) and len(axes) > len(best):
            best = axes
    if len(best) < len(labels):
        first = [a for a in target if a in labels and a not in best]
        first += sorted(a for a in labels if a not in best and a not in first)
        best = (*first, *best)
    return best


def hot(node: Node) -> bool:
    """Whether an expression is made of booleans only."""
    if isinstance(node, Sym):
        return bool(node.symbol.hot)
    if isinstance(node, Function):
        return node.name in _COMPARED or node.name.startswith("logical_") or node.name in ("isnan", "isfinite", "isinf")
    if isinstance(node, Product):
        return abs(node.number) == 1 and not node.below and all(map(hot, node.above))
    return isinstance(node, Power) and hot(node.base)


def negated(expr: Expr) -> str:
    """The text of minus an expression."""
    if expr.text.startswith("-") and expr.binds >= MULTIPLY:
        return expr.text[1:]
    return f"-{expr.inside(MULTIPLY)}"


def _function_name(name: str) -> str:
    return name if name.startswith("special.") else f"np.{name}"
