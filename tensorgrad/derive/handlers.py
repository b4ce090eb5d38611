"""The formulas of NumPy's functions: what sums, layouts, products and elementwise functions mean for values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from ..compiler.variables import Instruction, Variable
from .algebra import inverse_of, mul, power
from .atoms import ONE, ZERO, Call, Label, Poly, add, scale, single
from .calls import SCATTER
from .sums import largest
from .values import Value, aligned, axes_for

__all__ = ["HANDLERS", "RULES", "is_hot"]

UNCHANGED = {np.copy, np.asarray, np.ascontiguousarray, np.positive, np.array, np.asfortranarray}


class Reader(Protocol):
    """What a formula asks of the :class:`tensorgrad.derive.lift.Lifter` that reads the run."""

    def value(self, leaf: Any) -> Value:
        """The value of an argument of a call."""

    def contracted(self, spec: str, args: tuple[Any, ...]) -> Value:
        """The sum of a product, as ``np.einsum`` writes it."""

    def total(self, poly: Poly, labels: Iterable[Label]) -> Poly:
        """The sum over labels."""

    def elementwise(self, name: str, args: tuple[Any, ...], variable: Variable) -> Value:
        """A ufunc."""


def is_hot(poly: Poly) -> bool:
    """Whether a value is 0 or 1."""
    term = single(poly)
    return term is not None and term[1] == 1 and all(a.hot for a, _ in term[0])


# --- elementwise rules ----------------------------------------------------------------------------------


def _power(base: Poly, exponent: Poly) -> Poly | None:
    e = exponent.number
    if e is None:
        return None
    return power(base, int(e) if e.denominator == 1 else e)


def _divide(top: Poly, bottom: Poly) -> Poly:
    return mul(top, power(bottom, -1))


def _exp(x: Poly) -> Poly | None:
    term = single(x)
    if term is not None and term[1] == 1 and len(term[0]) == 1:
        atom = term[0][0][0]
        if isinstance(atom, Call) and atom.name == "log" and term[0][0][1] == 1:
            return atom.args[0]
    return None


RULES: dict[str, Callable[..., Poly | None]] = {
    "add": lambda x, y: add(x, y),
    "subtract": lambda x, y: add(x, scale(y, -1)),
    "multiply": lambda x, y: mul(x, y),
    "divide": _divide,
    "negative": lambda x: scale(x, -1),
    "positive": lambda x: x,
    "conjugate": lambda x: x,
    "square": lambda x: power(x, 2),
    "reciprocal": lambda x: power(x, -1),
    "sqrt": lambda x: power(x, Fraction(1, 2)),
    "power": _power,
    "float_power": _power,
    "exp": _exp,
}


# --- calls with a formula -------------------------------------------------------------------------------

Handler = Callable[[Reader, Instruction, tuple[int, ...]], "Value | None"]


def _unchanged(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    return lifter.value(i.args[0])


def _summed_axes(i: Instruction, value: Value) -> tuple[tuple[int, ...], bool] | None:
    options = dict(i.kwargs)
    if options.pop("out", None) is not None or options.pop("dtype", None) is not None:
        return None
    if options.get("initial") is not None and np.isinf(options["initial"]):
        options.pop("initial")
    options.pop("initial", None) if options.get("initial", 0) is None else None
    where = options.pop("where", True)
    axis = options.pop("axis", i.args[1] if len(i.args) > 1 else 0)
    keepdims = options.pop("keepdims", False)
    if options or where is not True or isinstance(axis, Variable):
        return None
    n = len(value.axes)
    axes = tuple(range(n)) if axis is None else (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    return tuple(int(a) % n for a in axes), bool(keepdims) if keepdims is not np._NoValue else False


def _reduced(value: Value, axes: tuple[int, ...], keepdims: bool) -> tuple[list[Label], tuple[Label | None, ...]]:
    bound = [a for k in axes if (a := value.axes[k]) is not None]
    if keepdims:
        return bound, tuple(None if k in axes else a for k, a in enumerate(value.axes))
    return bound, tuple(a for k, a in enumerate(value.axes) if k not in axes)


def _sum(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    value = lifter.value(i.args[0]).renewed()
    found = _summed_axes(i, value)
    if found is None:
        return None
    bound, axes = _reduced(value, *found)
    return Value(lifter.total(value.poly, bound), axes)


def _max(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    value = lifter.value(i.args[0]).renewed()
    found = _summed_axes(i, value)
    if found is None:
        return None
    bound, axes = _reduced(value, *found)
    return Value(largest(value.poly, bound), axes)


def _mean(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    value = _sum(lifter, i, shape)
    size = np.size(i.args[0].value)
    count = int(np.prod(shape, dtype=int))
    return None if value is None or not count else Value(scale(value.poly, Fraction(count, size)), value.axes)


def _where(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    if len(i.args) != 3:
        return None
    (condition, yes, no), axes = aligned([lifter.value(a) for a in i.args], shape)
    if not is_hot(condition) and condition.number is None:
        return None
    if not no:
        return Value(mul(condition, yes), axes)
    if not yes:
        return Value(mul(inverse_of(condition), no), axes)
    if yes == ONE and not no:
        return Value(condition, axes)
    return Value(add(mul(condition, yes), mul(inverse_of(condition), no)), axes)


def _reshape(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    value = lifter.value(i.args[0])
    kept = [a for a in value.axes if a is not None]
    long = [n for n in shape if n != 1]
    if [a[1] for a in kept] != long:
        if not kept and 0 not in shape:
            return Value(value.poly, axes_for(shape))
        return None
    labels = iter(kept)
    return Value(value.poly, tuple(None if n == 1 else next(labels) for n in shape))


def _broadcast(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    (poly,), axes = aligned([lifter.value(i.args[0])], shape)
    return Value(poly, axes)


def _permuted(value: Value, order: Any) -> Value:
    return Value(value.poly, tuple(value.axes[k] for k in order))


def _moved(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    value = lifter.value(i.args[0])
    lengths = range(2, 2 + len(value.axes))  # each axis has a length of its own, so that it is known again
    try:
        moved = i.function(np.broadcast_to(np.True_, tuple(lengths)), *i.args[1:], **i.kwargs)
    except (TypeError, ValueError):
        return None
    return _permuted(value, [n - 2 for n in moved.shape])


def _getitem(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    """Only new axes, whole slices and indices into axes of length 1; others are kept as they are."""
    value = lifter.value(i.args[0])
    index = i.args[1] if isinstance(i.args[1], tuple) else (i.args[1],)
    axes: list[Label | None] = []
    given = sum(1 for p in index if p is not None and p is not Ellipsis)
    position = 0
    if not any(p is Ellipsis for p in index):
        index = (*index, Ellipsis)
    for part in index:
        if part is None:
            axes.append(None)
        elif part is Ellipsis:
            for _ in range(len(value.axes) - given):
                axes.append(value.axes[position])
                position += 1
        elif isinstance(part, slice) and part == slice(None):
            axes.append(value.axes[position])
            position += 1
        elif isinstance(part, int) and value.axes[position] is None and part in (0, -1):
            position += 1
        else:
            return None
    return Value(value.poly, tuple(axes))


def _scatter(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    """The gradient of an index that only added axes."""
    value = lifter.value(i.args[0])
    index = i.args[1] if isinstance(i.args[1], tuple) else (i.args[1],)
    given = sum(1 for p in index if p is not None and p is not Ellipsis)
    axes: list[Label | None] = []
    position = 0
    for part in index if any(p is Ellipsis for p in index) else (*index, Ellipsis):
        if part is None:
            position += 1
        elif part is Ellipsis:
            count = len(shape) - given
            axes += value.axes[position : position + count]
            position += count
        elif isinstance(part, slice) and part == slice(None):
            axes.append(value.axes[position])
            position += 1
        else:
            return None
    return Value(value.poly, tuple(axes))


def _matmul_spec(n: int, m: int) -> str:
    batch = "abcdefgh"[: max(n, m, 2) - 2]
    left = "k" if n == 1 else batch[len(batch) - (n - 2) :] + "ik"
    right = "k" if m == 1 else batch[len(batch) - (m - 2) :] + "kj"
    return f"{left},{right}->{batch}{'' if n == 1 else 'i'}{'' if m == 1 else 'j'}"


def _matmul(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    if i.kwargs:
        return None
    return lifter.contracted(_matmul_spec(*(np.ndim(a.value) for a in i.args)), i.args)


def _dot(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    if i.kwargs or any(not isinstance(a, Variable) or not 1 <= np.ndim(a.value) <= 2 for a in i.args):
        return None
    return _matmul(lifter, i, shape)


def _outer(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    if any(not isinstance(a, Variable) or np.ndim(a.value) != 1 for a in i.args):
        return None
    return lifter.contracted("i,j->ij", i.args)


def _vecdot(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    if i.kwargs or any(not isinstance(a, Variable) or np.ndim(a.value) != 1 for a in i.args):
        return None
    return lifter.contracted("i,i->", i.args)


def _tensordot(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    axes = i.kwargs.get("axes", i.args[2] if len(i.args) > 2 else 2)
    n, m = (np.ndim(a.value) for a in i.args[:2])
    if isinstance(axes, int):
        pairs = [(n - axes + k, k) for k in range(axes)]
    else:
        left, right = ([a] if isinstance(a, int) else list(a) for a in axes)
        pairs = [(a % n, b % m) for a, b in zip(left, right, strict=True)]
    first = list("abcdefghijkl"[:n])
    second = list("mnopqrstuvwx"[:m])
    for a, b in pairs:
        second[b] = first[a]
    shared = {first[a] for a, _ in pairs}
    out = [c for c in (*first, *second) if c not in shared]
    return lifter.contracted(f"{''.join(first)},{''.join(second)}->{''.join(out)}", i.args[:2])


def _einsum(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    spec = i.args[0]
    if not isinstance(spec, str) or "->" not in spec or "." in spec:
        return None
    spec = spec.replace(" ", "")
    if any(len(set(part)) < len(part) for part in spec.partition("->")[0].split(",")):
        return None
    return lifter.contracted(spec, i.args[1:])


def _filled(number: Poly) -> Handler:
    return lambda lifter, i, shape: Value(number, axes_for(shape))


def _full(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    (poly,), axes = aligned([lifter.value(i.args[1])], shape)
    return Value(poly, axes)


def _astype(lifter: Reader, i: Instruction, shape: tuple[int, ...]) -> Value | None:
    value = lifter.value(i.args[0])
    before = np.asarray(i.args[0].value).dtype.kind
    after = np.dtype(i.args[1]).kind
    return value if after == before or (after == "f" and before in "iub") or (after in "iu" and before == "b") else None


HANDLERS: dict[Any, Handler] = {
    **dict.fromkeys(UNCHANGED, _unchanged),
    np.sum: _sum,
    np.max: _max,
    np.mean: _mean,
    np.where: _where,
    np.reshape: _reshape,
    np.ravel: _reshape,
    np.squeeze: _reshape,
    np.expand_dims: _reshape,
    np.broadcast_to: _broadcast,
    np.transpose: _moved,
    np.swapaxes: _moved,
    np.moveaxis: _moved,
    np.matrix_transpose if hasattr(np, "matrix_transpose") else np.swapaxes: _moved,
    operator.getitem: _getitem,
    SCATTER: _scatter,
    np.matmul: _matmul,
    np.dot: _dot,
    np.outer: _outer,
    np.inner: _vecdot,
    np.tensordot: _tensordot,
    np.einsum: _einsum,
    np.ones_like: _filled(ONE),
    np.zeros_like: _filled(ZERO),
    np.full_like: _full,
    np.ndarray.astype: _astype,
    operator.pow: lambda lifter, i, shape: lifter.elementwise("power", i.args, i.results[0]),
    operator.mul: lambda lifter, i, shape: lifter.elementwise("multiply", i.args, i.results[0]),
    operator.neg: lambda lifter, i, shape: lifter.elementwise("negative", i.args, i.results[0]),
}
if hasattr(np, "vecdot"):
    HANDLERS[np.vecdot] = _vecdot
