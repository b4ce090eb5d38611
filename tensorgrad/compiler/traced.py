"""Traced arrays and numbers: they compute as they are told, and have each NumPy call written down.

A :class:`TracedArray` speaks NumPy's protocols (NEP 13 and 18), so the engine's forward functions and rules run on
it unchanged. It carries its value: tracing a step performs it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..errors import GraphError
from ..record import Handle

if TYPE_CHECKING:
    from .trace import Trace

__all__ = ["TracedArray", "TracedNumber", "Variable", "leaves", "mapped", "value_of", "variable_of"]


@dataclass(eq=False)
class Variable:
    """A value of the program: an argument, something captured from outside, or an instruction's result."""

    number: int
    kind: str  # "argument", "captured", "number" or "array"
    value: Any  # what it was while tracing: gives shape, dtype and memory layout
    root: Variable | None = None  # the variable whose memory this one views
    source: Any = None  # of a captured one: the Tensor or ndarray
    name: str = ""

    def chain(self) -> list[Variable]:
        """This variable, what it is a view of, and so on to the owner of the memory."""
        links = [self]
        while (root := links[-1].root) is not None:
            links.append(root)
        return links

    @property
    def owner(self) -> Variable:
        """The variable that owns the memory."""
        return self.chain()[-1]


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of nested tuples, lists, dicts and slices with every leaf changed."""
    if isinstance(tree, tuple):
        parts = [mapped(item, change) for item in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [mapped(item, change) for item in tree]
    if isinstance(tree, dict):
        return {key: mapped(item, change) for key, item in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(item, change) for item in (tree.start, tree.stop, tree.step)))
    return change(tree)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nest, in order.

    >>> leaves((1, [2, slice(3)]))
    [1, 2, None, 3, None]
    """
    found: list[Any] = []
    mapped(tree, found.append)
    return found


def value_of(leaf: Any) -> Any:
    """What a traced array or number was in the run that is traced; anything else as it is."""
    return leaf.variable.value if isinstance(leaf, TracedArray | TracedNumber) else leaf


def variable_of(leaf: Any) -> Any:
    """The variable of a traced array or number; anything else as it is."""
    return leaf.variable if isinstance(leaf, TracedArray | TracedNumber) else leaf


def _unknown(what: str) -> GraphError:
    return GraphError(
        f"{what} needs a value that changes from run to run, while tensorgrad.compile is tracing: return the Tensor "
        f"from the step and look at it outside; or compute with tg.where; or mark the function that looks at values "
        f"with @tg.indivisible"
    )


class TracedNumber:
    """A Python number that changes from run to run: a learning rate, a bias correction."""

    __slots__ = ("trace", "variable")
    __traced_number__ = True  # to the engine it is a Python scalar, and weak

    def __init__(self, trace: Trace, variable: Variable) -> None:
        self.trace = trace
        self.variable = variable

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _ufunc(self.trace, ufunc, method, inputs, kwargs)

    def _refused(self, *args: Any) -> Any:
        raise _unknown("this Python code")

    __bool__ = __float__ = __int__ = __index__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refused
    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Any:
        return self._binary(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return self._binary(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return self._binary(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(operator.truediv, other, self)

    def __pow__(self, other: Any) -> Any:
        return self._binary(operator.pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._binary(operator.pow, other, self)

    def __neg__(self) -> Any:
        return self.trace.call(operator.neg, (self,), {})

    def _binary(self, function: Callable[..., Any], left: Any, right: Any) -> Any:
        for side in (left, right):
            if not isinstance(side, TracedNumber | bool | int | float):
                return NotImplemented
        return self.trace.call(function, (left, right), {})


# NumPy functions that write into their first argument, and those that only tell about shapes and dtypes.
_WRITING = {np.copyto, np.put_along_axis, np.put, np.place, np.fill_diagonal}
_TELLING = {np.shape, np.ndim, np.size, np.result_type, np.may_share_memory, np.iscomplexobj, np.isrealobj}
# Those whose result has a shape that depends on values.
_BY_VALUE = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.trim_zeros, np.where}
# Methods of an ndarray that a traced one has, beside those it defines.
_METHODS = {
    *("all", "any", "argmax", "argmin", "argsort", "clip", "cumprod", "cumsum", "diagonal", "dot", "flatten", "max"),
    *(
        "mean",
        "min",
        "prod",
        "ravel",
        "repeat",
        "round",
        "squeeze",
        "std",
        "swapaxes",
        "take",
        "trace",
        "transpose",
        "var",
    ),
}
# The short way to the same sum: what NumPy's own wrapper calls.
_SHORT = {
    np.sum: np.add.reduce,
    np.prod: np.multiply.reduce,
    np.max: np.maximum.reduce,
    np.min: np.minimum.reduce,
    np.all: np.logical_and.reduce,
    np.any: np.logical_or.reduce,
}


def _ufunc(trace: Trace, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if any(isinstance(value, Handle) for value in inputs):
        return NotImplemented  # a Tensor records the operation
    function = ufunc if method == "__call__" else getattr(ufunc, method)
    if method == "at":
        target = trace.lift(inputs[0])
        trace.call(function, (target, *inputs[1:]), kwargs, writes=target)
        return None
    out = kwargs.pop("out", None)
    if out is None:
        return trace.call(function, inputs, kwargs)
    (given,) = out
    target = trace.lift(given)
    return trace.call(function, inputs, {**kwargs, "out": target}, writes=target)


class TracedArray(NDArrayOperatorsMixin):
    """An array whose operations are written down. Everything but its shape and dtype changes from run to run."""

    __slots__ = ("__weakref__", "base", "trace", "variable")

    def __init__(self, trace: Trace, variable: Variable) -> None:
        self.trace = trace
        self.variable = variable
        self.base: TracedArray | None = None

    # --- what is known while tracing --------------------------------------------------------------------

    @property
    def value(self) -> Any:
        """The array of the run that is traced."""
        return self.variable.value

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.value.size

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"<traced {self.dtype}{list(self.shape)}>"

    # --- what is written down ---------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _ufunc(self.trace, ufunc, method, inputs, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if any(issubclass(kind, Handle) for kind in types):
            return NotImplemented
        if function in _TELLING:
            return function(*mapped(args, value_of), **mapped(kwargs, value_of))
        if function in _WRITING:
            target = self.trace.lift(args[0])
            self.trace.call(function, (target, *args[1:]), kwargs, writes=target)
            return None
        if function in _SHORT and len(args) == 1 and kwargs.keys() <= {"axis", "keepdims"}:
            return self.trace.call(_SHORT[function], args, {"axis": None, **kwargs})
        return self.trace.call(function, args, kwargs, fixed=function in _BY_VALUE)

    def __traced_call__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.trace.call(function, args, kwargs, effect=True, fixed=True)

    def __pow__(self, other: Any) -> Any:
        # An ndarray's own operator takes a short cut for some exponents, which can differ in the last bit.
        return NotImplemented if isinstance(other, Handle) else self.trace.call(operator.pow, (self, other), {})

    def __getitem__(self, index: Any) -> Any:
        masked = any(isinstance(i, TracedArray | np.ndarray) and i.dtype.kind == "b" for i in leaves((index,)))
        return self.trace.call(operator.getitem, (self, index), {}, fixed=masked)

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise AttributeError(
                f"a traced array has no {name}; write the NumPy function, np.{name}(...), or mark what "
                f"needs more with @tg.indivisible"
            )
        return partial(self._method, getattr(np.ndarray, name))

    def _method(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.trace.call(function, (self, *args), kwargs)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.trace.call(operator.setitem, (self, index, value), {}, writes=self)

    def astype(self, dtype: Any, copy: bool = True) -> TracedArray:
        """As ndarray.astype."""
        if not copy and self.dtype == dtype:
            return self
        return self.trace.call(np.ndarray.astype, (self, np.dtype(dtype)), {})

    def copy(self) -> Any:
        """As ndarray.copy."""
        return np.copy(self)

    def reshape(self, *shape: Any) -> Any:
        """As ndarray.reshape."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)

    def sum(self, axis: Any = None, keepdims: Any = False) -> Any:
        """As ndarray.sum."""
        return np.sum(self, axis=axis, keepdims=keepdims)

    @property
    def T(self) -> Any:
        """As ndarray.T."""
        return np.transpose(self)

    # --- what cannot be known ---------------------------------------------------------------------------

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise _unknown("np.asarray()")

    def __bool__(self) -> bool:
        raise _unknown("`if` or bool()")

    def __float__(self) -> float:
        raise _unknown("float()")

    def __int__(self) -> int:
        raise _unknown("int()")

    def item(self) -> Any:
        """Refused: the value is not known while tracing."""
        raise _unknown("item()")
