"""Derivatives as linear functions: vjp, jvp, linearize, and the product of a Hessian and a vector.

There is one table of rules, for going backward. Forward derivatives come from it as well: a pullback is linear in
its cotangent, and going backward through the pullback itself transposes the transposed Jacobian again (Townsend
2017, "A new trick for calculating Jacobian vector products").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np

from ..engine.graph import Leaf, Node
from ..engine.mode import current, enable_grad, silenced
from ..engine.record import tensor_of
from ..engine.staging import array_of
from ..ops import arithmetic, reductions
from ..tensor import Tensor
from .call import Call, name_of, pulled_back, require_function
from .nests import fitting, mapped, matched

__all__ = ["curvature", "hvp", "jvp", "linearize", "vjp"]


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The result of ``f``, and its pullback: the function from cotangents to the gradients of the arguments.

    The pullback can be called repeatedly. It takes cotangents nested like the result (None for a zero), and returns a
    tuple with one gradient per argument, nested like the argument; zeros for what the result does not depend on.

    Args:
        f: returns a Tensor, or a dict, list or tuple of Tensors.
        primals: the arguments, as for :func:`grad`. Bind what needs no gradient with a lambda.

    Raises:
        DTypeError: an argument or a result does not have a floating-point dtype.
        ShapeError: a cotangent does not have the shape of its result.
        ValueError: the cotangents are not nested like the results.

    >>> import tensorgrad as tg
    >>> y, pullback = tg.vjp(lambda x, a: a * x, tg.Tensor([1.0, 2.0]), 3.0)
    >>> pullback(tg.Tensor([1.0, 10.0]))
    (Tensor([ 3., 30.], dtype=float64), np.float64(21.0))
    """
    require_function(f, "vjp")
    call = Call(f, tuple(range(len(primals))), primals, {})
    results = _results(call, "vjp")

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        pairs: list[tuple[Tensor, Tensor]] = []

        def pair(path: str, out: Tensor, given: Any) -> None:
            seed = fitting(path, out, given, "the cotangent")
            if seed is not None:
                pairs.append((out, seed))

        matched(pair, results, cotangent, "the result", "the cotangent")
        recorded = _recorded(call, (seed for _, seed in pairs))
        return call.rebuilt(_or_zero(_pulled(call, pairs, call.nodes, recorded)))

    return call.given(results), pullback


def jvp(f: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """The result of ``f``, and its derivative along ``tangents``: the Jacobian times a vector.

    It costs about two backward passes, and the Jacobian is never formed.

    Args:
        f: returns a Tensor, or a dict, list or tuple of Tensors.
        primals: the arguments, as for :func:`grad`, in a tuple.
        tangents: a tuple with a tangent for each argument, nested like it (for a module, a dict by parameter name);
            None for a zero.

    Raises:
        DTypeError: an argument or a result does not have a floating-point dtype.
        ShapeError: a tangent does not have the shape of its argument.
        ValueError: the tangents are not nested like the arguments.

    >>> import tensorgrad as tg
    >>> tg.jvp(lambda x, a: a * x, (tg.Tensor([1.0, 2.0]), 3.0), (tg.Tensor([1.0, 0.0]), 10.0))
    (Tensor([3., 6.], dtype=float64), Tensor([13., 20.], dtype=float64))
    """
    out, push = linearize(f, *_tuple(primals, "primals", "jvp"))
    return out, push(*_tuple(tangents, "tangents", "jvp"))


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The result of ``f``, and its derivative there, as a function of one tangent per argument.

    ``f`` runs once, and each call of the linear function costs one backward pass. Arguments and errors are those of
    :func:`jvp`.

    >>> import tensorgrad as tg
    >>> y, push = tg.linearize(tg.sin, 0.0)
    >>> push(1.0), push(-2.0)
    (np.float64(1.0), np.float64(-2.0))
    """
    require_function(f, "linearize")
    call = Call(f, tuple(range(len(primals))), primals, {})
    results = _results(call, "jvp")
    pairs: list[tuple[Tensor, Tensor]] = []

    def cotangent(path: str, out: Tensor) -> Tensor:
        # Its value does not matter, as the pullback is linear in it, but a zero would be taken for a dead branch.
        u = tensor_of(np.ones_like(array_of(out)), None)
        u.node = Leaf(u)
        pairs.append((out, u))
        return u

    cotangents = mapped(cotangent, results, "the result")
    gradients = _pulled(call, pairs, call.nodes, True)
    sources = {u.node for _, u in pairs if u.node is not None}

    def push(*tangents: Any) -> Any:
        along = _along(call, tangents, "the linear function")
        recorded = _recorded(call, along.values())
        found = _pulled(call, _products(gradients, along), sources, recorded)
        return call.in_kind(mapped(_or_zero(found), cotangents, ""))

    return call.given(results), push


def hvp(f: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
    """The Hessian of ``f``, a function with a scalar result, times a vector: a tuple, nested like ``primals``.

    It costs about three gradients for any number of arguments, and the Hessian is never formed. Arguments and errors
    are those of :func:`jvp`; the result of ``f`` has shape ().

    >>> import tensorgrad as tg
    >>> tg.hvp(lambda x: (x**3).sum(), (tg.Tensor([1.0, 2.0]),), (tg.Tensor([1.0, 10.0]),))
    (Tensor([  6., 120.], dtype=float64),)
    """
    require_function(f, "hvp")
    product = curvature(f, *_tuple(primals, "primals", "hvp"))
    return product(*_tuple(tangents, "tangents", "hvp"))


def curvature(f: Callable[..., Any], *primals: Any) -> Callable[..., tuple[Any, ...]]:
    """The function from tangents to their product with the Hessian of ``f``.

    A Hessian is symmetric, so going backward through the gradient computes the same as going forward, at half the cost.
    """
    call = Call(f, tuple(range(len(primals))), primals, {})
    out = call.scalar("hvp")
    gradients = _pulled(call, [(out, tensor_of(np.ones_like(array_of(out)), None))], call.nodes, True)

    def product(*tangents: Any) -> tuple[Any, ...]:
        along = _along(call, tangents, "the product")
        recorded = _recorded(call, along.values())
        return call.rebuilt(_or_zero(_pulled(call, _products(gradients, along), call.nodes, recorded)))

    return product


# --- helpers --------------------------------------------------------------------------------------------


def _tuple(given: Any, which: str, by: str) -> tuple[Any, ...]:
    if not isinstance(given, tuple | list):
        raise TypeError(
            f"{by} takes {which} as a tuple, one for each argument, got {type(given).__name__}; write ({which[:-1]},)"
        )
    return tuple(given)


def _results(call: Call, by: str) -> Any:
    """What ``f`` returned, if every leaf of it is a Tensor that can be differentiated."""
    return mapped(lambda _, returned: call.result(by, returned), call.returned, "the result")


def _recorded(call: Call, given: Iterable[Tensor]) -> bool:
    """Whether to record the derivative: if the call is recorded, or a vector it is multiplied by needs a gradient."""
    return call.recorded or (current().grad and any(vector.requires_grad for vector in given))


def _along(call: Call, tangents: tuple[Any, ...], what: str) -> dict[Node, Tensor]:
    """The tangents of the fresh arguments, by node."""
    if len(tangents) != len(call.positions):
        raise ValueError(
            f"{what} of {name_of(call.f)} takes one tangent per argument ({len(call.positions)}), got {len(tangents)}"
        )
    along: dict[Node, Tensor] = {}

    def note(path: str, x: Tensor, given: Any) -> None:
        tangent = fitting(path, x, given, "the tangent")
        if tangent is not None:
            assert x.node is not None
            along[x.node] = tangent

    for i, tangent in zip(call.positions, tangents):
        matched(note, call.trees[i], tangent, f"argument {i}", "the tangent")
    return along


def _products(gradients: dict[Node, Tensor], along: dict[Node, Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(g, along[node]) for node, g in gradients.items() if node in along]


def _pulled(
    call: Call, pairs: list[tuple[Tensor, Tensor]], nodes: Iterable[Node], recorded: bool
) -> dict[Node, Tensor]:
    """The gradients of several results, each paired with its cotangent, with respect to ``nodes``, in one backward."""
    if not pairs:
        return {}
    with call.substituted():
        if len(pairs) == 1:
            ((out, seed),) = pairs
            return pulled_back(out, seed, nodes, recorded)
        with enable_grad(), silenced():
            total = reduce(arithmetic.add, (reductions.sum(arithmetic.multiply(out, seed)) for out, seed in pairs))
        return pulled_back(total, tensor_of(np.ones_like(total.data), None), nodes, recorded)


def _or_zero(found: dict[Node, Tensor]) -> Callable[[str, Tensor], Tensor]:
    """For :func:`mapped`: the gradient that was found for a Tensor's node, or zeros."""

    def of(path: str, x: Tensor) -> Tensor:
        g = found.get(x.node) if x.node is not None else None
        return tensor_of(np.zeros_like(array_of(x)), None) if g is None else g

    return of
