"""Writing by index: in place, with a gradient, and as a function that returns a new Tensor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.arrays import arange_like
from ..engine.frames import place, user_frame
from ..engine.graph import Leaf, Node, extra, getter
from ..engine.mode import current
from ..engine.record import Handle, Tensor, TensorLike, constant, operand, record, tensor_of
from ..engine.shapes import broadcast_error, normalised_axis
from ..engine.staging import array_of, indivisible
from ..engine.writes import written
from ..errors import DTypeError, GraphError, InplaceError, ShapeError
from .arithmetic import add
from .indexing import scatter
from .keys import checked_index, index_array, joined_index, split_index, with_index
from .shaping import broadcast_to
from .tiling import resize
from .views import is_view, live_views, shaped

__all__ = ["fill_diagonal", "put_along_axis", "scatter_add", "setitem"]


@indivisible
def _selected(like: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """A mask of what an index selects, of the same class of array as ``like``."""
    mask = np.zeros_like(like, dtype=bool, shape=shape)
    mask[key] = True
    return mask


@indivisible
def _last_written(like: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """A mask of the values written at an index that remain: the last one written to each element."""
    writer = np.zeros_like(like, dtype=np.intp, shape=shape)
    order = np.reshape(arange_like(writer[key].size, like), writer[key].shape)
    writer[key] = order
    return writer[key] == order


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Handle) else value


def setitem(y: Tensor, key: Any, value: TensorLike, /) -> None:
    """``y[key] = value``, in place. Overwritten elements get a gradient of zero; the value gets its own.

    Under ``no_grad()``, and if nothing requires a gradient, it is a plain write. If the value requires a gradient and
    y does not, y gets its own memory first.

    Raises:
        GraphError: y is a leaf that requires a gradient.
        InplaceError: y is a view, or a view of y is in use: their history would no longer match their values.
        DTypeError: the value cannot be cast to y's dtype (casting "same_kind").
        ShapeError: the value does not broadcast to the selection.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> y = 3 * x
    >>> y[0] = 7.0
    >>> y.sum().backward()
    >>> x.grad
    array([0., 3.])
    """
    _write("setitem", y, key, value)


def _write(op: str, y: Tensor, key: Any, value: TensorLike) -> None:
    mode = current()
    static, indices = split_index(key, op)
    given: Any = value if isinstance(value, Handle) else operand(value, op)
    source = given.node if isinstance(given, Handle) else None
    wanted = mode.grad and (y.requires_grad or (source is not None and source.requires_grad))
    if wanted:
        _refuse_to_write(op, y)
        if not (y.requires_grad and y.shape):
            y._data = np.copy(array_of(y))
    frame = user_frame(sys._getframe(2))
    by = f"{op} at {place(frame.f_code, frame.f_lasti)}"
    array = array_of(y)
    plain = tuple(array_of(i) for i in indices)
    _put(op, array, joined_index(static, plain), array_of(given) if hasattr(given, "dtype") else given)
    written(array, by)
    if not wanted:
        return
    shape = y.shape
    axes = len(np.shape(given))

    def d_y(xp: Any, g: Any, index: Any) -> Any:
        return xp.where(_selected(_plain(g), joined_index(static, tuple(map(_plain, index))), shape), 0, g)

    def d_value(xp: Any, g: Any, index: Any) -> Any:
        part = g[joined_index(static, index)]
        if indices:
            last = _last_written(_plain(g), joined_index(static, tuple(map(_plain, index))), shape)
            part = xp.where(last, part, 0)
        more = axes - len(part.shape)  # NumPy allows more leading axes of length 1 in a value than it selects
        return xp.reshape(part, (1,) * more + part.shape) if more > 0 else part

    old = y.node
    inputs = (old, *(constant(i) for i in indices), source)
    rules = (
        with_index(len(indices), d_y) if y.requires_grad else None,
        *[None] * len(indices),
        with_index(len(indices), d_value) if source is not None and source.requires_grad else None,
    )
    # The rules need neither y nor the value: they save only the index arrays, which are between them in ``values``.
    values = (None, *plain, None, None)
    saved = tuple(() if rule is None else getter(rule)(values) for rule in rules)
    y.node = Node(op, inputs, rules, saved, y.data, y.data.shape, frame.f_code, frame.f_lasti, mode.scope)
    _move_extra(y, old, y.node)


def put_along_axis(y: Tensor, indices: TensorLike, values: TensorLike, /, axis: int = -1) -> None:
    """Write values in place where :func:`take_along_axis` would read them, as ``y[...] = values`` does.

    ``indices`` has as many axes as ``y``, and broadcasts with it along all axes but this one; ``values``
    broadcast with the indices. Of several values for one element, the last remains. Raises the same errors as
    ``y[...] = v``.

    >>> import tensorgrad as tg
    >>> y = +tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> tg.put_along_axis(y, [[1], [0]], 9.0, axis=1)
    >>> y.data.tolist()
    [[1.0, 9.0], [9.0, 4.0]]
    """
    op = "put_along_axis"
    places = index_array(indices, op)
    if places.dtype.kind == "b":
        raise DTypeError(f"{op}: indices must be integers, got booleans; write y[mask] = values")
    shape = y.shape
    axis = normalised_axis(axis, len(shape), op)
    others = [(m, n) for i, (m, n) in enumerate(zip(shape, places.shape)) if i != axis]
    if len(places.shape) != len(shape) or any(m != n and 1 not in (m, n) for m, n in others):
        raise ShapeError(
            f"{op}: indices of shape {places.shape} do not match an array of shape {shape} along axis {axis}: the "
            f"other axes must agree or have length 1"
        )
    key = tuple(
        places if i == axis else np.reshape(arange_like(n, places), (n,) + (1,) * (len(shape) - i - 1))
        for i, n in enumerate(shape)
    )
    _write(op, y, key, values)


def fill_diagonal(y: Tensor, value: TensorLike, /) -> None:
    """Write to the main diagonal in place, as ``y[...] = value`` does: a number, or numbers that are repeated.

    Raises ShapeError for fewer than two axes, and for more than two of different lengths; otherwise the same errors
    as ``y[...] = v``.

    >>> import tensorgrad as tg
    >>> y = tg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tg.fill_diagonal(y, 0.0)
    >>> y.data.tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    shape = y.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(f"fill_diagonal: shape {shape} has no main diagonal, expected two axes, or more of one length")
    length = min(shape)
    if shaped(value, "fill_diagonal").shape:
        value = resize(value, (length,))
    _write("fill_diagonal", y, (arange_like(length, y),) * len(shape), value)


def scatter_add(x: TensorLike, key: Any, values: TensorLike, /) -> Tensor:
    """A copy of ``x`` with ``values`` added at ``x[key]``: values at repeated indices add up.

    ``key`` is any index (slices, arrays of integers, masks, a tuple of them). Raises IndexError for an index out of
    bounds, ShapeError if the values do not broadcast to the selection.

    >>> import tensorgrad as tg
    >>> tg.scatter_add([1.0, 2.0, 3.0], [0, 0], [10.0, 20.0])
    Tensor([31.,  2.,  3.], dtype=float64)
    """
    op = "scatter_add"
    source = shaped(x, op)
    shape = source.shape
    static, indices = split_index(key, op)
    array = array_of(source)
    part = checked_index(op, lambda: array[joined_index(static, tuple(map(array_of, indices)))], shape).shape
    added: Any = values if isinstance(values, Handle) else operand(values, op)
    if hasattr(added, "dtype"):
        error = broadcast_error(op, added.shape, part)
        if error is not None or np.broadcast_shapes(added.shape, part) != part:
            raise error or ShapeError(
                f"{op}: values of shape {added.shape} do not broadcast to the selection of shape {part}"
            )
        added = broadcast_to(added, part)
    else:  # a Python scalar, which is weak
        added = np.full_like(array, added, dtype=np.result_type(array.dtype, added), shape=part)
    return add(source, scatter(added, joined_index(static, indices), shape))


def write_recorded(y: Tensor, other: TensorLike, operation: Callable[[Any, Any], Any], op: str, by: str) -> None:
    """``y = operation(y, other)`` in place, recorded: y keeps its identity and its memory, and gets a new history.

    Raises the same errors as :func:`setitem`, and ShapeError if the result does not have the shape of y.
    """
    _refuse_to_write(op, y)
    old = y.node
    result = operation(tensor_of(np.copy(array_of(y)), old), other)
    if result.shape != y.shape:
        raise ShapeError(
            f"{op}: the result has shape {result.shape}, not {y.shape}, so it cannot be written in place; "
            f"write x = x {op[:-1]} ... for a new Tensor"
        )
    if not np.can_cast(result.dtype, y.dtype, "same_kind"):
        raise DTypeError(
            f"{op}: the result has dtype {result.dtype} and cannot be cast to {y.dtype} in place; write "
            f"x = x {op[:-1]} ... for a new Tensor"
        )
    if result.dtype != y.dtype:
        result = record("astype", lambda a: a.astype(y.dtype), (result,), (lambda xp, g: g,))
    if y.requires_grad and y.shape:
        _put(op, array_of(y), Ellipsis, array_of(result))
        written(array_of(y), by)
    else:  # a constant may share memory with another array, and a scalar's node holds its value
        y._data = array_of(result)
    y.node = result.node
    assert y.node is not None
    _move_extra(y, old, y.node)


def _move_extra(y: Tensor, old: Node | None, new: Node) -> None:
    """Move the name, and the request to retain the gradient, to the new node; hooks stay with the old one."""
    if old is None or old.extra is None:
        return
    extra(new).label = old.extra.label
    if not isinstance(old, Leaf):
        extra(new).owner, old.extra.owner = old.extra.owner, None


def _refuse_to_write(op: str, y: Tensor) -> None:
    node = y.node
    if node is None or not node.requires_grad:
        if getattr(y.data, "base", None) is not None:
            raise InplaceError(
                f"{op}: the value requires grad, but this constant of shape {y.shape} shares the "
                f"memory of another array, which would not record the write; index that array, or "
                f"write to a copy, t = +t"
            )
        return
    if isinstance(node, Leaf):
        raise GraphError(
            f"{op}: this Tensor of shape {y.shape} is a leaf that requires grad, and its own gradient "
            f"would be lost; update it under `with tg.no_grad():`, or write to a copy, y = +x"
        )
    if is_view(y):
        raise InplaceError(
            f"{op}: this Tensor of shape {y.shape} is a view, made by {node.op} (at "
            f"{place(node.code, node.lasti)}), and its base would not record the write; write through the "
            f"base, or to a copy, t = +t"
        )
    made = _view_in_use(y)
    if made is not None:
        raise InplaceError(
            f"{op}: a view of this Tensor is in use, made by {made}, and would show the new values with "
            f"the old history; copy it, +view, or write before it is made"
        )


def _view_in_use(y: Tensor) -> str | None:
    # A separate function, because the exception keeps the frame that raises alive, and that must not keep the view.
    for other in live_views(y):
        if other.node is not None:
            return f"{other.node.op} (at {place(other.node.code, other.node.lasti)})"
    return None


def _put(op: str, array: Any, key: Any, value: Any) -> None:
    dtype = getattr(value, "dtype", None)
    if dtype is None:  # a Python scalar, which is weak; a traced one is a float
        dtype = np.result_type(array.dtype, 0.0 if hasattr(value, "__traced_number__") else value)
    if not np.can_cast(dtype, array.dtype, "same_kind"):
        raise DTypeError(
            f"{op}: a value of dtype {dtype} cannot be cast to {array.dtype} in place; write "
            f"value.astype({array.dtype.name!r})"
        )
    try:
        array[key] = value
    except IndexError as error:
        raise IndexError(f"{op}: {error} (shape {array.shape})") from error
    except ValueError as error:
        if "read-only" in str(error):
            raise InplaceError(f"{op}: this Tensor's memory is read-only; write to a copy, t = +t") from error
        np.asarray(value)  # a batched array raises its own error: it cannot be written into a plain one
        part = array[key].shape
        raise broadcast_error(op, part, np.shape(value)) or ShapeError(
            f"{op}: a value of shape {np.shape(value)} does not match the selection of shape {part}: {error}"
        ) from error
