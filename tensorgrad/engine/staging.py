"""Functions for code outside the engine, so that a compiler can follow it.

Most code needs none of them: a compiler follows operations on Tensors anyway. They are for code that works on
arrays directly (an optimiser), that branches on Python values (training or evaluation), or that gets a value from
outside in every run (a learning rate, a random mask). Without a compiler they cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, overload

import numpy as np

from ..errors import Observed, Unbatchable
from .mode import current
from .record import Handle
from .trees import leaves
from .writes import written

__all__ = [
    "Forms",
    "array_of",
    "draws",
    "forms_of",
    "host",
    "indivisible",
    "observe",
    "only_if_not_finite",
    "scratch",
    "watch",
    "writes_to",
]

P = ParamSpec("P")
R = TypeVar("R")


def array_of(source: Any) -> Any:
    """The array to compute with, for a Tensor's data or for an ndarray that is kept from step to step.

    Under :func:`tensorgrad.compile` it is a traced array, and writes to it (with ``out=``) are repeated in every run.

    >>> import numpy as np, tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0])
    >>> array_of(w) is w.data
    True
    """
    tracer = current().tracer
    if tracer is not None:
        return tracer.lift(source)
    return source._data if isinstance(source, Handle) else source


def scratch(array: Any) -> Any:
    """The array, to compute in: what is left in it after a step is not used.

    A compiler need not write to it at all. Every step must write to it before reading from it.

    >>> import numpy as np
    >>> memory = np.empty(3)
    >>> scratch(memory) is memory
    True
    """
    tracer = current().tracer
    return array if tracer is None else tracer.scratch(array)


def host(function: Callable[[], R], *, early: bool = False) -> R:
    """Call a Python function, also in every run of a compiled step: a learning rate, a step count, a random draw.

    The function must return a number, or an array of the same shape and dtype every time.

    Args:
        function: takes no arguments.
        early: it changes nothing, and nothing that the step does before this call, apart from other host functions,
            changes what it returns. A compiled step may then call it before a check that fails, which takes less time.

    >>> host(lambda: 0.01)
    0.01
    """
    mode = current()
    if mode.tracer is not None:
        return mode.tracer.host(function, early)
    return mode.hosted.popleft() if mode.hosted else function()


def watch(owner: object, attribute: str) -> Any:
    """Read an attribute that decides what is computed; once it has changed, a compiled step is traced again.

    >>> class Layer:
    ...     training = True
    >>> watch(Layer(), "training")
    True
    """
    tracer = current().tracer
    if tracer is not None:
        tracer.watch(owner, attribute)
    return getattr(owner, attribute)


def observe() -> None:
    """Say that code outside is about to see the numbers of this call, such as a hook.

    A step that :func:`tensorgrad.compile` is tracing is then called as it is, for this call. Let the object
    :func:`watch` an attribute that says whether it is observed, so that the program is used again when it no longer is.

    >>> import tensorgrad as tg
    >>> seen = []
    >>> @tg.compile
    ... def step(x):
    ...     tg.observe()
    ...     seen.append(x.item())
    ...     return x * 2
    >>> step(tg.Tensor(3.0)), seen
    (Tensor(6., dtype=float64), [3.0])
    """
    if current().tracer is not None:
        raise Observed("an object that is observed was called")


def draws(arguments: Any) -> bool:
    """Whether a function with these arguments draws from a generator, so that another call would draw other numbers.

    Anything else that numbers come from, such as other processes, says so with an attribute ``__comes_from_outside__``.
    """
    return any(
        isinstance(leaf, np.random.Generator) or hasattr(leaf, "__comes_from_outside__") for leaf in leaves(arguments)
    )


def _with(protocol: str, arguments: Any) -> Any:
    """The first of the nested arguments that has a method of this name, or None."""
    return next((leaf for leaf in leaves(arguments) if hasattr(leaf, protocol)), None)


class Forms(NamedTuple):
    """What a function that looks at values computes, written without looking; see :func:`indivisible`."""

    formula: Callable[..., Any] | None = None
    straight_line: Callable[..., Any] | None = None


def forms_of(function: Any) -> Forms:
    """The forms that were given to :func:`indivisible` for a function.

    >>> forms_of(np.sort)
    Forms(formula=None, straight_line=None)
    """
    return getattr(function, "__forms__", Forms())


@overload
def indivisible(function: Callable[P, R]) -> Callable[P, R]: ...
@overload
def indivisible(
    *, formula: Callable[..., Any] | None = None, straight_line: Callable[..., Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def indivisible(
    function: Any = None,
    *,
    formula: Callable[..., Any] | None = None,
    straight_line: Callable[..., Any] | None = None,
) -> Any:
    """Mark a function of arrays that looks at their values: a compiler calls it as a whole, in every run.

    For a batch of arrays it is called once per array if it has to be. The function takes its arrays by position. Its
    forms get the same arguments, and use NumPy's functions alone, without looking at values.

    Args:
        function: the function.
        formula: what it computes, without care for rounding or for mistakes in the arguments:
            :func:`tensorgrad.derive` reads that instead.
        straight_line: what it computes, to all digits: native code and :func:`tensorgrad.onnx_model` use that instead.
            It returns the results and a boolean array that says whether they hold; where one is False, the function is
            called. None in its place says that they always hold; None in place of both, that there is no such form for
            these arguments.

    >>> import numpy as np
    >>> @indivisible(straight_line=lambda x: (np.sqrt(x), x >= 0))
    ... def root(x):
    ...     if (x < 0).any():
    ...         raise ValueError("expected numbers that are not negative")
    ...     return np.sqrt(x)
    >>> root(np.array([4.0]))
    array([2.])
    """
    if function is None:
        return partial(indivisible, formula=formula, straight_line=straight_line)
    if formula is not None or straight_line is not None:
        function.__forms__ = Forms(formula, straight_line)

    @wraps(function)
    def whole(*args: Any, **kwargs: Any) -> Any:
        mode = current()
        if mode.hosted and draws((args, kwargs)):
            return mode.hosted.popleft()
        if mode.tracer is not None:
            traced = _with("__traced_call__", args)
            if traced is not None:
                return traced.__traced_call__(function, args, kwargs)
        try:
            return function(*args, **kwargs)
        except Unbatchable:
            batch = _with("__each__", args)
            if batch is None:
                raise
            return batch.__each__(function, args, kwargs)

    return whole


def only_if_not_finite(returns: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Say that a function does nothing, and returns this, if all numbers in its arrays are finite.

    Under ``@indivisible``, a compiler may then check the numbers itself, and call the function only if one is not.

    >>> import numpy as np
    >>> @indivisible
    ... @only_if_not_finite(returns=None)
    ... def check(x):
    ...     if not np.isfinite(x).all():
    ...         raise ValueError("expected finite numbers")
    >>> check(np.ones(2))
    """

    def marked(function: Callable[P, R]) -> Callable[P, R]:
        function.if_finite = returns  # type: ignore[attr-defined]
        return function

    return marked


def writes_to(source: Any, by: str) -> Any:
    """The array to write to in place, logging who writes, so that ``backward()`` can detect a stale graph.

    >>> import numpy as np, tensorgrad as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (w * w).sum()
    >>> writes_to(w, "my update")[...] = 0.0
    >>> loss.backward()  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    tensorgrad.errors.InplaceError: multiply saved an input, and my update has written to that memory since
    """
    tracer = current().tracer
    if tracer is not None:
        tracer.enter(by)
        return tracer.lift(source)
    array = array_of(source)
    written(array, by)
    return array
