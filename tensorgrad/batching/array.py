"""An array class with a hidden leading axis: many arrays of one shape that behave like a single one.

It implements NumPy's protocols (NEP 13 and 18), so forward functions and rules run on it unchanged, for all elements
of the batch at once. :mod:`.functions` says how NumPy's functions treat the hidden axis; a function that is not
there is called for one element after the other, which is slower but correct.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from ..engine.duck import WRITING, DuckArray
from ..engine.record import Handle
from ..engine.trees import alike
from ..errors import Unbatchable
from . import functions, indices
from .layout import aligned, hidden_of, level_of, mapped_batches

__all__ = ["Batched", "new_level", "unwrapped"]

new_level: Callable[[], int] = count(1).__next__


def unwrapped(value: Any) -> Any:
    """The ndarray inside a batch, or inside batches of batches, with all elements.

    >>> unwrapped(Batched(np.ones((3, 2)), 1)).shape
    (3, 2)
    """
    while isinstance(value, Batched):
        value = value.hidden
    return value


class Batched(DuckArray):
    """Arrays of one shape, along the first axis of ``hidden``; ``shape`` is the shape of each.

    A batch of batches has a higher ``level`` than those, and treats them like any other array. A plain array combined
    with a batch is the same for every element.

    >>> rows = Batched(np.arange(6.0).reshape(3, 2), 1)
    >>> rows.shape, (rows + np.ones(2)).sum().hidden
    ((2,), array([ 3.,  7., 11.]))
    """

    __slots__ = ("hidden", "level")
    kind = "a batch of arrays"

    def __init__(self, hidden: Any, level: int) -> None:
        self.hidden = hidden
        self.level = level

    # --- properties of one element -----------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes of one element."""
        return self.hidden.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self.hidden.dtype

    @property
    def base(self) -> Any:
        """The array that owns the memory; never None, so that the engine does not add to it in place."""
        return self.hidden

    @property
    def whole(self) -> Any:
        """All elements: see :func:`unwrapped`."""
        return unwrapped(self)

    def _backing(self) -> Any:
        return unwrapped(self)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.hidden.shape[0]} arrays of {self.dtype}{list(self.shape)}>"

    # --- computations ------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Handle) for value in inputs):
            return NotImplemented  # a Tensor records the operation
        level = level_of((inputs, kwargs)) if kwargs else max(getattr(value, "level", 0) for value in inputs)
        if method == "__call__" and ufunc.signature is None and not kwargs:
            result = ufunc(*aligned(level, inputs))
            return Batched(result, level) if type(result) is not tuple else _wrapped(result, level)
        if method == "at":
            return _added_at(level, ufunc, *inputs)
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if "where" in kwargs and "out" in kwargs:  # elements that are not computed keep their values
            _target(kwargs["out"][0], level)
            _each(level, function, inputs, kwargs)
            return kwargs["out"][0]
        out = kwargs.pop("out", None)
        result = functions.ufunc(level, function, ufunc, method, inputs, kwargs)
        result = _each(level, function, inputs, kwargs) if result is NotImplemented else _wrapped(result, level)
        if out is None:
            return result
        return _put(out[0], result)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if any(issubclass(kind, Handle) for kind in types):
            return NotImplemented
        if function in WRITING and args and not isinstance(args[0], Batched):
            _target(args[0], level_of((args, kwargs)))  # one array cannot hold what differs within the batch
        tell = functions.ANSWERS.get(function)
        if tell is not None:
            return tell(*args, **kwargs)
        level = level_of((args, kwargs))
        rule = functions.RULES.get(function)
        if rule is not None and not level_of(kwargs):
            result = rule(level, function, *args, **kwargs)
            if result is not NotImplemented:
                return _wrapped(result, level)
        return _each(level, function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        level = level_of((self, index))
        place = indices.Place.of(level, self, index)
        if place is None:
            return _each(level, lambda a, i: a[i], (self, index), {})
        hidden = hidden_of(self, level)
        if hidden is None:  # a batch of a lower level, which is the same for all elements of this one
            hidden = np.broadcast_to(self, (len(place.key[0]), *self.shape))
        return Batched(place.read(hidden), level)

    def __setitem__(self, index: Any, value: Any) -> None:
        _written(self, level_of((self, index, value)), index, value)

    def __each__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function that looks at values for each element."""
        return _each(level_of((args, kwargs)), function, args, kwargs)

    def __lift__(self, array: Any) -> Batched:
        """A plain array as a batch that can be indexed with this one; not a copy, and read-only."""
        return Batched(np.broadcast_to(array, (self.hidden.shape[0], *array.shape)), self.level)

    def astype(self, dtype: Any, copy: bool = True) -> Batched:
        """Like ``ndarray.astype``."""
        return Batched(self.hidden.astype(dtype, copy=copy), self.level)

    @property
    def real(self) -> Batched:
        """Like ``ndarray.real``."""
        return Batched(self.hidden.real, self.level)

    @property
    def imag(self) -> Batched:
        """Like ``ndarray.imag``."""
        return Batched(self.hidden.imag, self.level)

    # --- values that must be the same for all elements ---------------------------------------------------

    def item(self, *index: Any) -> Any:
        """The only number of each element, if all have the same. Raises Unbatchable if not."""
        if index:
            return self[index].item()
        if self.size != 1:
            raise ValueError(f"an array of shape {self.shape} is not a single value")
        values = np.ravel(unwrapped(self))
        if not values.size or not (values == values[0]).all():
            raise Unbatchable(
                f"Python code (`if`, float(), int()) needs a value that differs within a batch of "
                f"{self.hidden.shape[0]}; select with tg.where instead"
            )
        return values[0].item()

    def tolist(self) -> Any:
        """Like ``ndarray.tolist``, if all elements are the same."""
        return [part.tolist() for part in self] if self.shape else self.item()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.shape:
            raise TypeError(f"an index must be an integer, got {self!r}")
        return int(self.item())

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise Unbatchable(
            f"np.asarray() of {self!r}, or a function that only takes ndarrays, cannot be computed for a whole batch "
            f"at once; loop over its elements"
        )


def _wrapped(result: Any, level: int) -> Any:
    if isinstance(result, tuple | list):
        parts = [_wrapped(part, level) for part in result]
        return alike(result, parts)
    return Batched(result, level)


def _each(level: int, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a function for one element after the other, and stack the results."""
    sizes: list[int] = []
    mapped_batches(lambda b: sizes.append(b.hidden.shape[0]), (args, kwargs), level)

    def one(i: int) -> Any:
        mine, named = mapped_batches(lambda b: b.hidden[i, ...], (args, kwargs), level)
        return function(*mine, **named)

    return _stacked([one(i) for i in range(sizes[0])], level, function)


def _stacked(results: list[Any], level: int, function: Any) -> Any:
    if not results:
        raise Unbatchable(f"{getattr(function, '__name__', function)} of an empty batch has no known shape")
    first = results[0]
    if first is None:
        return None
    if isinstance(first, tuple | list):
        parts = [_stacked(list(part), level, function) for part in zip(*results, strict=True)]
        return alike(first, parts)
    shapes = {np.shape(part) for part in results}
    if len(shapes) > 1:
        raise Unbatchable(
            f"{getattr(function, '__name__', function)} returns arrays of different shapes "
            f"({', '.join(map(str, sorted(shapes)))}) within one batch"
        )
    return Batched(np.stack(results), level)


def _target(target: Any, level: int) -> Any:
    hidden = hidden_of(target, level)
    if hidden is None:
        raise Unbatchable(
            f"a batch of arrays cannot be written to a single array of shape {np.shape(target)}; write a = a + b"
        )
    return hidden


def _written(target: Any, level: int, index: Any, value: Any) -> None:
    hidden = _target(target, level)
    place = indices.Place.of(level, target, index)
    if place is None:
        _each(level, lambda a, i, v: a.__setitem__(i, v), (target, index, value), {})
    else:
        place.write(hidden, value)


def _put(target: Any, result: Batched) -> Any:
    """Write a result to the target of ``out=``, and return the target."""
    if not isinstance(target, Batched):
        _target(target, result.level)
    if target.level == result.level and type(target.hidden) is type(result.hidden) is np.ndarray:
        np.copyto(target.hidden, result.hidden)
    else:  # the target was the same for all elements of a batch, and no longer is
        target.hidden, target.level = result.hidden, result.level
    return target


def _added_at(level: int, ufunc: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    hidden = _target(target, level)
    place = indices.Place.of(level, target, index)
    if place is None or len(values) != 1:
        _each(level, ufunc.at, (target, index, *values), {})
    else:
        place.add(ufunc, hidden, *values)
