"""Checks of derivatives: they compare with finite differences, and detect what a rule must not do.

A checker that accepts a wrong rule is worse than none, so this one is itself tested with planted wrong rules.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from ..engine.frames import place
from ..engine.graph import Leaf, Node
from ..engine.mode import current, enable_grad, silenced
from ..engine.record import Handle, tensor_of
from ..engine.shapes import sum_to_shape
from ..engine.writes import memory, tick
from ..errors import DTypeError, ShapeError
from ..functional import fresh_tensor, pulled_back
from ..tensor import Tensor
from .differences import (
    GradcheckError,
    Method,
    central,
    central_by_parts,
    complex_or_none,
    complex_step,
    evaluated,
    name_of,
    results_of,
    shown,
)

__all__ = ["Check", "GradcheckError", "gradcheck", "gradgradcheck"]

_RTOL: dict[Method, float] = {"complex": 1e-10, "central": 1e-7}


class Check(NamedTuple):
    """The findings of a check that passed."""

    method: Method  # how the numeric derivative was computed
    error: float  # the largest abs(analytic - numeric) / max(1, abs(numeric))
    elements: int  # the number of derivatives that were compared


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method | None = None,
    seed: int = 0,
) -> Check:
    """Compare the gradient of ``f`` with a numeric one, element by element.

    The results of ``f`` are weighted with fixed random numbers, so that one backward tests the whole
    Jacobian. Every rule that runs is watched: it must not write to the gradient it gets or to what it saved,
    nor return what it saved.

    If an input or a result is complex, the loss is the real part of a sum of the results with complex weights, and its
    gradient is compared with ``dL/dx - i dL/dy``, from central differences with respect to the real and imaginary part
    of each input: the convention of :mod:`tensorgrad.ops.complexes`.

    Args:
        f: takes one Tensor for each of ``inputs`` and returns a Tensor of any shape, or a list or tuple of Tensors. It
            must return the same result for the same inputs.
        inputs: Tensors or arrays, float64 or complex128.
        rtol: the relative tolerance; by default 1e-10 with a complex step, 1e-7 with central differences.
        atol: the absolute tolerance, which is added. None allows for the errors that rounding in ``f`` and the step of
            central differences cause in the numeric derivative. They scale with the size of ``f`` at this point and
            nearby, so that they are not zero where ``f`` is zero.
        method: "complex" is exact up to rounding, for analytic functions whose operations accept complex numbers
            (Squire and Trapp 1998); "central" is for all others (five points, so an error of order step**4).
            None uses the complex step if it agrees with central differences, which it uses otherwise.
        seed: the seed of the random weights.

    Returns:
        The method used, the largest error found, and the number of elements compared.

    Raises:
        GradcheckError: a derivative is wrong (the message has the worst element, analytic and numeric); or a rule did
            something that it must not do; or ``f`` is random, writes to its input, or has a kink within the step.
        DTypeError: an input is not float64 or complex128.
        ValueError: inputs share memory; or a complex step was requested although inputs or results are complex.

    >>> import numpy as np, tensorgrad as tg
    >>> tg.testing.gradcheck(tg.tanh, np.array([0.5, -1.0])).method
    'complex'
    >>> tg.testing.gradcheck(lambda x: abs(x), np.array([0.5, -1.0])).method
    'central'
    """
    return _checked(f, _points(inputs), rtol, atol, method, seed)


def _checked(
    f: Callable[..., Any],
    points: list[Any],
    rtol: float | None,
    atol: float | None,
    method: Method | None,
    seed: int,
    size: float = 0.0,
) -> Check:
    """:func:`gradcheck` of a function that may be the derivative of results of a certain ``size``."""
    first = evaluated(f, points)
    _refuse_non_finite(f, first)
    rng = np.random.default_rng(seed)
    weights = [_weights(rng, out) for out in first]
    analytic = _analytic(f, points, weights)
    _refuse_random(f, points, first)
    used: Method
    if any(np.iscomplexobj(array) for array in (*points, *first)):
        if method == "complex":
            raise ValueError(
                f"gradcheck: {name_of(f)} has complex inputs or results, but the complex step is for real ones; write "
                f'method="central"'
            )
        (numeric, errors), used = central_by_parts(f, points, weights, first, size, atol or 0.0), "central"
    elif method == "complex":
        (numeric, errors), used = complex_step(f, points, weights, size), "complex"
    else:
        (numeric, errors), used = central(f, points, weights, first, size, atol or 0.0), "central"
        if method is None:
            better = complex_or_none(f, points, weights, size, numeric, errors)
            if better is not None:
                (numeric, errors), used = better, "complex"
    if rtol is None:
        rtol = _RTOL[used]
    tolerances = [(e if atol is None else atol) + rtol * np.abs(n) for n, e in zip(numeric, errors, strict=True)]
    return _compared(f, analytic, numeric, tolerances, used)


def gradgradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    rtol: float | None = None,
    atol: float | None = None,
    method: Method | None = None,
    seed: int = 0,
) -> Check:
    """Compare second derivatives of ``f`` with numeric ones: :func:`gradcheck` of its first derivative.

    The first derivative is treated as a function of the inputs and of the gradient of the result, so derivatives with
    respect to both are checked. To check the first derivative itself, use :func:`gradcheck`. Arguments and errors are
    those of gradcheck.

    >>> import numpy as np, tensorgrad as tg
    >>> tg.testing.gradgradcheck(tg.tanh, np.array([0.5, -1.0])).method
    'complex'
    """
    points = _points(inputs)
    rng = np.random.default_rng([seed, 1])
    outs = evaluated(f, points)
    seeds = [rng.uniform(0.5, 1.5, out.shape) for out in outs]
    seeds = [g + 1j * rng.uniform(0.5, 1.5, g.shape) if out.dtype.kind == "c" else g for g, out in zip(seeds, outs)]
    size = float(max((np.max(np.abs(out), initial=0.0) for out in outs), default=0.0))
    count = len(points)

    def first_derivative(*values: Tensor) -> list[Tensor]:
        # Recorded when it is differentiated, and on plain arrays when differences are taken, so that both ways of
        # evaluating a rule are compared as well.
        recorded = current().grad
        with enable_grad():
            xs = [fresh_tensor(x, recorded) for x in values[:count]]
            results = [tensor_of(np.zeros_like(x.data), None) for x in xs]
            for out, g in zip(results_of(f(*xs)), values[count:], strict=True):
                parts = pulled_back(out, g, [x.node for x in xs if x.node is not None], recorded)
                for i, x in enumerate(xs):
                    if x.node in parts:
                        results[i] = results[i] + parts[x.node]
        return results

    first_derivative.__name__ = f"the first derivative of {name_of(f)}"
    return _checked(first_derivative, _points((*points, *seeds)), rtol, atol, method, seed, size)


# --- inputs and results ---------------------------------------------------------------------------------


def _points(inputs: tuple[Any, ...]) -> list[Any]:
    """The inputs as float64 or complex128 arrays, which are never written to."""
    if not inputs:
        raise TypeError("gradcheck needs at least one input to differentiate with respect to")
    arrays = [np.asarray(value.data if isinstance(value, Handle) else value) for value in inputs]
    for i, array in enumerate(arrays):
        if array.dtype not in (np.float64, np.complex128):
            raise DTypeError(
                f"gradcheck: input {i} has dtype {array.dtype}, expected float64 (or complex128): rounding in "
                f"{array.dtype} hides wrong derivatives; write .astype(np.float64), or use a lambda to bind arguments "
                f"that are not differentiated"
            )
        if 0 in array.strides and array.size > 1 and any(n > 1 and not s for n, s in zip(array.shape, array.strides)):
            raise ValueError(
                f"gradcheck: elements of input {i} share memory (it was broadcast), so they cannot be changed one at "
                f"a time; write .copy()"
            )
        for j in range(i):
            if np.shares_memory(array, arrays[j]):
                raise ValueError(
                    f"gradcheck: inputs {j} and {i} share memory, so they cannot be changed one at a time; "
                    f"write .copy()"
                )
    return arrays


def _weights(rng: np.random.Generator, out: Any) -> Any:
    """Random weights for a result, away from zero; complex for a complex result."""
    weights = rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape)
    return weights * np.exp(1j * rng.uniform(0.5, 1.0, out.shape)) if out.dtype.kind == "c" else weights


def _refuse_non_finite(f: Callable[..., Any], first: list[Any]) -> None:
    for i, out in enumerate(first):
        if not np.isfinite(out).all():
            index = tuple(map(int, np.argwhere(~np.isfinite(out))[0]))
            raise GradcheckError(
                f"{name_of(f)} is {out[index]} at index {shown(index)} of result {i}, so it has no numeric "
                f"derivative there; check at another point"
            )


def _refuse_random(f: Callable[..., Any], points: list[Any], first: list[Any]) -> None:
    for i, (a, b) in enumerate(zip(first, evaluated(f, points), strict=True)):
        if not np.array_equal(a, b, equal_nan=True):
            raise GradcheckError(
                f"{name_of(f)} returned two different results (result {i}) for the same input, so differences "
                f"mean nothing; make whatever is random an argument, or seed it inside"
            )


# --- the analytic gradient ------------------------------------------------------------------------------


def _analytic(f: Callable[..., Any], points: list[Any], weights: list[Any]) -> list[Any]:
    """The gradient computed by the rules of f, all of which are watched."""
    since = tick()
    leaves = [Tensor(point, requires_grad=True) for point in points]
    nodes = [leaf.node for leaf in leaves if leaf.node is not None]
    with enable_grad():
        results = results_of(f(*leaves))
    for i, (leaf, point) in enumerate(zip(leaves, points, strict=True)):
        if not np.array_equal(leaf.data, point, equal_nan=True):
            raise GradcheckError(f"{name_of(f)} wrote to its input {i}")
    _watch([out.node for out in results], since)
    total = [np.zeros_like(point) for point in points]
    for out, weight in zip(results, weights, strict=True):
        if out.dtype.kind not in "fc":
            raise DTypeError(f"gradcheck: f returned dtype {out.dtype}, expected floating point")
        parts = pulled_back(out, tensor_of(weight.astype(out.dtype), None), nodes, recorded=False)
        for i, node in enumerate(nodes):
            if node in parts:
                total[i] = total[i] + parts[node].data
    return total


def _watch(roots: list[Node | None], since: int) -> None:
    """Watch every rule of the nodes created after ``since``."""
    stack = [node for node in roots if node is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.birth > since and not isinstance(node, Leaf):
            node.rules = tuple(
                None if rule is None else _watched(rule, node.op, node.inputs[i], i, place(node.code, node.lasti))
                for i, rule in enumerate(node.rules)
            )
            for parent in node.inputs:
                if isinstance(parent, Node) and parent not in seen:
                    seen.add(parent)
                    stack.append(parent)


def _watched(rule: Callable[..., Any], op: str, parent: Node, position: int, where: str) -> Callable[..., Any]:
    """The rule, with checks for side effects and for what it returns."""
    what = f"the rule of {op} (called at {where}) for input {position}"
    # Read now, because they are the same for every call; the closure must not hold a reference to the node.
    shape, kind = parent.shape, parent.dtype.kind
    names = list(inspect.signature(rule).parameters)[2:]

    @wraps(rule)
    def watching(xp: Any, g: Any, *args: Any) -> Any:
        given = [_array(g), *map(_array, args)]
        before = [np.copy(a) for a in given]
        result = rule(xp, g, *args)
        if not hasattr(result, "dtype"):
            raise GradcheckError(f"{what} returned {type(result).__name__}, expected an array")
        for i, (old, new) in enumerate(zip(before, given, strict=True)):
            if not np.array_equal(old, new, equal_nan=old.dtype.kind in "fc"):
                name = (
                    "the gradient g that it was passed"
                    if i == 0
                    else f"its saved argument {names[min(i, len(names)) - 1]}"
                )
                raise GradcheckError(f"{what} wrote to {name}, which others still need")
        mine = memory(_array(result))
        if mine is not memory(given[0]) and any(mine is memory(a) for a in given[1:]):
            raise GradcheckError(f"{what} returned an array that it saved (or a view of one), expected fresh memory")
        if result.dtype.kind not in ("fc" if "c" in (kind, given[0].dtype.kind) else "f"):
            raise GradcheckError(f"{what} returned dtype {result.dtype}, expected floating point")
        try:
            sum_to_shape(np, np.broadcast_to(np.float64(0), result.shape), shape)
        except ShapeError as error:
            raise GradcheckError(f"{what} returned shape {result.shape}, expected {shape}") from error
        return result

    return watching


def _array(value: Any) -> Any:
    return np.asarray(value.data if isinstance(value, Handle) else value)


# --- the verdict ----------------------------------------------------------------------------------------


def _compared(
    f: Callable[..., Any], analytic: list[Any], numeric: list[Any], tolerances: list[Any], used: Method
) -> Check:
    """The result of a check, if all errors are within tolerance."""
    largest = 0.0
    worst: tuple[float, int, tuple[int, ...]] | None = None
    wrong = elements = 0
    for i, (a, n, tolerance) in enumerate(zip(analytic, numeric, tolerances, strict=True)):
        error = np.abs(a - n)
        with silenced():
            excess = np.where(error == 0, 0, error / tolerance)
        excess = np.where(np.isnan(excess), np.inf, excess)  # NaN is as wrong as can be
        elements += a.size
        wrong += int(np.sum(excess > 1))
        if a.size:
            index = tuple(map(int, np.unravel_index(int(np.argmax(excess)), a.shape)))
            if worst is None or excess[index] > worst[0]:
                worst = float(excess[index]), i, index
            largest = max(largest, float(np.max(error / np.maximum(1, np.abs(n)))))
    if wrong and worst is not None:
        _, i, index = worst
        a, n = analytic[i][index].item(), numeric[i][index].item()
        ratio = f", ratio {a / n:.10g}" if n and np.isfinite(a) else ""
        raise GradcheckError(
            f"the gradient of {name_of(f)} is wrong in {wrong} of {elements} elements; the worst is in input "
            f"{i} at index {shown(index)}: analytic {a!r}, numeric {n!r} ({used}), error {abs(a - n):.3g}, "
            f"tolerance {tolerances[i][index]:.3g}{ratio}"
        )
    return Check(used, largest, elements)
