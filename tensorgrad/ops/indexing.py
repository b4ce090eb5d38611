"""Indexing: reading, writing in place, and the gradient of both.

An index is taken apart once: what is static (integers, slices, None, Ellipsis) is closed over by the rules,
and arrays of integers or booleans become inputs of the operation, so that a compiled step may have others at
every run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from operator import index as integer
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import lifted, numbers
from ..arrays import scatter as scatter_arrays
from ..errors import DTypeError, GraphError, InplaceError, ShapeError
from ..frames import place, user_frame
from ..graph import Leaf, Node, Rule, extra, getters
from ..mode import current
from ..record import Handle, TensorLike, as_array, constant, operand, record
from ..shapes import broadcast_error, normalised_axis
from ..staging import array_of, indivisible
from ..writes import written
from .views import is_view, live_views, no_gradient, shaped, view

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["getitem", "scatter", "setitem", "take", "take_along_axis"]


class _Hole:
    """Stands for an array in the static part of an index."""


_HOLE = _Hole()


def _taken_apart(key: Any, op: str) -> tuple[Any, list[Any]]:
    """The static part of an index, with holes, and the arrays that belong there."""
    kind = type(key)
    if kind is int or (kind is slice and _static(key)):
        return key, []
    parts: list[Any] = []
    arrays: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        if part is None or part is Ellipsis:
            parts.append(part)
        elif isinstance(part, slice):
            parts.append(part if _static(part) else slice(*map(_bound, (part.start, part.stop, part.step))))
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            parts.append(int(part))
        else:
            arrays.append(_index_array(part, op))
            parts.append(_HOLE)
    return (tuple(parts) if isinstance(key, tuple) else parts[0]), arrays


def _static(key: slice) -> bool:
    return all(type(part) is int or part is None for part in (key.start, key.stop, key.step))


def _bound(value: Any) -> int | None:
    return None if value is None else integer(value)


def _index_array(part: Any, op: str) -> Any:
    if isinstance(part, Handle):
        array = part.data
    else:
        array = part if hasattr(part, "__array_function__") else as_array(part, op)
        if array.size == 0 and array.dtype.kind == "f" and array is not part:
            array = array.astype(np.intp)  # an empty list
    if array.dtype.kind not in "iub":
        raise DTypeError(
            f"{op}: an index is made of integers, booleans, slices, None and Ellipsis; got "
            f"{type(part).__name__} of dtype {array.dtype}"
        )
    if isinstance(part, Handle):
        return part
    # A later write to the caller's array must not change the gradient. (A compiler knows it by identity.)
    return np.copy(array) if array is part and current().tracer is None else array


def _together(static: Any, arrays: Any) -> Any:
    """The index again."""
    if static is _HOLE:
        return arrays[0]
    if not arrays or not isinstance(static, tuple):
        return static
    rest = iter(arrays)
    return tuple(next(rest) if part is _HOLE else part for part in static)


def _checked(op: str, function: Callable[[], Any], shape: tuple[int, ...]) -> Any:
    try:
        return function()
    except IndexError as error:
        raise IndexError(f"{op}: {error} (shape {shape})") from error


def _with_index(count: int, rule: Callable[[Any, Any, Any], Any]) -> Rule:
    """A rule that gets the index arrays, which follow ``x`` among the inputs: ``rule(xp, g, arrays)``."""
    if count == 0:
        return lambda xp, g: rule(xp, g, ())
    if count == 1:
        return lambda xp, g, y: rule(xp, g, (y,))
    if count == 2:
        return lambda xp, g, y, z: rule(xp, g, (y, z))
    return lambda xp, g, *xs: rule(xp, g, xs[1 : 1 + count])


def getitem(x: TensorLike, key: Any, /) -> Tensor:
    """``x[key]``: slices, integers, None, Ellipsis, arrays of integers (or Tensors of them), boolean masks.

    What is selected more than once gets the sum of its gradients. Slices and integers give a view.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, 0, 2]].sum().backward()
    >>> x.grad
    array([2., 0., 1.])
    """
    source = shaped(x, "getitem")
    shape = source.shape
    static, arrays = _taken_apart(key, "getitem")

    def forward(a: Any, *index: Any) -> Any:
        return _checked("getitem", lambda: lifted(a, *index)[_together(static, index)], shape)

    def d_x(xp: Any, g: Any, index: Any) -> Any:
        return xp.scatter(g, _together(static, index), shape)

    rule = _with_index(len(arrays), d_x)
    if arrays:
        return record("getitem", forward, (source, *arrays), (rule, *[no_gradient] * len(arrays)))
    return view("getitem", forward, source, rule)


def scatter(values: TensorLike, key: Any, shape: tuple[int, ...], /) -> Tensor:
    """Zeros of ``shape`` with ``values`` added at ``key``: what is indexed repeatedly adds up.

    >>> import tensorgrad as tg
    >>> scatter(tg.Tensor([1.0, 2.0]), [1, 1], (3,))
    Tensor([0., 3., 0.], dtype=float64)
    """
    static, arrays = _taken_apart(key, "scatter")

    def forward(a: Any, *index: Any) -> Any:
        return _checked("scatter", lambda: scatter_arrays(a, _together(static, index), shape), shape)

    def d_values(xp: Any, g: Any, index: Any) -> Any:
        return g[_together(static, index)]

    rule = _with_index(len(arrays), d_values)
    return record("scatter", forward, (shaped(values, "scatter"), *arrays), (rule, *[no_gradient] * len(arrays)))


def take(x: TensorLike, indices: TensorLike, /, axis: int | None = None) -> Tensor:
    """Elements at some indices of one axis; None counts through the flattened array.

    Raises IndexError for an index out of bounds.

    >>> import tensorgrad as tg
    >>> tg.take([[1.0, 2.0, 3.0]], [2, 0], axis=1)
    Tensor([[3., 1.]], dtype=float64)
    """
    source = shaped(x, "take")
    shape = source.shape
    places = _index_array(indices, "take")
    if places.dtype.kind == "b":
        raise DTypeError("take: indices are integers, got booleans; write x[mask]")
    if axis is not None:
        axis = normalised_axis(axis, len(shape), "take")
    before = (slice(None),) * (axis or 0)

    def forward(a: Any, index: Any) -> Any:
        return _checked("take", lambda: np.take(lifted(a, index), index, axis=axis), shape)

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        if axis is None:
            return xp.reshape(xp.scatter(g, (y,), (int(np.prod(shape)),)), shape)
        return xp.scatter(g, (*before, y), shape)

    return record("take", forward, (source, places), (d_x, no_gradient))


def take_along_axis(x: TensorLike, indices: TensorLike, /, axis: int = -1) -> Tensor:
    """One element (or several) along an axis for every position of the others, as picked by ``indices``.

    ``indices`` has as many axes as ``x``, and broadcasts with it along all axes but this one. Raises
    IndexError for an index out of bounds.

    >>> import tensorgrad as tg
    >>> tg.take_along_axis([[1.0, 2.0], [3.0, 4.0]], [[1], [0]], axis=1)
    Tensor([[2.],
            [3.]], dtype=float64)
    """
    op = "take_along_axis"
    source = shaped(x, op)
    shape = source.shape
    places = _index_array(indices, op)
    if places.dtype.kind == "b":
        raise DTypeError(f"{op}: indices are integers, got booleans")
    axis = normalised_axis(axis, len(shape), op)
    picked = places.shape
    others = [(m, n) for i, (m, n) in enumerate(zip(shape, picked)) if i != axis]
    if len(picked) != len(shape) or any(m != n and 1 not in (m, n) for m, n in others):
        raise ShapeError(
            f"{op}: indices of shape {picked} do not fit an array of shape {shape} along axis {axis}: the "
            f"other axes have to agree or have length 1"
        )
    length = shape[axis]
    column = (length,) + (1,) * (len(shape) - axis - 1)

    def forward(a: Any, index: Any) -> Any:
        return _checked(op, lambda: np.take_along_axis(a, index, axis), shape)

    def d_x(xp: Any, g: Any, y: Any) -> Any:
        if picked[axis] == 1:  # nothing can be picked twice
            along = np.reshape(numbers(length, y), column)
            return xp.where((y == along) | (y == along - length), g, 0)
        key = tuple(
            y if i == axis else np.reshape(numbers(n, y) % m, (n,) + (1,) * (len(shape) - i - 1))
            for i, (m, n) in enumerate(zip(shape, g.shape))
        )
        return xp.scatter(g, key, shape)

    return record(op, forward, (source, places), (d_x, no_gradient))


# --- writing in place -----------------------------------------------------------------------------------


@indivisible
def _selected(like: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """What an index selects, as a mask of the same class of array as ``like``."""
    mask = np.zeros_like(like, dtype=bool, shape=shape)
    mask[key] = True
    return mask


@indivisible
def _prevailing(like: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """Which of the values written at an index remain: of several for one element, the last."""
    writer = np.zeros_like(like, dtype=np.intp, shape=shape)
    order = np.reshape(numbers(writer[key].size, like), writer[key].shape)
    writer[key] = order
    return writer[key] == order


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Handle) else value


def setitem(y: Tensor, key: Any, value: TensorLike, /) -> None:
    """``y[key] = value``, in place. What is overwritten gets a gradient of zero; the value gets its own.

    Under ``no_grad()``, and where nothing requires a gradient, it is a plain write. A constant Tensor into
    which one that requires a gradient is written gets memory of its own first.

    Raises:
        GraphError: y is a leaf that requires a gradient.
        InplaceError: y is a view, or a view of y is in use: they would no longer know what they show.
        DTypeError: the value cannot be cast to y's dtype without loss of kind.
        ShapeError: the value does not broadcast to what is selected.

    >>> import tensorgrad as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> y = 3 * x
    >>> y[0] = 7.0
    >>> y.sum().backward()
    >>> x.grad
    array([0., 3.])
    """
    mode = current()
    static, indices = _taken_apart(key, "setitem")
    given: Any = value if isinstance(value, Handle) else operand(value, "setitem")
    source = given.node if isinstance(given, Handle) else None
    wanted = mode.grad and (y.requires_grad or (source is not None and source.requires_grad))
    if wanted:
        _refuse_to_write(y)
        if not (y.requires_grad and y.shape):
            y.data = np.copy(array_of(y))
    frame = user_frame(sys._getframe(1))
    by = f"setitem at {place(frame.f_code, frame.f_lasti)}"
    array = array_of(y)
    plain = tuple(array_of(i) for i in indices)
    _write(array, _together(static, plain), array_of(given) if hasattr(given, "dtype") else given)
    written(array, by)
    if not wanted:
        return
    shape = y.shape

    def d_y(xp: Any, g: Any, index: Any) -> Any:
        return xp.where(_selected(_plain(g), _together(static, tuple(map(_plain, index))), shape), 0, g)

    def d_value(xp: Any, g: Any, index: Any) -> Any:
        part = g[_together(static, index)]
        if not indices:
            return part
        last = _prevailing(_plain(g), _together(static, tuple(map(_plain, index))), shape)
        return xp.where(last, part, 0)

    old = y.node
    inputs = (old, *(constant(i) for i in indices), source)
    rules = (
        _with_index(len(indices), d_y) if y.requires_grad else None,
        *[None] * len(indices),
        _with_index(len(indices), d_value) if source is not None and source.requires_grad else None,
    )
    # The rules need neither y nor the value: what they save are the index arrays, which stand between them.
    values = (None, *plain, None, None)
    saved = tuple(() if rule is None else getters((rule,))[0](values) for rule in rules)
    y.node = Node("setitem", inputs, rules, saved, y.data, y.data.shape, frame.f_code, frame.f_lasti, mode.scope)
    _hand_over(y, old, y.node)


def _hand_over(y: Tensor, old: Node | None, new: Node) -> None:
    """The name, and the wish to keep the gradient, go on with the Tensor; hooks stay with the old value."""
    if old is None or old.extra is None:
        return
    extra(new).label = old.extra.label
    if not isinstance(old, Leaf):
        extra(new).owner, old.extra.owner = old.extra.owner, None


def _refuse_to_write(y: Tensor) -> None:
    node = y.node
    if node is None or not node.requires_grad:
        if getattr(y.data, "base", None) is not None:
            raise InplaceError(
                f"setitem: what is written requires grad, but this constant of shape {y.shape} shows "
                f"the memory of another array, which would not know of it; index that one, or "
                f"write to a copy, t = +t"
            )
        return
    if isinstance(node, Leaf):
        raise GraphError(
            f"setitem: this Tensor of shape {y.shape} is a leaf that requires grad, and its own gradient "
            f"would be lost; update it under `with tg.no_grad():`, or write to a copy, y = +x"
        )
    if is_view(y):
        raise InplaceError(
            f"setitem: this Tensor of shape {y.shape} is a view, made by {node.op} (at "
            f"{place(node.code, node.lasti)}), and its base would not know of the write; write through the "
            f"base, or to a copy, t = +t"
        )
    made = _view_in_use(y)
    if made is not None:
        raise InplaceError(
            f"setitem: a view of this Tensor is in use, made by {made}, and would show the new values with "
            f"the old history; make it a copy, +view, or write before it is made"
        )


def _view_in_use(y: Tensor) -> str | None:
    # In a function of its own: the frame that raises is kept with the exception, and must not keep the view.
    for other in live_views(y):
        if other.node is not None:
            return f"{other.node.op} (at {place(other.node.code, other.node.lasti)})"
    return None


def _write(array: Any, key: Any, value: Any) -> None:
    dtype = getattr(value, "dtype", None)
    if dtype is None:  # a Python scalar, which is weak; one that a compiler follows is a float
        dtype = np.result_type(array.dtype, 0.0 if hasattr(value, "__traced_number__") else value)
    if not np.can_cast(dtype, array.dtype, "same_kind"):
        raise DTypeError(
            f"setitem: cannot write {dtype} into {array.dtype} without losing its kind; write "
            f"value.astype({array.dtype.name!r})"
        )
    try:
        array[key] = value
    except IndexError as error:
        raise IndexError(f"setitem: {error} (shape {array.shape})") from error
    except ValueError as error:
        if "read-only" in str(error):
            raise InplaceError("setitem: this Tensor's memory is read-only; write to a copy, t = +t") from error
        np.asarray(value)  # a batch of arrays says itself that it cannot be written into one
        part = array[key].shape
        raise broadcast_error("setitem", part, np.shape(value)) or ShapeError(
            f"setitem: a value of shape {np.shape(value)} does not fit the selection of shape {part}: {error}"
        ) from error
