"""User-defined operations: a NumPy function, together with a function that returns its gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
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
    returns one array. Keyword arguments are passed on unchanged, to both functions.

    ``@f.backward`` decorates the second function: given the gradient ``g`` of the result, the same inputs and the
    result, it returns a tuple with one gradient for each input (with a single input, an array will do). Return None
    for an input that needs no gradient. A gradient has the shape of its input, or that of the result; the latter is
    summed over the axes along which the input was broadcast. Neither function may write to its arguments.

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

    def __call__(self, *inputs: Any, **facts: Any) -> Tensor:
        """Compute the result, and record it if a gradient is needed."""
        if self._backward is None:
            raise GraphError(f"{self._name} has no gradients yet; write them with @{self._name}.backward")
        for key, value in facts.items():
            if isinstance(value, Handle):
                raise TypeError(f"{self._name}: the Tensor {key}= must be passed by position to have a gradient")
        values = [x if isinstance(x, Handle) else operand(x, self._name) for x in inputs]
        needs = [isinstance(x, Tensor) and x.requires_grad for x in values]
        rules = _Rules(self._name, self._backward, facts, needs)
        # Renamed if the engine has an elementwise operation of this name, since this one may not be elementwise.
        op = f"{self._name} (custom)" if self._name in elementwise else self._name
        return record(op, partial(self._forward, facts), values, Joint(rules.gradients, result=True).rules(len(values)))

    def __repr__(self) -> str:
        return f"<differentiable {self._name}>"

    def _forward(self, facts: dict[str, Any], *arrays: Any) -> Any:
        return _computed(self._name, self._function, facts, *arrays)


@indivisible
def _computed(name: str, function: Callable[..., Any], facts: dict[str, Any], *arrays: Any) -> Any:
    """What the function returns, if that is an array."""
    out = function(*arrays, **facts)
    if isinstance(out, bool | int | float | complex):
        out = np.asarray(out)
    if isinstance(out, Handle) or not (hasattr(out, "dtype") and hasattr(out, "shape")):
        advice = (
            "a function that uses tensorgrad's operations needs no gradients of its own"
            if isinstance(out, Handle)
            else "stack several results into one"
        )
        raise TypeError(f"{name} returned a {type(out).__name__}, expected one array; {advice}")
    shared = type(out) is np.ndarray and any(type(a) is np.ndarray and np.may_share_memory(out, a) for a in arrays)
    return out.copy() if shared else out


class _Rules:
    """The gradients of one call of a user's operation."""

    def __init__(self, name: str, backward: Callable[..., Any], facts: dict[str, Any], needs: list[bool]) -> None:
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
        returned = self.backward(g, *saved, **self.facts)
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
            if gradient.shape != g.shape:
                raise ShapeError(
                    f"{what} returned shape {gradient.shape}, {expected} (or {g.shape}, that of the result)"
                )
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
