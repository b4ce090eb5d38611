"""User-defined operations: a NumPy function, together with a function that returns its gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from ..engine.graph import elementwise
from ..engine.record import Handle, operand, record
from ..engine.shapes import sum_to_shape
from ..engine.staging import indivisible
from ..errors import DTypeError, GraphError, ShapeError
from ..tensor import Tensor
from .call import name_of
from .joint import Joint

__all__ = ["Differentiable", "differentiable"]


def differentiable(function: Callable[..., Any]) -> Differentiable:
    """Make an operation of a NumPy function, with gradients that you provide.

    Tensors and arrays are passed by position; the function gets them as ndarrays (Python numbers unchanged) and
    returns an array, or a tuple of arrays. Keyword arguments are passed on unchanged, to both functions.

    ``@f.backward`` decorates the second function: given the gradient ``g`` of the result, the same inputs and the
    result, it returns a tuple with one gradient for each input (with a single input, an array will do). If there are
    several results, they and ``g`` are passed as tuples, with zeros for a result that was not used. Return None for an
    input that needs no gradient. A gradient has the shape of its input, or that of the result; the latter is summed
    over the axes along which the input was broadcast. Neither function may write to its arguments.

    For higher derivatives (``create_graph=True``, :func:`grad` of :func:`grad`) the backward function is called with
    Tensors: if it only uses operators and functions that work on Tensors (``np.exp`` does), it is differentiated in
    turn; otherwise it raises. A compiled step calls both functions as they are, in every run.
    :func:`tensorgrad.testing.gradcheck` checks the gradients.

    Raises:
        TypeError, ValueError, ShapeError, DTypeError, GraphError: one of the functions returned something wrong; the
            message names the function, the input, what was returned and what was expected.

    >>> import numpy as np, tensorgrad as tg
    >>> @tg.differentiable
    ... def softclip(x, limit):
    ...     return limit * np.tanh(x / limit)
    >>> @softclip.backward
    ... def _(g, x, limit, out):
    ...     slope = 1 - (out / limit) ** 2
    ...     return g * slope, g * (out / limit - x / limit * slope)
    >>> x = tg.Tensor([0.5, -3.0], requires_grad=True)
    >>> softclip(x, 1.0).sum().backward()
    >>> x.grad
    array([0.78644773, 0.00986604])
    >>> tg.testing.gradcheck(softclip, x, np.array([1.0, 2.0])).elements
    4
    """
    return Differentiable(function)


class Differentiable:
    """An operation made by :func:`differentiable`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"differentiable takes a function of arrays, got {type(function).__name__}")
        update_wrapper(self, function)
        self._function = function
        self._backward: Callable[..., Any] | None = None
        self._name = name_of(function)

    def backward(self, function: Callable[..., Any]) -> Differentiable:
        """Set the function that returns the gradients; a decorator."""
        if not callable(function):
            raise TypeError(
                f"{self._name}.backward is a decorator for the function that returns the gradients, "
                f"got {type(function).__name__}"
            )
        self._backward = function
        return self

    def __call__(self, *inputs: Any, **facts: Any) -> Any:
        """Compute the result (or a tuple of results), and record it if a gradient is needed."""
        if self._backward is None:
            raise GraphError(f"{self._name} has no gradients yet; write them with @{self._name}.backward")
        for key, value in facts.items():
            if isinstance(value, Handle):
                raise TypeError(f"{self._name}: the Tensor {key}= must be passed by position to have a gradient")
        values = [x if isinstance(x, Handle) else operand(x, self._name) for x in inputs]
        needs = [isinstance(x, Tensor) and x.requires_grad for x in values]
        layout = _Layout()
        rules = _Rules(self._name, self._backward, facts, needs, layout)
        # Renamed if the engine has an elementwise operation of this name, since this one may not be elementwise.
        op = f"{self._name} (custom)" if self._name in elementwise else self._name
        forward = partial(self._forward, facts, layout)
        result = record(op, forward, values, Joint(rules.gradients, result=True).rules(len(values)))
        return layout.parts(result)

    def __repr__(self) -> str:
        return f"<differentiable {self._name}>"

    def _forward(self, facts: dict[str, Any], layout: _Layout, *arrays: Any) -> Any:
        return _computed(self._name, self._function, facts, layout, *arrays)


class _Layout:
    """How several results are arranged in the one vector that is recorded, as an operation has a single result."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] | None = None  # None: there is a single result
        self.dtypes: list[Any] = []

    def packed(self, results: list[Any]) -> Any:
        """The results as one vector."""
        self.shapes = [result.shape for result in results]
        self.dtypes = [result.dtype for result in results]
        return np.concatenate([np.ravel(result) for result in results])

    def parts(self, whole: Any) -> Any:
        """Split a vector into the results, or their gradients; a single result is returned unchanged."""
        if self.shapes is None:
            return whole
        ends = np.cumsum([0, *map(prod, self.shapes)]).tolist()
        parts = []
        for (start, end), shape, dtype in zip(pairwise(ends), self.shapes, self.dtypes, strict=True):
            part = np.reshape(whole[start:end], shape)
            parts.append(part if part.dtype == dtype else part.astype(dtype))
        return tuple(parts)


@indivisible
def _computed(name: str, function: Callable[..., Any], facts: dict[str, Any], layout: _Layout, *arrays: Any) -> Any:
    """What the function returns: an array, or several packed into one."""
    out = function(*arrays, **facts)
    if not isinstance(out, tuple | list):
        return _array(name, out, arrays)
    results = [_array(name, part, arrays) for part in out]
    for i, part in enumerate(results):
        if part.dtype.kind not in "fc":
            raise DTypeError(
                f"{name} returned dtype {part.dtype} as result {i} of several, expected floating point; return "
                f"results that have no gradient from a separate function"
            )
    if not results:
        raise TypeError(f"{name} returned an empty {type(out).__name__}, expected an array or a tuple of arrays")
    return layout.packed(results)


def _array(name: str, out: Any, arrays: tuple[Any, ...]) -> Any:
    """One result, if it is an array; copied if it shares memory with an input."""
    if isinstance(out, bool | int | float | complex):
        out = np.asarray(out)
    if isinstance(out, Handle) or not (hasattr(out, "dtype") and hasattr(out, "shape")):
        advice = "; a function that uses tensorgrad's operations needs no gradients of its own"
        raise TypeError(
            f"{name} returned a {type(out).__name__}, expected an array or a tuple of arrays"
            f"{advice if isinstance(out, Handle) else ''}"
        )
    shared = type(out) is np.ndarray and any(type(a) is np.ndarray and np.may_share_memory(out, a) for a in arrays)
    return out.copy() if shared else out


class _Rules:
    """The gradients of one call of a user's operation."""

    def __init__(
        self, name: str, backward: Callable[..., Any], facts: dict[str, Any], needs: list[bool], layout: _Layout
    ) -> None:
        self.layout = layout
        self.name = name
        self.backward = backward
        self.facts = facts
        self.needs = needs

    def gradients(self, g: Any, saved: tuple[Any, ...]) -> list[Any]:
        """The gradient of each input that needs one, None for the others."""
        if not isinstance(g, Handle):
            found = _array_gradients(self, g, *saved)
            one_by_one = iter(found if isinstance(found, list) else [found])
            return [next(one_by_one) if need else None for need in self.needs]
        try:
            return self.checked(g, saved)
        except Exception as error:
            error.add_note(
                f"the backward of {self.name} was called with Tensors, to differentiate what it returns: it must only "
                f"use operators and functions that work on Tensors"
            )
            raise

    def checked(self, g: Any, saved: tuple[Any, ...]) -> list[Any]:
        """What the backward function returns, after checking it."""
        count = len(self.needs)
        *xs, out = saved
        returned = self.backward(self.layout.parts(g), *xs, self.layout.parts(out), **self.facts)
        if count == 1 and not isinstance(returned, tuple | list):
            returned = (returned,)
        if not isinstance(returned, tuple | list):
            raise TypeError(
                f"the backward of {self.name} returned {_kind(returned)}, expected a tuple with one gradient per input "
                f"({count})"
            )
        if len(returned) != count:
            raise ValueError(
                f"the backward of {self.name} returned a {type(returned).__name__} of length {len(returned)}, expected "
                f"one gradient per input ({count})"
            )
        return [
            self._one(i, gradient, x, g) if need else None
            for i, (gradient, x, need) in enumerate(zip(returned, saved, self.needs))
        ]

    def _one(self, i: int, gradient: Any, x: Any, g: Any) -> Any:
        what = f"the backward of {self.name} for input {i}"
        expected = f"expected an array of shape {x.shape}, the shape of the input"
        if gradient is None:
            raise GraphError(
                f"{what} returned None, but that input requires a gradient; {expected}: zeros if the result does "
                f"not depend on it"
            )
        if isinstance(gradient, int | float) and x.shape == ():
            gradient = np.asarray(gradient, dtype=x.dtype)
        if not (hasattr(gradient, "dtype") and hasattr(gradient, "shape")):
            raise TypeError(f"{what} returned {_kind(gradient)}, {expected}")
        if gradient.shape != x.shape:
            several = self.layout.shapes is not None
            if several or gradient.shape != g.shape:
                other = "" if several else f" (or {g.shape}, that of the result)"
                raise ShapeError(f"{what} returned shape {gradient.shape}, {expected}{other}")
            try:
                sum_to_shape(np, np.broadcast_to(np.float64(0), gradient.shape), x.shape)
            except ShapeError as error:
                raise ShapeError(f"{what} returned shape {gradient.shape}, {expected}") from error
        if gradient.dtype.kind not in ("fc" if "c" in (x.dtype.kind, g.dtype.kind) else "f"):
            raise DTypeError(f"{what} returned dtype {gradient.dtype}, expected {x.dtype}, the dtype of the input")
        if isinstance(g, Handle) and not isinstance(gradient, Handle):
            raise GraphError(
                f"{what} returned {_kind(gradient)}, expected a Tensor: a result computed on arrays cannot be "
                f"differentiated again"
            )
        if isinstance(gradient, Handle) and not isinstance(g, Handle):
            gradient = gradient.data
        return gradient


@indivisible
def _array_gradients(rules: _Rules, g: Any, *saved: Any) -> Any:
    """The gradients that are needed; a single one is not in a list, because a compiled step expects it that way."""
    found = [gradient for gradient in rules.checked(g, saved) if gradient is not None]
    return found if len(found) > 1 else found[0]


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
