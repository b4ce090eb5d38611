"""Recording: how an operation's forward function and rules become a result with a node.

There are two ways in. :func:`record` works for every operation. :func:`unary` and :func:`binary` make
elementwise operations, whose rules need no facts about the call. They work out as much as possible in advance, so
that recording costs less than a microsecond; ``benchmarks/per_op.py`` measures it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import wraps
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DTypeError, GraphError, ShapeError
from .frames import LIBRARY
from .graph import ArraySummary, Constant, Cut, Given, Node, Rule, elementwise, getter
from .mode import RUNNING, Mode, current, silenced
from .shapes import broadcast_error
from .writes import tick

__all__ = [
    "Handle",
    "Tensor",
    "TensorLike",
    "binary",
    "operand",
    "quiet",
    "record",
    "scalar_like",
    "set_result_class",
    "tensor_of",
    "unary",
]

P = ParamSpec("P")
ndarray = np.ndarray
_new = object.__new__
_getframe = sys._getframe


class Handle:
    """What an operation knows about a Tensor: its array and its node.

    ``node`` is None for a Tensor that requires no gradient, until a recorded operation uses it.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "node")
    _data: Any  # what the engine uses instead of the property ``data``, which is three times as slow
    node: Node | None
    _grad: Any

    def _set_data(self, array: Any) -> None:
        node = self.node
        if isinstance(array, Handle) or not hasattr(array, "__array_function__"):
            raise TypeError(f"data must be an array, got {type(array).__name__}; write t.data = np.asarray(value)")
        if node is not None and (getattr(array, "shape", None) != node.shape or array.dtype != node.dtype):
            got = f"shape {array.shape} and dtype {array.dtype}" if hasattr(array, "dtype") else type(array).__name__
            kind: type[Exception] = ShapeError if getattr(array, "shape", None) != node.shape else DTypeError
            name = f" of {node.label!r}" if node.label else ""
            raise kind(
                f"data{name} has shape {node.shape} and dtype {node.dtype}, got {got}; write t.data = "
                f"np.asarray(value, dtype=np.{node.dtype}) of that shape, or tg.replace_data(t, value) to change both"
            )
        self._data = array

    data: Any = property(attrgetter("_data"), _set_data, doc="The array. A new one must have the same shape and dtype.")


if TYPE_CHECKING:
    from ..tensor import Tensor as Tensor  # the only upward import, for annotations
else:
    Tensor = Handle

TensorLike = Handle | ArrayLike

_result_type: Any = Handle
_stacked: Callable[[Any], Any]


def set_result_class(cls: type[Handle], stacked: Callable[[Any], Any]) -> None:
    """Set the class of results, and the function that stacks nested lists of Tensors; both are built on operations."""
    global _result_type, _stacked
    _result_type = cls
    _stacked = stacked


def tensor_of(data: Any, node: Node | None) -> Tensor:
    """A Tensor around an array, which is neither copied nor checked."""
    result = _new(_result_type)
    result._data = data
    result.node = node
    return result


NUMBERS = "fbiuc"  # the kinds of dtypes

# --- operands -------------------------------------------------------------------------------------------


def operand(value: Any, op: str) -> Any:
    """What an operation computes with when it is given something other than a Tensor.

    Python scalars are returned unchanged, and NumPy scalars become Python scalars, so that they do not influence
    dtypes. Arrays, NumPy's or any that implement its protocols, are returned unchanged. Lists are converted.
    """
    kind = type(value)
    if kind is ndarray:
        return value if value.dtype.kind in NUMBERS else checked(value, op)
    if kind is float or kind is int or kind is bool or kind is complex:
        return value
    if isinstance(value, np.generic):
        return checked(value, op).item()
    if not hasattr(value, "__array_function__"):
        return value if hasattr(value, "__traced_number__") else as_array(value, op)
    return checked(value, op)


def as_array(value: Any, op: str) -> Any:
    """A nested list (or anything else NumPy accepts) as an array. Raises DTypeError naming the operation.

    If a nested list has Tensors with a history, they are stacked, and the result is a Tensor.
    """
    try:
        return checked(np.asarray(value), op)
    except GraphError:
        if isinstance(value, list | tuple):
            return _stacked(value)
        raise
    except ValueError as error:
        raise DTypeError(f"{op}: got a {type(value).__name__} that cannot be made an array ({error})") from error


def checked(array: Any, op: str) -> Any:
    """The array, if it holds numbers or booleans. Raises DTypeError otherwise."""
    if array.dtype.kind not in NUMBERS:
        raise DTypeError(
            f"{op}: got {type(array).__name__} of dtype {array.dtype}, expected numbers or booleans; "
            f"convert it first, for example with np.asarray(value, dtype=np.float64)"
        )
    if type(array) is not np.ndarray and hasattr(array, "filled"):  # a masked array, without importing np.ma
        raise DTypeError(f"{op}: got a masked array, whose mask would be lost; write array.filled(value)")
    return array


# Python scalars as 0-d arrays, which NumPy handles in half the time. Zeros are not kept, because 0.0 equals -0.0, and
# neither is NaN, which equals nothing.
_scalars: dict[Any, dict[float, Any]] = {np.dtype(np.float64): {}, np.dtype(np.float32): {}}
_MANY_SCALARS = 256


def scalar_like(value: Any, like: Any) -> Any:
    """A Python number as a read-only 0-d array, which NumPy combines with an array faster.

    Other values, and numbers next to anything but a float64 or float32 array, are returned unchanged.

    >>> scalar_like(1.0, np.ones(2, np.float32)).dtype, scalar_like(1.0, [])
    (dtype('float32'), 1.0)
    """
    if like.__class__ is not ndarray or value.__class__ is complex:  # 1 + 0j equals 1.0, and would find its entry
        return value
    try:
        return _scalars[like.dtype][value]
    except (KeyError, TypeError):
        return _kept_scalar(value, like.dtype)


def _kept_scalar(value: Any, dtype: Any) -> Any:
    known = _scalars.get(dtype)
    if known is None or not (type(value) is float or type(value) is int) or value == 0 or value != value:
        return value
    array = np.array(value, dtype)
    if not np.isfinite(array):
        return value  # NumPy may warn about it
    array.flags.writeable = False
    if len(known) >= _MANY_SCALARS:
        known.clear()
    known[value] = array
    return array


def constant(value: Any) -> Any:
    """What a node keeps of an input that needs no gradient."""
    if isinstance(value, Handle):
        if value.node is None or value.node.__class__ is Cut:
            value.node = Constant(value)
        return value.node
    if isinstance(value, ndarray):
        return Given(value)
    return value if isinstance(value, int | float | complex) else None


def forward_error(op: str, arrays: Sequence[Any], error: Exception) -> Exception:
    """The error to raise when NumPy has rejected the operands: our own if their shapes do not broadcast."""
    if isinstance(error, np.linalg.LinAlgError):
        return error
    better = broadcast_error(op, *(np.shape(a) for a in arrays))
    if better is not None:
        return better
    if type(error) in (ValueError, TypeError):
        return type(error)(f"{op}: {error}")
    if isinstance(error, DTypeError):  # a copy, because an error cannot be its own cause
        return DTypeError(*error.args)
    return error


# --- recording ------------------------------------------------------------------------------------------


class _Quiet(threading.local):
    """``run(f, *args)``: call f with NumPy's floating-point warnings off, in a fifth of the time of an errstate block.

    NumPy keeps its error state in a context variable; ``run`` calls f in a context where it is set. Only for NumPy
    arrays: any other context variable that f reads is unset there.
    """

    def __init__(self) -> None:
        context = Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


_quiet = _Quiet()


def quiet(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The forward function without NumPy's warnings: infinities and NaN are ordinary results.

    >>> quiet(np.log)(np.zeros(1)).tolist()
    [-inf]
    """
    silent: Any = silenced()(forward)
    silent.loud = forward  # for callers that have a faster way to silence it
    return silent


def recorded(
    out: Any,
    shape: tuple[int, ...],
    op: str,
    inputs: tuple[Any, ...],
    rules: tuple[Rule | None, ...],
    saved: tuple[tuple[Any, ...], ...],
    mode: Mode,
) -> Tensor:
    """A result with its node; only for functions that users, or other parts of the library, call directly."""
    frame = _getframe(2)
    code = frame.f_code
    if LIBRARY[code.co_filename]:
        site = mode.site
        while LIBRARY[code.co_filename] and frame.f_back is not None:
            if code is RUNNING and site is not None:
                code, lasti = site
                break
            frame = frame.f_back
            code = frame.f_code
        else:
            lasti = frame.f_lasti
    else:
        lasti = frame.f_lasti
    # Does what Node(...) does, in half the time.
    node = _new(Node)
    node.op = op
    node.inputs = inputs
    node.rules = rules
    node.saved = saved
    node.birth = tick()
    node.shape = shape
    node.dtype = out.dtype
    node.code = code
    node.lasti = lasti
    node.scope = mode.scope
    node.value = None if shape else out
    node.gradient = None
    node.extra = None
    result = _new(_result_type)
    result._data = out
    result.node = node
    return result


def unrecorded(out: Any, nodes: Sequence[Node | None], op: str, mode: Mode) -> Tensor:
    """A result without history: no input requires a gradient, or recording is off."""
    result = _new(_result_type)
    result._data = out
    result.node = None
    for node in nodes:
        if node is not None:
            result.node = cut = _cut(node, out, op, mode)
            if cut is not None:
                break
    return result


def _cut(node: Node, out: Any, op: str, mode: Mode) -> Cut | None:
    if not node.requires_grad:
        return node if isinstance(node, Cut) else node.cut  # type: ignore[attr-defined]
    if mode.grad:
        return Cut(f"{op} returned integers or booleans ({out.dtype}), which carry no gradient", node, _getframe(3), op)
    return Cut(f"{op} was computed under no_grad()", node, _getframe(3), op)


def record(
    op: str,
    forward: Callable[..., Any],
    inputs: Sequence[Any],
    rules: Sequence[Rule],
) -> Tensor:
    """Compute ``forward(*arrays)`` and, where a gradient may be needed, record it.

    ``rules[i]`` returns the gradient with respect to ``inputs[i]``; :mod:`tensorgrad.engine.graph` describes its
    arguments. Rules and ``forward`` close over static facts only (a shape, an axis, an index), never over an array.
    """
    mode = current()
    tracer = mode.tracer
    if tracer is not None:
        tracer.enter(op)
    arrays = []
    nodes: list[Any] = []
    wanted = False
    for value in inputs:
        if not isinstance(value, Handle):
            value = operand(value, op)
        if isinstance(value, Handle):
            arrays.append(value._data if tracer is None else tracer.lift(value))
            node = value.node
            nodes.append(node)
            if node is not None and node.requires_grad:
                wanted = True
        else:
            arrays.append(value if tracer is None else tracer.lift(value))
            nodes.append(None)
    try:
        out = forward(*arrays)
    except (ValueError, TypeError) as error:
        raise forward_error(op, arrays, error) from error
    shape = out.shape
    if not shape and isinstance(out, np.generic):
        out = np.asarray(out)
    if mode.debug is not None:
        mode.debug.computed(op, arrays, out)
    if not (wanted and mode.grad) or out.dtype.kind not in "fc":
        return unrecorded(out, nodes, op, mode)
    if len(rules) != len(nodes):
        raise ValueError(f"{op}: expected one rule per input ({len(nodes)}), got {len(rules)}")
    values = (*arrays, out)
    needed: list[Any] = []
    saved: list[Any] = []
    i = -1
    for node in nodes:
        i += 1
        if node is not None and node.requires_grad:
            rule = rules[i]
            needed.append(rule)
            saved.append(getter(rule)(values))
        else:
            nodes[i] = constant(inputs[i])
            needed.append(None)
            saved.append(())
    result = recorded(out, shape, op, tuple(nodes), tuple(needed), tuple(saved), mode)
    if mode.plain:
        return result
    assert result.node is not None
    if mode.keep and shape:
        result.node.value = ArraySummary.of(out)
    if mode.debug is not None:
        mode.debug.recorded(result.node)
    return result


def unary(forward: Callable[..., Any], rule: Rule) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Make an elementwise operation of one argument; the decorated function provides its name and docstring."""

    def decorate(described: Callable[P, Any]) -> Callable[P, Tensor]:
        op = described.__name__.removeprefix("_")  # private where a public function with options calls it
        elementwise.add(op)
        pick = getter(rule)
        saves = {(): "nothing", (0,): "x", (1,): "out"}.get(pick((0, 1)), "more")
        rules = (rule,)
        nothing = ((),)
        loud = getattr(forward, "loud", None)

        @wraps(described)
        def operation(x: Any) -> Any:
            mode = current()
            if not (isinstance(x, Handle) and mode.plain):
                return record(op, forward, (x,), rules)
            a = x._data
            node = x.node
            out = _quiet.run(loud, a) if loud is not None and a.__class__ is ndarray else forward(a)
            shape = out.shape
            if not shape and isinstance(out, np.generic):
                out = np.asarray(out)
            if node is None or not (node.requires_grad and mode.grad):
                return unrecorded(out, (node,), op, mode)
            if saves == "out":
                saved: Any = ((out,),)
            elif saves == "x":
                saved = ((a,),)
            else:
                saved = nothing if saves == "nothing" else (pick((a, out)),)
            return recorded(out, shape, op, (node,), rules, saved, mode)

        return operation  # type: ignore[return-value]

    return decorate


def binary(
    forward: Callable[..., Any], rule_x: Rule, rule_y: Rule
) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Make an elementwise operation of two arguments, which broadcast together."""

    def decorate(described: Callable[P, Any]) -> Callable[P, Tensor]:
        op = described.__name__
        elementwise.add(op)
        pick_x, pick_y = getter(rule_x), getter(rule_y)
        saves = {((), ()): "nothing", ((1,), (0,)): "the other"}.get((pick_x((0, 1, 2)), pick_y((0, 1, 2))), "more")
        rules: tuple[Rule | None, ...] = (rule_x, rule_y)
        only_x, only_y = (rule_x, None), (None, rule_y)
        nothing = ((), ())
        loud = getattr(forward, "loud", None)

        @wraps(described)
        def operation(x: Any, y: Any) -> Any:
            mode = current()
            if not mode.plain:
                return record(op, forward, (x, y), (rule_x, rule_y))
            p = q = None
            if isinstance(x, Handle):
                a = x._data
                p = x.node
            elif x.__class__ is float:
                a = x
            else:
                a = operand(x, op)
                if isinstance(a, Handle):
                    return operation(a, y)
            if isinstance(y, Handle):
                b = y._data
                q = y.node
            elif y.__class__ is float:
                b = y
            else:
                b = operand(y, op)
                if isinstance(b, Handle):
                    return operation(x, b)
            if a.__class__ is not b.__class__:  # one of them may be a Python number
                if a.__class__ is ndarray:
                    b = scalar_like(b, a)
                else:
                    a = scalar_like(a, b)
            try:
                if loud is not None and a.__class__ is ndarray and (b.__class__ is ndarray or not hasattr(b, "dtype")):
                    out = _quiet.run(loud, a, b)
                else:
                    out = forward(a, b)
            except (ValueError, TypeError) as error:
                raise forward_error(op, (a, b), error) from error
            shape = out.shape
            if not shape and isinstance(out, np.generic):
                out = np.asarray(out)
            if p is not None and p.requires_grad and mode.grad:
                if q is not None and q.requires_grad:
                    needed = rules
                    if saves == "nothing":
                        saved: Any = nothing
                    elif saves == "the other":
                        saved = ((b,), (a,))
                    else:
                        saved = (pick_x((a, b, out)), pick_y((a, b, out)))
                else:
                    needed = only_x
                    saved = (pick_x((a, b, out)), ())
                    q = constant(y)
            elif q is not None and q.requires_grad and mode.grad:
                needed = only_y
                saved = ((), pick_y((a, b, out)))
                p = constant(x)
            else:
                return unrecorded(out, (p, q), op, mode)
            return recorded(out, shape, op, (p, q), needed, saved, mode)

        return operation  # type: ignore[return-value]

    return decorate
