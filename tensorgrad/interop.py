"""NumPy's functions and operators on Tensors, DLPack, and the array API standard.

``ndarray * t``, ``np.sin(t)``, ``np.linalg.solve(a, t)`` and ``np.concatenate([t, a])`` arrive here through NumPy's
protocols (NEP 13 and 18); tensorgrad's operation of the same name is called, and recorded. A function without such an
operation gets plain arrays, or raises an error that names it if a Tensor has a history: history is never cut silently,
and object arrays are never made.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from . import fft, linalg, ops
from .adapters import ADAPTERS, ADVICE, KEYWORDS, WRITERS, add_at, outer
from .engine.duck import FACTS
from .engine.record import Handle
from .engine.staging import array_of
from .engine.trees import leaves, mapped
from .namespaces import counterpart, tensor_functions

__all__ = ["answer_to", "array_function", "array_ufunc", "exported"]


def arrays(tree: Any) -> Any:
    """Nested arguments, with Tensors replaced by their arrays."""
    return mapped(lambda leaf: array_of(leaf) if isinstance(leaf, Handle) else leaf, tree)


def _on_arrays(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*arrays(args), **arrays(kwargs))


def _no_history(*trees: Any) -> bool:
    """Whether none of the Tensors among these has a history, so that none can be lost."""
    return not any(
        isinstance(leaf, Handle) and leaf.node is not None and leaf.node.requires_grad for leaf in leaves(trees)
    )


def _counts(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A histogram of samples with a history, if it has no gradient: counts of bins that the samples do not set."""
    if not _no_history(args, kwargs):
        name = _shown(function)
        call = inspect.signature(function).bind(*args, **kwargs).arguments
        if not _no_history(call.get("weights")):
            advice = (
                "its weights have a history; write tg.bincount(np.digitize(x, edges), weights=t), which is recorded"
            )
        elif call.get("density"):
            advice = "densities depend on the widths of the bins; divide counts of density=False yourself"
        else:
            advice = "its edges depend on the samples; pass them as arrays, bins=edges"
        fixed = call.get("range") is not None or np.ndim(arrays(call.get("bins", 10))) > 0
        if (
            call.get("density")
            or not fixed
            or not _no_history(call.get("weights"), call.get("bins"), call.get("range"))
        ):
            raise TypeError(f"{name} of a Tensor with a history would cut it: {advice}")
    return _on_arrays(function, *args, **kwargs)


# Functions whose answers need no history.
_ANSWERS: dict[Any, Callable[..., Any]] = {
    **FACTS,
    np.array_repr: lambda a, *options: repr(a),
    np.array_str: lambda a, *options: str(a),
    # Tests and positions: they return booleans and integers, which carry no gradient.
    **{
        function: partial(_on_arrays, function)
        for function in (
            *(np.allclose, np.isclose, np.array_equal, np.array_equiv, np.argwhere, np.flatnonzero, np.iscomplex),
            *(np.isreal, np.digitize, np.lexsort, np.nanargmax, np.nanargmin, np.einsum_path),
            *(np.ix_, np.unravel_index, np.ravel_multi_index, np.diag_indices_from, np.tril_indices_from),
            *(np.triu_indices_from, np.bitwise_count, np.gcd, np.lcm, np.packbits),
            *(np.unpackbits, np.isnat),
        )
    },
    np.isposinf: lambda x: np.isposinf(arrays(x)),  # these two would take an output by position
    np.isneginf: lambda x: np.isneginf(arrays(x)),
    # These count, unless they would cut a history: see _counts.
    np.histogram: partial(_counts, np.histogram),
    np.histogram2d: partial(_counts, np.histogram2d),
    np.histogramdd: partial(_counts, np.histogramdd),
    np.array2string: lambda a, *options, **more: np.array2string(array_of(a), *options, **more),
    np.can_cast: lambda a, to, casting="safe": np.can_cast(np.result_type(a), to, casting),
    np.min_scalar_type: partial(_on_arrays, np.min_scalar_type),
    np.common_type: partial(_on_arrays, np.common_type),
}

# Methods of ufuncs that are operations here. NumPy's default axis is the first.
_METHODS: dict[tuple[Any, str], str] = {
    (np.add, "reduce"): "sum",
    (np.multiply, "reduce"): "prod",
    (np.maximum, "reduce"): "max",
    (np.minimum, "reduce"): "min",
    (np.logaddexp, "reduce"): "logsumexp",
    (np.add, "accumulate"): "cumsum",
    (np.multiply, "accumulate"): "cumprod",
    (np.maximum, "accumulate"): "cummax",
    (np.minimum, "accumulate"): "cummin",
    (np.logaddexp, "accumulate"): "logcumsumexp",
}


_ADDED = (np.add, np.subtract)  # ufuncs whose ``at`` is recorded
# Operations that return plain arrays: comparisons, tests, positions.
_PLAIN = (
    *(ops.bits, ops.compare, ops.logic),
    *(ops.sorting.argsort, ops.sorting.argpartition, ops.sorting.searchsorted, ops.sorting.nonzero, ops.sets.isin),
    *(linalg.matrix_rank, fft.fftfreq, fft.rfftfreq),
)

_METHOD_ADVICE = {
    "accumulate": "t.cumsum() or another running operation of tensorgrad",
    "at": "tg.scatter_add, or t[i] = value",
    "outer": "t[:, None] and tensorgrad's operation",
    "reduceat": "tg.scatter_add, or sums of slices",
}
_WAYS = {"__call__", "reduce", "accumulate", "outer"}  # the ways to call a ufunc that return Tensors


@cache
def _operation(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The operation for a function of NumPy or ``scipy.special``; None if there is none."""
    operation = ADAPTERS.get(function) or counterpart(function)
    return operation if inspect.isfunction(operation) else None


def _shown(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", repr(function))
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{name}" if getattr(np, name, None) is not function else f"np.{name}"


def _called(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call tensorgrad's operation in place of NumPy's function."""
    operation = _operation(function)
    if operation is None:
        if _no_history(args, kwargs):
            return _on_arrays(function, *args, **kwargs)
        raise _without_rule(_shown(function), ADVICE.get(function))
    if kwargs:
        args, kwargs = _computed_as_usual(function, operation, args, kwargs)
    misfit = _misfit(operation, len(args), tuple(kwargs))
    if misfit is None:
        return operation(*args, **kwargs)
    signature = inspect.signature(operation)
    args, kwargs = _in_our_words(function, signature, args, kwargs)
    if _misfit(operation, len(args), tuple(kwargs)) is None:
        return operation(*args, **kwargs)
    if _no_history(args, kwargs):
        return _on_arrays(function, *args, **kwargs)
    name = operation.__name__
    raise TypeError(
        f"{_shown(function)} on a Tensor is tensorgrad.{name}{_parameters(signature)}: {misfit}; write "
        f"tensorgrad.{name} with these parameters, or use .data for the values without history"
    )


_LAYOUT = {"casting", "order", "subok"}  # options of NumPy's that change no value here


def _computed_as_usual(
    function: Callable[..., Any], operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments without options that change no value, and cast to ``dtype``, as NumPy casts them first."""
    ours = inspect.signature(operation).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.values()):
        return args, kwargs  # an adapter, which takes NumPy's options as they are
    kept = {
        key: value
        for key, value in kwargs.items()
        if not (value is None and key in ("out", "dtype"))
        and (key in ours or not (key in _LAYOUT or (key == "where" and value is True)))
    }
    if "dtype" not in kept or "dtype" in ours:
        return args, kept
    dtype = np.dtype(kept["dtype"])
    if dtype.kind not in "fc" and _no_history(args, kwargs):
        return args, kept
    del kept["dtype"]
    every = isinstance(function, np.ufunc)  # elsewhere, integers are indices and counts

    def cast(leaf: Any) -> Any:
        if not hasattr(leaf, "__array_function__") or not (every or leaf.dtype.kind in "fc"):
            return leaf
        casting = kwargs.get("casting", "same_kind")
        if not np.can_cast(leaf.dtype, dtype, casting) or dtype.kind not in "fc":
            raise TypeError(
                f"{_shown(function)} with dtype={dtype} cannot take an array of {leaf.dtype} (casting {casting!r}); "
                f"write t.astype(dtype), or use t.data for the values without history"
            )
        return ops.shaping.astype(leaf, dtype)

    return mapped(cast, args), kept


@cache
def _misfit(operation: Callable[..., Any], count: int, names: tuple[str, ...]) -> str | None:
    """Why a call with ``count`` arguments and these keywords does not fit; None if it does."""
    try:
        inspect.signature(operation).bind(*[None] * count, **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return None


def _without_rule(name: str, advice: str | None) -> TypeError:
    advice = advice or "compute it with tensorgrad's operations"
    return TypeError(
        f"{name} has no derivative rule in tensorgrad, so it does not accept Tensors with a history; {advice}, or "
        f"write {name}(t.data) (or t.detach().data) for the values without history"
    )


def _in_our_words(
    function: Callable[..., Any], signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a NumPy call for our operation: keyword-only ones by name, others renamed, defaults omitted."""
    try:
        theirs = inspect.signature(function)
        bound = theirs.bind(*args, **kwargs)
    except (TypeError, ValueError):  # some NumPy functions have no signature
        return args, kwargs
    names = KEYWORDS.get(function, {})
    given: list[Any] = []
    named: dict[str, Any] = {}
    ours = signature.parameters
    room = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in ours.values())
    for i, (key, value) in enumerate(bound.arguments.items()):
        parameter = theirs.parameters[key]
        if parameter.kind is parameter.VAR_POSITIONAL:
            given.extend(value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update(value)
        elif parameter.default is parameter.empty and not named and i < room:
            given.append(value)
        else:
            word = names.get(key, key)
            same = value is parameter.default or (key in ("out", "dtype") and value is None)
            if word is not None and not (same and word not in ours):
                named[word] = value
    return tuple(given), named


def _parameters(signature: inspect.Signature) -> str:
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def _is_logical(ufunc: Any, method: str) -> bool:
    """Whether this gives booleans, which carry no gradient."""
    return ufunc in (np.logical_and, np.logical_or, np.logical_xor) and method in ("reduce", "accumulate", "reduceat")


def answer_to(function: Callable[..., Any], method: str = "__call__") -> str:
    """What happens to a NumPy function of a Tensor with a history: it is "recorded", "answered" or "refused".

    A function is answered if its result has no gradient. For Tensors without a history, all functions are answered.

    >>> import numpy as np
    >>> [answer_to(f) for f in (np.sin, np.argsort, np.shape, np.roots)]
    ['recorded', 'answered', 'answered', 'refused']
    """
    if method == "at":
        return "recorded" if function in _ADDED else "refused"
    if method == "outer":
        return answer_to(function)
    if method != "__call__":
        if (function, method) in _METHODS:
            return "recorded"
        return "answered" if _is_logical(function, method) else "refused"
    if function in _ANSWERS:
        return "answered"
    if function in WRITERS:
        return "recorded"
    found = _operation(function)
    if found is None:
        return "refused"
    plain = inspect.getmodule(found) in _PLAIN or found in _PLAIN
    return "answered" if plain else "recorded"


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """``Tensor.__array_ufunc__``: NumPy's ufuncs, and the operators of its arrays and scalars.

    >>> import numpy as np, tensorgrad as tg
    >>> np.float32(2) * tg.Tensor([1.0, 2.0])
    Tensor([2., 4.], dtype=float64)
    """
    out = [given for given in kwargs.get("out", ()) if given is not None]
    if not out:
        kwargs.pop("out", None)
    if any(isinstance(given, Handle) for given in out) or (out and not _no_history(inputs, kwargs)):
        raise TypeError(
            f"{_shown(ufunc)} cannot write a Tensor to an ndarray, through out= or a += t, because its history would "
            f"be lost; write a = a + t (or the like) for a Tensor, or use t.data for the values only"
        )
    if method == "at" and ufunc in _ADDED and (isinstance(inputs[0], Handle) or not _no_history(inputs)):
        return add_at(ufunc, *inputs)
    plain = bool(out) or kwargs.get("where", True) is not True if method == "__call__" else bool(kwargs)
    if (plain or method not in _WAYS) and _no_history(inputs, kwargs):
        return _on_arrays(getattr(ufunc, method), *inputs, **kwargs)
    if method == "__call__":
        answer = _ANSWERS.get(ufunc)
        if answer is not None:
            return answer(*inputs, **kwargs)
        if kwargs.get("where", True) is not True:
            raise TypeError(
                f"{_shown(ufunc)} with where= leaves elements without a value, which a Tensor with a history cannot "
                f"have; write tg.where(mask, {_shown(ufunc)}(tg.where(mask, t, 1.0)), 0.0), or use t.data for the "
                f"values without history"
            )
        return _called(ufunc, inputs, kwargs)
    if method == "outer":
        found = _operation(ufunc)
        if found is not None and not kwargs:
            return outer(found, *inputs)
        if _no_history(inputs, kwargs):
            return _on_arrays(ufunc.outer, *inputs, **kwargs)
    operation = getattr(tensor_functions, _METHODS.get((ufunc, method), ""), None)
    if operation is None and (_is_logical(ufunc, method) or _no_history(inputs, kwargs)):
        return _on_arrays(getattr(ufunc, method), *inputs, **kwargs)
    if operation is None:
        name = f"{_shown(ufunc)}.{method}"
        given = f" with {', '.join(f'{key}=' for key in kwargs)}" if kwargs else ""
        raise TypeError(
            f"{name}{given} has no derivative rule in tensorgrad, so it does not accept Tensors with a history; write "
            f"{_METHOD_ADVICE.get(method, 't.sum() or another reduction of tensorgrad')}, or {name} of t.data for the "
            f"values without history"
        )
    kwargs = {key: value for key, value in kwargs.items() if not (key == "dtype" and value is None)}
    if len(inputs) == 1:
        kwargs.setdefault("axis", 0)
    return operation(*inputs, **kwargs)


def array_function(
    self: Any, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``Tensor.__array_function__``: NumPy's other functions.

    >>> import numpy as np, tensorgrad as tg
    >>> np.concatenate([tg.Tensor([1.0]), [2.0]])
    Tensor([1., 2.], dtype=float64)
    """
    answer = _ANSWERS.get(function)
    if answer is not None:
        return answer(*args, **kwargs)
    write = WRITERS.get(function)
    if write is not None:
        plain = not any(isinstance(a, Handle) for a in args[:1]) and _no_history(args, kwargs)
        return _on_arrays(function, *args, **kwargs) if plain else write(*args, **kwargs)
    return _called(function, args, kwargs)


def instead_of_scipys() -> str | None:
    """Tensorgrad's counterpart of the SciPy function that is running; None if there is none."""
    homes = {"tg": tensor_functions, "tg.linalg": tensor_functions.linalg, "tg.special": tensor_functions.special}
    found = None
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        inside = frame.f_globals.get("__name__", "").startswith("scipy.")
        if not inside and found is not None:
            break
        name = frame.f_code.co_name
        if inside and name in ("pdf", "logpdf"):
            name = f"{getattr(frame.f_locals.get('self'), 'name', '')}.{name}"
            found = f"tg.stats.{name}" if name.partition(".")[0] in _DENSITIES else found
        elif inside:  # the function itself, or the one that a wrapper in SciPy is about to call
            names = [name, *(f.__name__ for f in frame.f_locals.values() if inspect.isfunction(f))]
            known = [{"cho_factor": "cholesky", "cho_solve": "solve"}.get(name, name) for name in names]
            there = (f"{home}.{name}" for name in known for home, ours in homes.items() if name in dir(ours))
            found = next(there, found)
    return found


# Our counterparts of NumPy functions and classes that make arrays and would cut the graph.
_MAKERS = {"full": "tg.full", "RClass": "tg.concatenate", "CClass": "tg.column_stack"}


def instead_of_numpys() -> str | None:
    """Tensorgrad's counterpart of the NumPy function that asks a Tensor for its array; None if there is none."""
    frame = sys._getframe(3)
    if not frame.f_globals.get("__name__", "").startswith("numpy."):
        return None
    code = frame.f_code.co_name
    return _MAKERS.get(type(frame.f_locals.get("self")).__name__ if code == "__getitem__" else code)


_DENSITIES = {"norm", "gamma", "beta", "t", "multivariate_normal"}


def exported(array: Any, copy: bool | None, **asked: Any) -> Any:
    """A DLPack capsule of an ndarray. Raises BufferError where the array would be unsafe in another library.

    PyTorch crashes the interpreter on negative strides, and writes to read-only arrays.
    """
    if copy:
        array = np.array(array, order="C")
    elif any(stride < 0 for stride in array.strides):
        raise BufferError(
            f"this Tensor of shape {array.shape} has the strides {array.strides}, and a DLPack consumer may not "
            f"support negative strides; write tg.asarray(t, copy=True) for a contiguous copy"
        )
    elif not array.flags.writeable:
        raise BufferError(
            f"this Tensor of shape {array.shape} is read-only, but a DLPack consumer may write to it anyway; "
            f"write tg.asarray(t, copy=True) for a copy"
        )
    return array.__dlpack__(**{key: value for key, value in asked.items() if value is not None})
