"""Products of matrices, and sums of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Refusal
from ..printer import Printer
from ..runs import Varying
from .shaping import cut

__all__ = ["PRODUCTS"]


def _matmul(g: Printer, a: Any, b: Any, out: Any = None, dtype: Any = None) -> str:
    if out is not None:
        raise Refusal("it writes to out=; use the result instead")
    kind = g.result.dtype
    return g.add("MatMul", g.name(a, kind), g.name(b, kind))


def _dot(g: Printer, a: Any, b: Any, out: Any = None) -> str:
    kind = g.result.dtype
    first, second = len(g.shape(a)), len(g.shape(b))
    if not first or not second:
        return g.add("Mul", g.name(a, kind), g.name(b, kind))
    if second > 2:
        raise Refusal("np.dot of an array with more than two axes; use tg.matmul or tg.einsum")
    return g.add("MatMul", g.name(a, kind), g.name(b, kind))


def _outer(g: Printer, a: Any, b: Any, out: Any = None) -> str:
    kind = g.result.dtype
    column = g.add("Reshape", g.name(a, kind), g.constant(np.array([-1, 1])))
    return g.add("Mul", column, g.add("Reshape", g.name(b, kind), g.constant(np.array([1, -1]))))


def _vecdot(g: Printer, a: Any, b: Any, *, axis: int = -1, axes: Any = None, out: Any = None) -> str:
    kind = g.result.dtype
    product = g.add("Mul", g.name(a, kind), g.name(b, kind))
    return g.add("ReduceSum", product, g.constant(np.array([axis])), keepdims=0)


def _einsum(g: Printer, subscripts: Any, *operands: Any, optimize: Any = False, out: Any = None) -> str:
    if not isinstance(subscripts, str) or out is not None:
        raise Refusal("np.einsum needs its subscripts as text; write np.einsum('ij,jk->ik', a, b)")
    kind = g.result.dtype
    lengths = [n for leaf in operands for n in np.shape(leaf.value)]
    if 1 in lengths and max(lengths) > 1:  # ONNX broadcasts no labels
        labels: dict[str, set[int]] = {}
        for part, leaf in zip(subscripts.replace(" ", "").split("->")[0].split(","), operands, strict=True):
            if "." in part:
                raise Refusal("np.einsum of lengths that broadcast; use tg.matmul, or name all axes")
            for label, n in zip(part, np.shape(leaf.value), strict=True):
                labels.setdefault(label, set()).add(n)
        if any(len(found) > 1 for found in labels.values()):
            raise Refusal("np.einsum of lengths that broadcast; write broadcast_to first")
    return g.add("Einsum", *(g.name(leaf, kind) for leaf in operands), equation=subscripts.replace(" ", ""))


def _tensordot(g: Printer, a: Any, b: Any, axes: Any = 2) -> str:
    first, second = len(g.shape(a)), len(g.shape(b))
    if isinstance(axes, int):
        left, right = list(range(first - axes, first)), list(range(axes))
    else:
        left, right = ([n] if isinstance(n, int) else list(n) for n in axes)
    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = list(letters[:first])
    columns = list(letters[first : first + second])
    for i, j in zip(left, right, strict=True):
        columns[j] = rows[i]
    summed = {rows[i] for i in left}
    kept = [c for c in rows + columns if c not in summed]
    kind = g.result.dtype
    equation = f"{''.join(rows)},{''.join(columns)}->{''.join(kept)}"
    return g.add("Einsum", g.name(a, kind), g.name(b, kind), equation=equation)


def _diagonal(g: Printer, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> str:
    ndim = len(g.shape(a))
    if offset or g.dtype(a).kind != "f":
        raise Refusal("np.diagonal other than the main one of floating-point numbers; use tg.take_along_axis")
    first, second = axis1 % ndim, axis2 % ndim
    lengths = g.shape(a)[first], g.shape(a)[second]
    if any(isinstance(n, Varying) for n in lengths):
        raise Refusal("np.diagonal along the axis of the batch")
    name = g.name(a)
    for axis, n in zip((first, second), lengths, strict=True):
        if n > min(lengths):
            name = cut(g, name, axis, 0, min(lengths))
    letters = list("abcdefghijklmnopqrstuvwxyz"[:ndim])
    kept = [c for i, c in enumerate(letters) if i not in (first, second)]
    letters[second] = letters[first]
    return g.add("Einsum", name, equation=f"{''.join(letters)}->{''.join(kept)}{letters[first]}")


def _determinant(g: Printer, a: Any) -> str:
    return g.add("Det", g.name(a))


PRODUCTS: dict[Any, Any] = {
    np.matmul: _matmul,
    np.dot: _dot,
    np.outer: _outer,
    np.einsum: _einsum,
    np.tensordot: _tensordot,
    np.diagonal: _diagonal,
    np.linalg.det: _determinant,
}
if hasattr(np, "vecdot"):  # from NumPy 2.1 on
    PRODUCTS[np.vecdot] = _vecdot
