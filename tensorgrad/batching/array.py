"""An array class with a hidden leading axis: many arrays of one shape that are computed with as if they were one.

It speaks NumPy's protocols (NEP 13 and 18), so forward functions and rules run on it unchanged, and what they compute
they compute for all elements of the batch at once. How NumPy's functions treat the hidden axis is in
:mod:`.functions`; whatever is not there is done for one element after the other, so that it is right.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from ..engine.duck import DuckArray
from ..engine.record import Handle
from ..engine.trees import alike
from ..errors import Unbatchable
from . import functions, indices
from .layout import aligned, level_of, opened, treated

__all__ = ["Batched", "new_level", "together"]

new_level: Callable[[], int] = count(1).__next__


def together(value: Any) -> Any:
    """The ndarray behind batches of batches: all elements of all of them.

    >>> together(Batched(np.ones((3, 2)), 1)).shape
    (3, 2)
    """
    while isinstance(value, Batched):
        value = value.hidden
    return value


class Batched(DuckArray):
    """Arrays of one shape, along the first axis of ``hidden``; ``shape`` is that of one of them.

    A batch within a batch has a higher ``level``, and for it the lower one is an array like any other. A plain array
    among batches stands for itself in every element.

    >>> rows = Batched(np.arange(6.0).reshape(3, 2), 1)
    >>> rows.shape, (rows + np.ones(2)).sum().hidden
    ((2,), array([ 3.,  7., 11.]))
    """

    __slots__ = ("hidden", "level")
    kind = "a batch of arrays"

    def __init__(self, hidden: Any, level: int) -> None:
        self.hidden = hidden
        self.level = level

    # --- what one element looks like ---------------------------------------------------------------------

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
        """The array that owns the memory: never None, so that the engine does not add to it in place."""
        return self.hidden

    @property
    def whole(self) -> Any:
        """All elements: see :func:`together`."""
        return together(self)

    def _behind(self) -> Any:
        return together(self)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.hidden.shape[0]} arrays of {self.dtype}{list(self.shape)}>"

    # --- what is computed --------------------------------------------------------------------------------

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
        if "where" in kwargs and "out" in kwargs:  # what is not computed stays as it is
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
        hidden = opened(self, level)
        if hidden is None:  # a batch of a lower level: the same for all elements of this one
            hidden = np.broadcast_to(self, (len(place.key[0]), *self.shape))
        return Batched(place.read(hidden), level)

    def __setitem__(self, index: Any, value: Any) -> None:
        _written(self, level_of((self, index, value)), index, value)

    def __each__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function that looks at values gives for each element."""
        return _each(level_of((args, kwargs)), function, args, kwargs)

    def __lift__(self, array: Any) -> Batched:
        """A plain array, as one that can be indexed with this: without a copy, it cannot be written to."""
        return Batched(np.broadcast_to(array, (self.hidden.shape[0], *array.shape)), self.level)

    def astype(self, dtype: Any, copy: bool = True) -> Batched:
        """As ndarray.astype."""
        return Batched(self.hidden.astype(dtype, copy=copy), self.level)

    @property
    def real(self) -> Batched:
        """As ndarray.real."""
        return Batched(self.hidden.real, self.level)

    @property
    def imag(self) -> Batched:
        """As ndarray.imag."""
        return Batched(self.hidden.imag, self.level)

    # --- what has to be the same for all elements --------------------------------------------------------

    def item(self, *index: Any) -> Any:
        """The only number of every element, if it is the same in all of them. Raises Unbatchable."""
        if index:
            return self[index].item()
        if self.size != 1:
            raise ValueError(f"an array of shape {self.shape} has no single value")
        values = np.ravel(together(self))
        if not values.size or not (values == values[0]).all():
            raise Unbatchable(
                f"Python code needs a value that differs within a batch of {self.hidden.shape[0]} (`if`, float(), "
                f"int()); choose with tg.where instead"
            )
        return values[0].item()

    def tolist(self) -> Any:
        """As ndarray.tolist, where all elements are the same."""
        return [part.tolist() for part in self] if self.shape else self.item()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.shape:
            raise TypeError(f"an index is an integer, got {self!r}")
        return int(self.item())

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise Unbatchable(
            f"np.asarray() of {self!r}, or a function that takes ndarrays only: it cannot be computed for a "
            f"whole batch at once; write a loop over its elements"
        )


def _wrapped(result: Any, level: int) -> Any:
    if isinstance(result, tuple | list):
        parts = [_wrapped(part, level) for part in result]
        return alike(result, parts)
    return Batched(result, level)


def _each(level: int, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What a function gives for each element, one after the other, stacked."""
    sizes: list[int] = []
    treated((args, kwargs), level, lambda b: sizes.append(b.hidden.shape[0]))

    def one(i: int) -> Any:
        mine, named = treated((args, kwargs), level, lambda b: b.hidden[i, ...])
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
            f"{getattr(function, '__name__', function)} gives arrays of shapes {', '.join(map(str, sorted(shapes)))} "
            f"within one batch"
        )
    return Batched(np.stack(results), level)


def _target(target: Any, level: int) -> Any:
    hidden = opened(target, level)
    if hidden is None:
        raise Unbatchable(
            f"a batch of arrays cannot be written into one array of shape {np.shape(target)}; write a = a + b"
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
    """The target of ``out=``, with the result in it."""
    if not isinstance(target, Batched):
        _target(target, result.level)
    if target.level == result.level and type(target.hidden) is type(result.hidden) is np.ndarray:
        np.copyto(target.hidden, result.hidden)
    else:  # what was the same for all elements of a batch no longer is
        target.hidden, target.level = result.hidden, result.level
    return target


def _added_at(level: int, ufunc: np.ufunc, target: Any, index: Any, *values: Any) -> None:
    hidden = _target(target, level)
    place = indices.Place.of(level, target, index)
    if place is None or len(values) != 1:
        _each(level, ufunc.at, (target, index, *values), {})
    else:
        place.add(ufunc, hidden, *values)
