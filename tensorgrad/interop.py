"""NumPy's functions and operators on Tensors: looked up by name among tensorgrad's own, and recorded.

``ndarray * t``, ``np.sin(t)`` and ``np.concatenate([t, a])`` come here through NumPy's protocols (NEP 13 and
18). What tensorgrad has no operation for is an error that names it: history is never cut unnoticed, and no
array of objects ever made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import ops

__all__ = ["array_function", "array_ufunc"]

# NumPy's names for what has another one here.
_RENAMED = {"absolute": "abs", "amax": "max", "amin": "min", "around": "round", "conjugate": "conj"}

# What asks for facts that need no history.
_FACTS: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
}


@cache
def _operation(function: Callable[..., Any]) -> tuple[Callable[..., Any], inspect.Signature] | None:
    """What to call for a function of NumPy's main namespace, and how it is called; None without one."""
    name = getattr(function, "__name__", "")
    if getattr(np, name, None) is not function:
        return None  # np.linalg's, np.fft's and other libraries' are not ours, although a name may be
    operation = getattr(ops, _RENAMED.get(name, name), None)
    if not callable(operation):
        return None
    return operation, inspect.signature(operation)


def _shown(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", repr(function))
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{name}" if getattr(np, name, None) is not function else f"np.{name}"


def _called(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call tensorgrad's operation in place of NumPy's function."""
    found = _operation(function)
    if found is None:
        raise TypeError(
            f"{_shown(function)} has no derivative rule in tensorgrad, so it takes no Tensor; write "
            f"{_shown(function)}(t.data) (or t.detach().data) for the values without history, or compute it "
            f"with tensorgrad's operations"
        )
    operation, signature = found
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = operation.__name__
        raise TypeError(
            f"{_shown(function)} on a Tensor is tensorgrad.{name}{_parameters(signature)}: {error}; write "
            f"tensorgrad.{name} with these parameters, or use .data for the values without history"
        ) from error
    return operation(*args, **kwargs)


def _parameters(signature: inspect.Signature) -> str:
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """``Tensor.__array_ufunc__``: NumPy's ufuncs, and its arrays' and scalars' operators.

    >>> import numpy as np, tensorgrad as tg
    >>> np.float32(2) * tg.Tensor([1.0, 2.0])
    Tensor([2., 4.], dtype=float64)
    """
    if method != "__call__":
        raise TypeError(
            f"{_shown(ufunc)}.{method} has no derivative rule in tensorgrad, so it takes no Tensor; write a "
            f"reduction of tensorgrad's, such as t.sum(), or {_shown(ufunc)}.{method} of t.data for the "
            f"values without history"
        )
    if "out" in kwargs:
        raise TypeError(
            f"{_shown(ufunc)} cannot write a Tensor into out=, nor a += t into an ndarray: the history would "
            f"be lost; write a = a + t (or the like) for a Tensor, or use t.data for the values alone"
        )
    if kwargs:
        raise TypeError(
            f"{_shown(ufunc)} on a Tensor takes no {', '.join(f'{key}=' for key in kwargs)}; write "
            f"tensorgrad.where or .astype, or use t.data for the values without history"
        )
    return _called(ufunc, inputs, {})


def array_function(
    self: Any, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``Tensor.__array_function__``: NumPy's other functions.

    >>> import numpy as np, tensorgrad as tg
    >>> np.concatenate([tg.Tensor([1.0]), [2.0]])
    Tensor([1., 2.], dtype=float64)
    """
    facts = _FACTS.get(function)
    return facts(*args, **kwargs) if facts is not None else _called(function, args, kwargs)
