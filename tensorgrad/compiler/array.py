"""Traced arrays and numbers: they compute as usual, while the trace records each NumPy call.

A :class:`TracedArray` implements NumPy's protocols (NEP 13 and 18), so the engine's forward functions and rules run
on it unchanged. It carries its value: tracing a step also executes it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.duck import FACTS, WRITING, DuckArray
from ..engine.record import Handle
from ..engine.staging import draws
from ..engine.trees import leaves
from ..errors import GraphError
from .variables import Recorder, Variable

__all__ = ["TracedArray", "TracedNumber", "value_of", "variable_of"]


def value_of(leaf: Any) -> Any:
    """The value of a traced array or number in the traced run; anything else unchanged."""
    return leaf.variable.value if isinstance(leaf, _TRACED) else leaf


def variable_of(leaf: Any) -> Any:
    """The variable of a traced array or number; anything else unchanged."""
    return leaf.variable if isinstance(leaf, _TRACED) else leaf


def _unknown(what: str) -> GraphError:
    return GraphError(
        f"{what} needs a value that changes from run to run, while tensorgrad.compile is tracing: return the Tensor "
        f"from the step and look at it outside; or use tg.where; or mark the function that looks at values with "
        f"@tg.indivisible"
    )


class TracedNumber:
    """A Python number that changes from run to run: a learning rate, a bias correction."""

    __slots__ = ("trace", "variable")
    __traced_number__ = True  # the engine treats it as a Python scalar, which does not influence dtypes

    def __init__(self, trace: Recorder, variable: Variable) -> None:
        self.trace = trace
        self.variable = variable

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _ufunc(self.trace, ufunc, method, inputs, kwargs)

    def array(self) -> Any:
        """The number as a traced array of shape ()."""
        return self.trace.call(np.asarray, (self,), {})

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


# NumPy functions whose result has a shape that depends on values.
_BY_VALUE = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.trim_zeros}
# The ufunc methods that NumPy's own wrappers call, for the same result with less overhead.
_SHORT = {
    np.sum: np.add.reduce,
    np.prod: np.multiply.reduce,
    np.max: np.maximum.reduce,
    np.min: np.minimum.reduce,
    np.all: np.logical_and.reduce,
    np.any: np.logical_or.reduce,
}


def _ufunc(trace: Recorder, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
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


class TracedArray(DuckArray):
    """An array whose operations are recorded; everything but its shape and dtype changes from run to run."""

    __slots__ = ("base", "held", "trace", "variable")
    kind = "a traced array"

    def __init__(self, trace: Recorder, variable: Variable) -> None:
        self.trace = trace
        self.variable = variable
        self.base: TracedArray | None = None
        self.held: Any = None  # the value, if the variable has let it go

    # --- known while tracing ----------------------------------------------------------------------------

    @property
    def value(self) -> Any:
        """The array in the traced run."""
        return self.variable.value

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self.value.dtype

    def _backing(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"<traced {self.dtype}{list(self.shape)}>"

    # --- recorded ---------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _ufunc(self.trace, ufunc, method, inputs, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if any(issubclass(kind, Handle) for kind in types):
            return NotImplemented
        tell = FACTS.get(function)
        if tell is not None:
            return tell(*args, **kwargs)
        if function in WRITING:
            target = self.trace.lift(args[0])
            self.trace.call(function, (target, *args[1:]), kwargs, writes=target)
            return None
        if function in _SHORT and len(args) == 1 and kwargs.keys() <= {"axis", "keepdims"}:
            return self.trace.call(_SHORT[function], args, {"axis": None, **kwargs})
        return self.trace.call(
            function, args, kwargs, fixed=function in _BY_VALUE or (function is np.where and len(args) == 1)
        )

    def __traced_call__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.trace.call(
            function, args, kwargs, effect=True, fixed=True, comes_from_outside=draws((args, kwargs))
        )

    def __pow__(self, other: Any) -> Any:
        # The operator of ndarray has shortcuts for some exponents, which can differ in the last bit.
        return NotImplemented if isinstance(other, Handle) else self.trace.call(operator.pow, (self, other), {})

    def __getitem__(self, index: Any) -> Any:
        masked = any(isinstance(i, TracedArray | np.ndarray) and i.dtype.kind == "b" for i in leaves(index))
        return self.trace.call(operator.getitem, (self, index), {}, fixed=masked)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.trace.call(operator.setitem, (self, index, value), {}, writes=self)

    def astype(self, dtype: Any, copy: bool = True) -> TracedArray:
        """Like ``ndarray.astype``."""
        if not copy and self.dtype == dtype:
            return self
        return self.trace.call(np.ndarray.astype, (self, np.dtype(dtype)), {})

    # --- unknown while tracing --------------------------------------------------------------------------

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise _unknown("np.asarray()")

    def __bool__(self) -> bool:
        raise _unknown("`if` or bool()")

    def __float__(self) -> float:
        raise _unknown("float()")

    def __int__(self) -> int:
        raise _unknown("int()")

    def item(self) -> Any:
        """Raise GraphError: the value is not known while tracing."""
        raise _unknown("item()")


_TRACED = (TracedArray, TracedNumber)
