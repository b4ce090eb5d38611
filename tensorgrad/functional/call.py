"""One call of a function with fresh arguments, and the gradients of what it returned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import update_wrapper
from typing import Any

import numpy as np

from ..engine import walk
from ..engine.graph import Leaf, Node
from ..engine.mode import current, enable_grad
from ..engine.readings import ARRAYS
from ..engine.record import tensor_of
from ..errors import DTypeError, ShapeError
from ..namespaces import TENSORS
from ..ops import arithmetic
from ..tensor import Tensor, separated
from .nests import floating, in_kind, leaves, mapped, parameters, same

__all__ = ["Argnums", "Call", "depends_on_others", "fresh_tensor", "name_of", "named", "pulled_back"]

Argnums = int | tuple[int, ...]
_NOTHING = nullcontext()


class Call:
    """One call of ``f`` with fresh arguments, and the gradients of what it returned.

    Of a module, the parameters are the arguments: while ``f`` runs, and whenever gradients are computed, they are what
    the fresh Tensors are.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        argnums: Argnums,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        has_aux: bool = False,
    ) -> None:
        self.f = f
        self.single = isinstance(argnums, int)
        self.positions = _positions(argnums, len(args))
        self.nodes: set[Node] = set()
        self.kinds: dict[Node, Any] = {}  # each argument as it was given: what its derivatives are handed out like
        self.upstream = False  # did an argument come with history?
        self.learned: dict[int, tuple[Tensor, Tensor]] = {}  # parameters of modules, and what stands for each, by id
        recording = current().grad
        plain: list[Tensor] = []  # what is passed on, besides modules

        def fresh(path: str, leaf: Any) -> Tensor:
            x = fresh_tensor(floating(path, leaf), recording)
            assert x.node is not None
            self.upstream = self.upstream or not isinstance(x.node, Leaf)
            self.nodes.add(x.node)
            self.kinds[x.node] = leaf
            return x

        def argument(path: str, leaf: Any) -> Tensor:
            plain.append(fresh(path, leaf))
            return plain[-1]

        def module(path: str, it: Any) -> dict[str, Tensor]:
            own = {}
            for name, parameter in parameters(it) or ():
                if id(parameter) in self.learned:
                    raise ValueError(
                        f"{path}.{name} is a parameter of another argument, too; pass a module in one place, or "
                        f"write argnums for one of them"
                    )
                own[name] = x = fresh(f"{path}.{name}", parameter)
                x.name = parameter.name
                self.learned[id(parameter)] = (parameter, x)
            return own

        with enable_grad():
            self.trees = {i: mapped(argument, args[i], f"argument {i}", module) for i in self.positions}
            rest = iter(plain)
            passed = {i: mapped(lambda *_: next(rest), args[i], "", same) for i in self.positions}
            with self.standing_in():
                self.returned = f(*(passed.get(i, arg) for i, arg in enumerate(args)), **kwargs)
        self.aux: Any = None
        if has_aux:
            if not isinstance(self.returned, tuple) or len(self.returned) != 2:
                raise TypeError(
                    f"with has_aux=True the function returns a pair (result, aux), and {name_of(f)} returned "
                    f"{type(self.returned).__name__}"
                )
            self.returned, self.aux = self.returned
        if self.learned:
            self.returned = mapped(self._stood_for, self.returned, "")
            self.aux = mapped(self._stood_for, self.aux, "", same)
        self.recorded = recording and (self.upstream or self._others())
        self.alone = recording and not self.recorded  # all that the result depends on is the fresh arguments

    def standing_in(self) -> AbstractContextManager[None]:
        """Let the parameters of modules be the fresh Tensors for a while."""
        return self._standing_in() if self.learned else _NOTHING

    @contextmanager
    def _standing_in(self) -> Iterator[None]:
        before = [(parameter, parameter._data, parameter.node) for parameter, _ in self.learned.values()]
        try:
            for parameter, x in self.learned.values():
                parameter._data, parameter.node = x._data, x.node
            yield
        finally:
            for parameter, data, node in before:
                parameter._data, parameter.node = data, node

    def _stood_for(self, path: str, leaf: Any) -> Any:
        """What was returned, or what stood for it if it is a module's parameter."""
        return self.learned[id(leaf)][1] if id(leaf) in self.learned else leaf

    def _others(self) -> bool:
        """Does what ``f`` returned depend on a leaf that is not one of the fresh arguments?"""
        roots = [out.node for out in leaves(self.returned) if isinstance(out, Tensor)]
        return depends_on_others(roots, self.nodes)

    def result(self, by: str, returned: Any) -> Tensor:
        """What ``f`` returned, if it can be differentiated."""
        if not isinstance(returned, Tensor):
            raise TypeError(
                f"{by} needs a function that returns a Tensor, and {name_of(self.f)} returned "
                f"{type(returned).__name__}; compute the result with tensorgrad's operations"
            )
        if returned.dtype.kind != "f":
            advice = "; write .real, .imag or abs() of it" if returned.dtype.kind == "c" else ""
            raise DTypeError(
                f"{by} needs a result of floating point, and {name_of(self.f)} returned dtype {returned.dtype}{advice}"
            )
        return returned

    def scalar(self, by: str) -> Tensor:
        """What ``f`` returned, if it is a scalar."""
        out = self.result(by, self.returned)
        if out.shape != ():
            raise ShapeError(
                f"{by} needs a function with a scalar result, and {name_of(self.f)} returned shape {out.shape}; "
                f"reduce it, for example with .sum(), or write jacobian(f)"
            )
        return out

    def pull(self, out: Tensor, seed: Any) -> dict[Node, Tensor]:
        """The gradients of ``out`` for the fresh arguments that it depends on, given its own."""
        with self.standing_in():
            return pulled_back(out, tensor_of(seed, None), self.nodes, self.recorded, alone=self.alone)

    def given(self, tree: Any) -> Any:
        """A nest of results as it leaves the call: in kind, and without history unless that can be asked for."""
        return self.in_kind(tree if self.recorded else stop_gradient(tree))

    def in_kind(self, tree: Any) -> Any:
        """A nest of results in the kind of the arguments: Tensors, or arrays where no argument is a Tensor.

        As from NumPy's functions, a result without axes is then a NumPy scalar.
        """
        like = next((kind for kind in self.kinds.values() if isinstance(kind, Tensor)), 0.0)
        return mapped(lambda _, leaf: in_kind(like, leaf) if isinstance(leaf, Tensor) else leaf, tree, "", same)

    def rebuilt(self, function: Callable[[str, Tensor], Any]) -> Any:
        """``function(path, fresh)`` for all fresh arguments, nested as the arguments are, each in its kind."""

        def of(path: str, x: Tensor) -> Any:
            result = function(path, x)
            assert x.node is not None
            return in_kind(self.kinds[x.node], result) if isinstance(result, Tensor) else result

        results = tuple(mapped(of, self.trees[i], f"argument {i}") for i in self.positions)
        return results[0] if self.single else results


def stop_gradient(tree: Any) -> Any:
    """The same values without history: what is computed from them has no derivative by what they came from.

    Takes a Tensor, or a dict, list or tuple of Tensors and other things, which stay as they are; for a module, gives a
    dict of its parameters. Memory is shared, as by ``Tensor.detach``.

    >>> import tensorgrad as tg
    >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return mapped(lambda _, leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree, "")


def fresh_tensor(x: Tensor, recording: bool) -> Tensor:
    """A Tensor equal to ``x`` with a node of its own: a leaf, or a recorded copy where ``x`` has history."""
    if recording and x.requires_grad:
        return arithmetic.positive(x)
    result = x.detach()
    result.node = Leaf(result)
    return result


def pulled_back(
    out: Tensor, seed: Tensor, nodes: Iterable[Node], recorded: bool, through: bool = True, alone: bool = False
) -> dict[Node, Tensor]:
    """The gradients of ``out`` for those of ``nodes`` that it depends on, given its own, ``seed``.

    ``through``: also by way of another one of them. ``alone``: these are leaves, and it depends on no others, so that
    there is no need to ask what leads to them.
    """
    nodes = frozenset(nodes)
    if out.node is None or not out.node.requires_grad:
        return {}
    if not recorded:
        arrays = walk.backward(out.node, seed.data, ARRAYS, targets=None if alone else nodes, through=through)
        return {
            node: tensor_of(np.asarray(g) if isinstance(g, np.generic) else g, None)
            for node, g in arrays.items()
            if node in nodes
        }
    with enable_grad():
        tensors = walk.backward(out.node, seed, TENSORS, targets=nodes, through=through)
        return separated({node: g for node, g in tensors.items() if node in nodes})


def depends_on_others(roots: Iterable[Node | None], nodes: set[Node]) -> bool:
    """Does any of the roots depend on a leaf that is not one of ``nodes``, and that somebody still holds?"""
    oldest = min((node.birth for node in nodes), default=0)
    stack = [node for node in roots if node is not None and node.requires_grad]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node in nodes:
            continue
        if isinstance(node, Leaf):
            if node.owner() is not None or node.extra is not None:
                return True
            continue  # such as the argument of another transform that has returned
        if node.birth < oldest:
            return True
        for parent in node.inputs:
            if isinstance(parent, Node) and parent.requires_grad and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


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


def require_function(f: Any, by: str) -> None:
    """Refuse what is not a function: most likely its result."""
    if isinstance(f, Tensor) or not callable(f):
        got = "a Tensor, a result" if isinstance(f, Tensor) else type(f).__name__
        raise TypeError(
            f"{by} takes a function, got {got}; write tg.{by}(f)(x) with x as the function's argument, or "
            f"loss.backward() and x.grad for the gradient of a result"
        )


def name_of(f: Callable[..., Any]) -> str:
    """The name of a function, for messages."""
    return getattr(f, "__name__", None) or type(f).__name__


def named(result: Callable[..., Any], f: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """``result`` with the docstring of ``f``, and a name that says what was made of it."""
    update_wrapper(result, f, updated=())
    result.__name__ = result.__qualname__ = f"{prefix}({name_of(f)})"
    return result
