"""Tracing: arrays that compute as they are told and write down each NumPy call.

A :class:`TracedArray` speaks NumPy's protocols (NEP 13 and 18), so the engine's forward functions and rules run on
it unchanged. It carries its value: tracing a step performs it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..errors import GraphError
from ..graph import Leaf
from ..mode import current
from ..record import Handle

__all__ = ["Gradient", "Instruction", "Trace", "TracedArray", "TracedNumber", "Variable", "mapped"]


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


@dataclass(eq=False)
class Instruction:
    """``result = function(*args, **kwargs)``; variables stand in the arguments where arrays were."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Variable, ...]
    comment: str
    writes: Variable | None = None  # written in place
    effect: bool = False  # to be run even if nobody uses the result
    fixed: bool = False  # the result has to have the shape and dtype it had while tracing
    reads: list[Variable] = field(default_factory=list)

    def __post_init__(self) -> None:
        mapped((self.args, self.kwargs), lambda leaf: self.reads.append(leaf) if type(leaf) is Variable else None)


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


@dataclass(eq=False)
class Gradient:
    """What a step does to a leaf's ``grad``."""

    owner: Any
    needed: bool  # is what was there before of importance?
    before: Any
    variable: Variable | None  # what was there before, as an argument of the program


class Trace:
    """The instructions of one run, and what they refer to outside. Is the engine's ``mode.tracer``."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.variables: list[Variable] = []
        self.captured: dict[int, Variable] = {}
        self.gradients: dict[int, Gradient] = {}
        self.watched: list[tuple[object, str, Any]] = []
        self.comment = ""
        self.active = True

    # --- what the engine calls (mode.Tracer) ------------------------------------------------------------

    def enter(self, comment: str) -> None:
        """Note what the next instructions belong to."""
        scope = current().scope.path
        self.comment = f"{scope}: {comment}" if scope else comment

    def lift(self, source: Any) -> Any:
        """The traced array for a Tensor's data or an ndarray; scalars and traced arrays as they are."""
        if isinstance(source, Handle):
            if isinstance(source.data, TracedArray):
                return source.data
            if source.node is not None and source.node.requires_grad and not isinstance(source.node, Leaf):
                raise GraphError(
                    f"a compiled step uses the result of {source.node.op}, which was recorded outside it and would be "
                    f"gone back through at every run; compute it in the step, or detach() it"
                )
            value = source.data
        elif isinstance(source, np.ndarray):
            value = source
        else:
            return source
        variable = self.captured.get(id(source))
        if variable is None:
            variable = self.variable("captured", value)
            variable.source = source  # keeps it alive, so that its id stays its own
            self.captured[id(source)] = variable
        return TracedArray(self, variable)

    def host(self, function: Callable[[], Any]) -> Any:
        """Call a function of the outside world, now and at every run."""
        return self.call(function, (), {}, effect=True, fixed=True)

    def watch(self, owner: object, attribute: str) -> None:
        """Remember an attribute's value as a condition of this trace."""
        self.watched.append((owner, attribute, getattr(owner, attribute)))

    def gradient(self, owner: Any, needed: bool) -> None:
        """Take over a leaf's gradient, when the step first reads or replaces it."""
        if id(owner) in self.gradients:
            return
        before = getattr(owner, "_grad", None)
        if isinstance(before, Handle):
            raise GraphError(
                "a compiled step cannot go on from a gradient that has a graph of its own (create_graph=True); set "
                "grad to None first"
            )
        known = self.gradients[id(owner)] = Gradient(owner, needed, before, None)
        if needed and before is not None:
            owner._grad = self.traced(before, "argument")
            known.variable = owner._grad.variable

    # --- writing down -----------------------------------------------------------------------------------

    def variable(self, kind: str, value: Any) -> Variable:
        """A new variable."""
        variable = Variable(len(self.variables), kind, value)
        self.variables.append(variable)
        return variable

    def traced(self, value: Any, kind: str = "array") -> Any:
        """A new variable, as a traced array or number."""
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if isinstance(value, bool | int | float):
            return TracedNumber(self, self.variable("number", value))
        return TracedArray(self, self.variable(kind, value))

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        effect: bool = False,
        writes: TracedArray | None = None,
        fixed: bool = False,
    ) -> Any:
        """Run a function on the values behind traced arguments, write the call down, trace the result.

        ``effect``: to be run even if nobody uses the result. ``writes``: what is written to in place. ``fixed``: the
        shape of the result may depend on values, and has to be looked at in every run.
        """
        if not self.active:
            raise GraphError(
                "an array of a compiled step was used after the step was traced; a compiled step keeps nothing but "
                "what it returns: do not store its Tensors in attributes or globals"
            )
        args, kwargs = mapped((args, kwargs), self._checked)
        result = function(*mapped(args, _value), **mapped(kwargs, _value))
        inner_args, inner_kwargs = mapped((args, kwargs), _variable)
        if writes is not None:
            outs: tuple[Any, ...] = ()
        elif type(result) is tuple or type(result) is list:
            outs = tuple(self.traced(item) for item in result)
        else:
            outs = () if result is None else (self.traced(result),)
        reads = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, TracedArray)]
        for out in outs:
            if isinstance(out, TracedArray):
                for read in reads:
                    if out.value is read.value or (
                        out.value.base is not None and np.may_share_memory(out.value, read.value)
                    ):
                        out.variable.root = read.variable
                        out.base = read
                        break
        self.instructions.append(
            Instruction(
                function,
                inner_args,
                inner_kwargs,
                tuple(out.variable for out in outs),
                self.comment,
                None if writes is None else writes.variable,
                effect,
                fixed,
            )
        )
        if writes is not None:
            return writes
        if type(result) is tuple or type(result) is list:
            return type(result)(outs)
        return outs[0] if outs else None

    def _checked(self, leaf: Any) -> Any:
        return self.lift(leaf) if isinstance(leaf, np.ndarray) else leaf


def _leaves(tree: Any) -> list[Any]:
    leaves: list[Any] = []
    mapped(tree, leaves.append)
    return leaves


def _value(leaf: Any) -> Any:
    return leaf.variable.value if isinstance(leaf, TracedArray | TracedNumber) else leaf


def _variable(leaf: Any) -> Any:
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
            return function(*mapped(args, _value), **mapped(kwargs, _value))
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
        masked = any(isinstance(i, TracedArray | np.ndarray) and i.dtype.kind == "b" for i in _leaves((index,)))
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

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
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
