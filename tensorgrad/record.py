"""Recording: how an operation's forward function and rules become a result with a node behind it.

There are two ways in. :func:`record` serves every operation. :func:`unary` and :func:`binary` make
elementwise operations, whose rules need no facts about the call: what can be worked out once is, so that
recording costs about a microsecond. ``benchmarks/per_op.py`` measures it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import ArrayLike

from .errors import DTypeError
from .frames import LIBRARY, user_frame
from .graph import Constant, Node, Rule, Summary, elementwise, getters
from .mode import current
from .shapes import broadcast_error

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Handle", "TensorLike", "binary", "handle", "operand", "record", "results_are", "unary"]

P = ParamSpec("P")
_new = object.__new__
_getframe = sys._getframe


class Handle:
    """What an operation knows of a Tensor: its array and its node.

    ``node`` is None as long as nothing was recorded of a Tensor that requires no gradient.
    """

    __slots__ = ("__weakref__", "_grad", "data", "node")
    data: Any
    node: Node | None
    _grad: Any


TensorLike = Handle | ArrayLike

_result_type: Any = Handle


def results_are(cls: type[Handle]) -> None:
    """Say of which class results are: :class:`tensorgrad.Tensor`, which is built on the operations."""
    global _result_type
    _result_type = cls


def handle(data: Any, node: Node | None) -> Tensor:
    """A Tensor around an array, as it is."""
    result = _new(_result_type)
    result.data = data
    result.node = node
    return result


# --- operands -------------------------------------------------------------------------------------------


def operand(value: Any, op: str) -> Any:
    """What an operation computes with when it is given something that is not a Tensor.

    Python scalars stay as they are, and NumPy's scalars become Python's, so that they do not decide about
    dtypes. Arrays, of NumPy or of a class that speaks its protocols, stay as they are. Lists are converted.
    """
    kind = type(value)
    if kind is float or kind is int or kind is bool or kind is complex:
        return value
    if isinstance(value, np.generic):
        return checked(value, op).item()
    if kind is not np.ndarray and not hasattr(value, "__array_function__"):
        return value if hasattr(value, "__traced_number__") else as_array(value, op)
    return checked(value, op)


def as_array(value: Any, op: str) -> Any:
    """A nested list (or anything else NumPy takes) as an array, or an error that names the operation."""
    try:
        return checked(np.asarray(value), op)
    except ValueError as error:
        raise DTypeError(f"{op}: got a {type(value).__name__} that makes no array ({error})") from error


def checked(array: Any, op: str) -> Any:
    """The array, if it holds numbers or booleans."""
    if array.dtype.kind not in "fbiuc":
        raise DTypeError(
            f"{op}: got {type(array).__name__} of dtype {array.dtype}, expected numbers or booleans; "
            f"convert it first, for example with np.asarray(value, dtype=np.float64)"
        )
    if type(array) is not np.ndarray and hasattr(array, "filled"):  # np.ma, not imported for the question
        raise DTypeError(f"{op}: got a masked array, whose mask would be lost; write array.filled(value)")
    return array


def constant(value: Any) -> Any:
    """How a node remembers an input that needs no gradient."""
    if isinstance(value, Handle):
        if value.node is None:
            value.node = Constant(value)
        return value.node
    return value if isinstance(value, int | float | complex) else None


def failed(op: str, arrays: Sequence[Any], error: Exception) -> Exception:
    """The error to raise when NumPy refused the operands: ours, if it is about their shapes."""
    if isinstance(error, np.linalg.LinAlgError):
        return error
    better = broadcast_error(op, *(np.shape(a) for a in arrays))
    if better is not None:
        return better
    if type(error) in (ValueError, TypeError):
        return type(error)(f"{op}: {error}")
    return error


# --- recording ------------------------------------------------------------------------------------------


def record(
    op: str,
    forward: Callable[..., Any],
    inputs: Sequence[Any],
    rules: Sequence[Rule],
) -> Tensor:
    """Compute ``forward(*arrays)`` and, where a gradient may be needed, record it.

    ``rules[i]`` gives the gradient for ``inputs[i]``: see :mod:`tensorgrad.graph` for what it is called with.
    Rules and forward close over static facts only (a shape, an axis, an index), never over an array.
    """
    mode = current()
    tracer = mode.tracer
    if tracer is not None:
        tracer.enter(op)
    arrays = []
    wanted = False
    for value in inputs:
        if isinstance(value, Handle):
            arrays.append(value.data if tracer is None else tracer.lift(value))
            if value.node is not None and value.node.requires_grad:
                wanted = True
        else:
            array = operand(value, op)
            arrays.append(array if tracer is None else tracer.lift(array))
    try:
        out = forward(*arrays)
    except (ValueError, TypeError) as error:
        raise failed(op, arrays, error) from error
    if isinstance(out, np.generic):
        out = np.asarray(out)
    if not (wanted and mode.grad) or out.dtype.kind not in "fc":
        return handle(out, None)
    nodes = tuple(
        value.node if isinstance(value, Handle) and value.node is not None else constant(value) for value in inputs
    )
    try:
        needed = tuple(
            rule if isinstance(node, Node) and node.requires_grad else None
            for node, rule in zip(nodes, rules, strict=True)
        )
    except ValueError as error:
        raise ValueError(f"{op}: got {len(rules)} rules for {len(inputs)} inputs, expected one for each") from error
    values = (*arrays, out)
    saved = tuple(() if rule is None else pick(values) for rule, pick in zip(needed, getters(rules), strict=True))
    frame = user_frame(_getframe(1))
    node = Node(op, nodes, needed, saved, out, out.shape, frame.f_code, frame.f_lasti, mode.scope)
    if mode.keep and out.shape:
        node.value = Summary.of(out)
    return handle(out, node)


def unary(forward: Callable[..., Any], rule: Rule) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Make an elementwise operation of one argument. The decorated function gives its name and docstring."""

    def decorate(described: Callable[P, Any]) -> Callable[P, Tensor]:
        op = described.__name__
        elementwise.add(op)
        (pick,) = getters((rule,))
        rules = (rule,)

        @wraps(described)
        def operation(x: Any) -> Any:
            mode = current()
            if not (isinstance(x, Handle) and mode.plain):
                return record(op, forward, (x,), rules)
            a = x.data
            node = x.node
            out = forward(a)
            shape = out.shape
            if not shape and isinstance(out, np.generic):
                out = np.asarray(out)
            result = _new(_result_type)
            result.data = out
            if node is None or not (node.requires_grad and mode.grad):
                result.node = None
                return result
            frame = _getframe(1)
            code = frame.f_code
            while LIBRARY[code.co_filename] and frame.f_back is not None:
                frame = frame.f_back
                code = frame.f_code
            result.node = Node(op, (node,), rules, (pick((a, out)),), out, shape, code, frame.f_lasti, mode.scope)
            return result

        return operation  # type: ignore[return-value]

    return decorate


def binary(
    forward: Callable[..., Any], rule_x: Rule, rule_y: Rule
) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Make an elementwise operation of two arguments that broadcast together."""

    def decorate(described: Callable[P, Any]) -> Callable[P, Tensor]:
        op = described.__name__
        elementwise.add(op)
        pick_x, pick_y = getters((rule_x, rule_y))
        rules: tuple[Rule | None, ...] = (rule_x, rule_y)
        only_x, only_y = (rule_x, None), (None, rule_y)
        nothing = (
            ((), ()) if not pick_x((0, 0, 0)) and not pick_y((0, 0, 0)) else None
        )  # neither rule needs anything saved

        @wraps(described)
        def operation(x: Any, y: Any) -> Any:
            mode = current()
            if not mode.plain:
                return record(op, forward, (x, y), (rule_x, rule_y))
            if isinstance(x, Handle):
                a = x.data
                p = x.node
            else:
                a = operand(x, op)
                p = None
            if isinstance(y, Handle):
                b = y.data
                q = y.node
            else:
                b = operand(y, op)
                q = None
            try:
                out = forward(a, b)
            except (ValueError, TypeError) as error:
                raise failed(op, (a, b), error) from error
            shape = out.shape
            if not shape and isinstance(out, np.generic):
                out = np.asarray(out)
            result = _new(_result_type)
            result.data = out
            if p is not None and p.requires_grad and mode.grad:
                if q is not None and q.requires_grad:
                    needed = rules
                    saved = nothing or (pick_x((a, b, out)), pick_y((a, b, out)))
                else:
                    needed = only_x
                    saved = (pick_x((a, b, out)), ())
                    q = constant(y)
            elif q is not None and q.requires_grad and mode.grad:
                needed = only_y
                saved = ((), pick_y((a, b, out)))
                p = constant(x)
            else:
                result.node = None
                return result
            frame = _getframe(1)
            code = frame.f_code
            while LIBRARY[code.co_filename] and frame.f_back is not None:
                frame = frame.f_back
                code = frame.f_code
            result.node = Node(op, (p, q), needed, saved, out, shape, code, frame.f_lasti, mode.scope)
            return result

        return operation  # type: ignore[return-value]

    return decorate
