"""Derivatives as functions of functions: ``grad(f)`` is a function that returns the gradient of ``f``.

They nest to any order, return values, and never touch ``.grad``. Each call differentiates with respect to
fresh nodes that stand for its arguments alone, so that a variable that ``f`` also sees from outside is not
confused with them: ``grad(lambda z: z * x)(x)`` is ``x``.

The derivative is itself recorded, so that it can be differentiated further, where that can ever be asked for:
an argument came with history, or ``f`` uses another Tensor that requires a gradient (the parameters of a
model, in a gradient penalty). Otherwise, and under ``no_grad()``, the faster backward on plain arrays runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any

import numpy as np

from . import ops, walk
from .errors import DTypeError, GraphError, ShapeError
from .graph import Leaf, Node
from .mode import current, enable_grad
from .readings import ARRAYS, TENSORS
from .record import handle
from .staging import array_of
from .tensor import Tensor, separated

__all__ = ["grad", "hessian", "jacobian", "value_and_grad"]

Argnums = int | tuple[int, ...]


def grad(f: Callable[..., Any], argnums: Argnums = 0, *, allow_unused: bool = False) -> Callable[..., Any]:
    """The function that returns the gradient of ``f``, a function with a scalar result.

    An argument is a Tensor, an array, a Python float, or a dict, list or tuple of them, nested as you like.
    Its gradient is a Tensor of the same shape and dtype, or the same nest of Tensors.

    Args:
        f: returns a Tensor of shape ().
        argnums: the position of the argument to differentiate by, or a tuple of positions for a tuple of
            gradients.
        allow_unused: give None for what ``f`` does not depend on, where otherwise an error is raised.

    Raises:
        DTypeError: an argument to differentiate by, or the result, is not of floating point.
        ShapeError: the result is not a scalar.
        GraphError: the result does not depend on an argument.

    >>> import tensorgrad as tg
    >>> tg.grad(tg.tanh)(0.0)
    Tensor(1., dtype=float64)
    >>> tg.grad(tg.grad(tg.grad(tg.tanh)))(0.0)
    Tensor(-2., dtype=float64)
    >>> tg.grad(lambda p: (p["w"] * p["b"]).sum())({"w": tg.Tensor([2.0, 3.0]), "b": 4.0})["b"]
    Tensor(5., dtype=float64)
    """
    both = value_and_grad(f, argnums, allow_unused=allow_unused)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return _named(gradient, f, "grad")


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, allow_unused: bool = False
) -> Callable[..., tuple[Tensor, Any]]:
    """The function that returns what ``f`` returns, and its gradient, for the price of the gradient.

    Arguments and errors are those of :func:`grad`.

    >>> import tensorgrad as tg
    >>> tg.value_and_grad(lambda x, y: x * y, argnums=(0, 1))(3.0, 5.0)
    (Tensor(15., dtype=float64), (Tensor(5., dtype=float64), Tensor(3., dtype=float64)))
    """

    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        call = _Call(f, argnums, args, kwargs)
        out = call.result("grad", call.returned)
        if out.shape != ():
            raise ShapeError(
                f"grad needs a function with a scalar result, and {_name(f)} returned shape {out.shape}; "
                f"reduce it, for example with .sum(), or write jacobian(f)"
            )
        gradients = call.pull(out, np.ones_like(array_of(out)))

        def gradient_of(path: str, x: Tensor) -> Tensor | None:
            assert x.node is not None
            g = gradients.get(x.node)
            if g is None and not allow_unused:
                raise GraphError(
                    f"the result of {_name(f)} does not depend on {path}; write allow_unused=True to get None for it"
                )
            return g

        value = out if call.recorded else out.detach()
        return value, call.rebuilt(gradient_of)

    return _named(value_and_gradient, f, "value_and_grad")


def jacobian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that returns all first derivatives of ``f``: a Tensor of shape ``out.shape + in.shape``.

    Costs one backward for each element of the result. Arguments are those of :func:`grad`. Where ``f``
    returns a dict, list or tuple, so does the Jacobian function, outermost. Zero where ``f`` does not depend
    on an argument.

    Raises:
        DTypeError: an argument to differentiate by, or the result, is not of floating point.

    >>> import tensorgrad as tg
    >>> tg.jacobian(lambda x: x * x)(tg.Tensor([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]], dtype=float64)
    """

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        call = _Call(f, argnums, args, kwargs)

        def derivatives(path: str, returned: Any) -> Any:
            out = call.result("jacobian", returned)
            rows = []
            for i in range(out.size):
                seed = np.zeros(out.size, dtype=out.dtype)
                seed[i] = 1
                rows.append(call.pull(out, np.reshape(seed, out.shape)))

            def stacked(path: str, x: Tensor) -> Tensor:
                shape = out.shape + x.shape
                if not rows or x.node not in rows[0]:
                    return handle(np.zeros(shape, dtype=x.dtype), None)
                return ops.reshape(ops.stack([row[x.node] for row in rows]), shape)

            return call.rebuilt(stacked)

        return mapped(derivatives, call.returned, "the result")

    return _named(jacobian_of, f, "jacobian")


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that returns all second derivatives of ``f``, a function with a scalar result.

    For one argument, a Tensor of shape ``in.shape + in.shape``; for a tuple of positions or a nested
    argument, the block ``[i][j]`` is the derivative of gradient ``i`` by argument ``j``. Errors are those of
    :func:`grad`.

    >>> import tensorgrad as tg
    >>> tg.hessian(lambda x: (x * x * x).sum())(tg.Tensor([1.0, 2.0]))
    Tensor([[ 6.,  0.],
            [ 0., 12.]], dtype=float64)
    """
    return _named(jacobian(grad(f, argnums), argnums), f, "hessian")


# --- one call -------------------------------------------------------------------------------------------


class _Call:
    """One call of ``f`` with fresh arguments, and the gradients of what it returned."""

    def __init__(self, f: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.f = f
        self.single = isinstance(argnums, int)
        self.positions = _positions(argnums, len(args))
        self.nodes: set[Node] = set()
        self.upstream = False  # did an argument come with history?
        recording = current().grad

        def fresh(path: str, leaf: Any) -> Tensor:
            x = fresh_tensor(_floating(path, leaf), recording)
            assert x.node is not None
            self.upstream = self.upstream or not isinstance(x.node, Leaf)
            self.nodes.add(x.node)
            return x

        with enable_grad():
            self.trees = {i: mapped(fresh, args[i], f"argument {i}") for i in self.positions}
            self.returned = f(*(self.trees.get(i, arg) for i, arg in enumerate(args)), **kwargs)
        self.recorded = recording and (self.upstream or self._others())

    def _others(self) -> bool:
        """Does what ``f`` returned depend on a leaf that is not one of the fresh arguments?"""
        roots: list[Node | None] = []
        mapped(lambda _, out: roots.append(out.node) if isinstance(out, Tensor) else None, self.returned, "")
        return depends_on_others(roots, self.nodes)

    def result(self, by: str, returned: Any) -> Tensor:
        """What ``f`` returned, if it can be differentiated."""
        if not isinstance(returned, Tensor):
            raise TypeError(
                f"{by} needs a function that returns a Tensor, and {_name(self.f)} returned "
                f"{type(returned).__name__}; compute the result with tensorgrad's operations"
            )
        if returned.dtype.kind != "f":
            advice = "; write .real, .imag or abs() of it" if returned.dtype.kind == "c" else ""
            raise DTypeError(
                f"{by} needs a result of floating point, and {_name(self.f)} returned dtype {returned.dtype}{advice}"
            )
        return returned

    def pull(self, out: Tensor, seed: Any) -> dict[Node, Tensor]:
        """The gradients of ``out`` for the fresh arguments that it depends on, given its own."""
        return pulled_back(out, handle(seed, None), self.nodes, self.recorded)

    def rebuilt(self, function: Callable[[str, Tensor], Any]) -> Any:
        """``function(path, fresh)`` for all fresh arguments, nested as the arguments are."""
        results = tuple(mapped(function, self.trees[i], f"argument {i}") for i in self.positions)
        return results[0] if self.single else results


def fresh_tensor(x: Tensor, recording: bool) -> Tensor:
    """A Tensor equal to ``x`` with a node of its own: a leaf, or a recorded copy where ``x`` has history."""
    if recording and x.requires_grad:
        return ops.positive(x)
    result = x.detach()
    result.node = Leaf(result)
    return result


def pulled_back(out: Tensor, seed: Tensor, nodes: Iterable[Node], recorded: bool) -> dict[Node, Tensor]:
    """The gradients of ``out`` for those of ``nodes`` that it depends on, given its own, ``seed``."""
    nodes = frozenset(nodes)
    if out.node is None or not out.node.requires_grad:
        return {}
    if not recorded:
        arrays = walk.backward(out.node, seed.data, ARRAYS, targets=nodes)
        return {node: handle(np.asarray(g), None) for node, g in arrays.items() if node in nodes}
    with enable_grad():
        tensors = walk.backward(out.node, seed, TENSORS, targets=nodes)
        return separated({node: g for node, g in tensors.items() if node in nodes})


def depends_on_others(roots: Iterable[Node | None], nodes: set[Node]) -> bool:
    """Does any of the roots depend on a leaf that is not one of ``nodes``?"""
    oldest = min((node.birth for node in nodes), default=0)
    stack = [node for node in roots if node is not None and node.requires_grad]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node in nodes:
            continue
        if isinstance(node, Leaf) or node.birth < oldest:
            return True
        for parent in node.inputs:
            if isinstance(parent, Node) and parent.requires_grad and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


# --- arguments ------------------------------------------------------------------------------------------


def mapped(function: Callable[[str, Any], Any], tree: Any, path: str) -> Any:
    """A nest of dicts, lists and tuples with ``function(path, leaf)`` in place of every leaf; None stays.

    >>> mapped(lambda path, leaf: (path, 2 * leaf), {"w": [1.0, None]}, "argument 0")
    {'w': [("argument 0['w'][0]", 2.0), None]}
    """
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: mapped(function, value, f"{path}[{key!r}]") for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [mapped(function, value, f"{path}[{i}]") for i, value in enumerate(tree)]
        if isinstance(tree, list):
            return parts
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return function(path, tree)


def _floating(path: str, leaf: Any) -> Tensor:
    """An argument as a Tensor of floating point, or an error that says where it is."""
    x = leaf if isinstance(leaf, Tensor) else None
    if x is None and (isinstance(leaf, int | float | complex | np.generic) or hasattr(leaf, "__array_function__")):
        x = Tensor(leaf)
    if x is None:
        raise TypeError(
            f"{path} is a {type(leaf).__name__}, expected a Tensor, an array, a float, or a dict, list or "
            f"tuple of them; leave it out of argnums if no gradient is needed for it"
        )
    if x.dtype.kind not in "fc":
        raise DTypeError(
            f"{path} is of dtype {x.dtype}, and a derivative needs floating point; write {_as_float(leaf)}, "
            f"or leave it out of argnums"
        )
    return x


def _as_float(leaf: Any) -> str:
    return repr(float(leaf)) if isinstance(leaf, int) else "tg.Tensor(..., dtype=np.float64)"


def _positions(argnums: Argnums, given: int) -> tuple[int, ...]:
    """The positions to differentiate by, counted from the front."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(isinstance(i, int) and not isinstance(i, bool) for i in numbers):
        raise TypeError(f"argnums is an integer or a tuple of integers, got {argnums!r}")
    for i in numbers:
        if not -given <= i < given:
            raise ValueError(
                f"argnums has position {i}, and the function was called with {given} positional arguments; "
                f"keyword arguments are not differentiated"
            )
    positions = tuple(i % given for i in numbers)
    if len(set(positions)) != len(positions):
        raise ValueError(f"argnums names a position twice: {argnums!r}")
    return positions


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", None) or type(f).__name__


def _named(result: Callable[..., Any], f: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    update_wrapper(result, f, updated=())
    result.__name__ = result.__qualname__ = f"{prefix}({_name(f)})"
    return result
