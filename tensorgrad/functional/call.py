"""One call of a function with fresh arguments, and the gradients of what it returned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any
from weakref import ref

import numpy as np

from ..engine import walk
from ..engine.blocks import restoring
from ..engine.graph import Leaf, Node
from ..engine.mode import current, enable_grad
from ..engine.readings import ARRAYS
from ..engine.record import tensor_of
from ..engine.staging import array_of
from ..errors import DTypeError, ShapeError
from ..namespaces import TENSORS
from ..ops import arithmetic, rounding
from ..tensor import Tensor, separated
from .nests import floating, in_kind, leaves, mapped, parameters, same

__all__ = ["Argnums", "Call", "depends_on_others", "fresh_tensor", "name_of", "named", "pulled_back"]

Argnums = int | tuple[int, ...]
_NOTHING = nullcontext()
# The calls whose functions are running: weakly, because a checkpoint in them keeps its context.
_running: ContextVar[tuple[ref[Call], ...]] = ContextVar("tensorgrad_calls", default=())


class Call:
    """One call of ``f`` with fresh arguments, and the gradients of what it returned.

    The arguments of a module are its parameters: while ``f`` runs, and whenever gradients are computed, they take on
    the data and nodes of the fresh Tensors.
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
        self.kinds: dict[Node, Any] = {}  # each argument as it was passed, which decides the type of its derivatives
        self.parameters: dict[int, tuple[Tensor, Tensor]] = {}  # by id: a module's parameter, and its fresh Tensor
        self.differentiated: set[Node] = set()  # the nodes of arguments that something differentiated inside depends on
        self._seen: set[int] = set()  # the births of nodes where these were looked for
        recording = current().grad
        upstream = False  # does an argument have history?
        plain: list[Tensor] = []  # the fresh Tensors of arguments other than modules

        def fresh(path: str, leaf: Any) -> Tensor:
            nonlocal upstream
            x = fresh_tensor(floating(path, leaf), recording)
            assert x.node is not None
            upstream = upstream or not isinstance(x.node, Leaf)
            self.kinds[x.node] = leaf
            return x

        def argument(path: str, leaf: Any) -> Tensor:
            plain.append(fresh(path, leaf))
            return plain[-1]

        def module(path: str, it: Any) -> dict[str, Tensor]:
            own = {}
            for name, parameter in parameters(it) or ():
                if id(parameter) in self.parameters:
                    raise ValueError(
                        f"{path}.{name} is also a parameter of another argument; pass a module in one place only, or "
                        f"list only one of them in argnums"
                    )
                own[name] = x = fresh(f"{path}.{name}", parameter)
                x.name = parameter.name
                self.parameters[id(parameter)] = (parameter, x)
            return own

        with _NOTHING if recording else enable_grad():
            self.trees = {i: mapped(argument, args[i], f"argument {i}", module) for i in self.positions}
            rest = iter(plain)
            passed = list(args)
            for i, tree in self.trees.items():
                # The function gets nests of its own, which it may change.
                passed[i] = next(rest) if isinstance(tree, Tensor) else mapped(lambda *_: next(rest), args[i], "", same)
            enclosing = _running.get()
            with self.substituted():
                try:
                    _running.set((*enclosing, ref(self)))
                    self.returned = f(*passed, **kwargs)
                finally:
                    _running.set(enclosing)
        self.aux: Any = None
        if has_aux:
            if not isinstance(self.returned, tuple) or len(self.returned) != 2:
                raise TypeError(
                    f"with has_aux=True the function must return a pair (result, aux), but {name_of(f)} returned "
                    f"{type(self.returned).__name__}"
                )
            self.returned, self.aux = self.returned
        if self.parameters:
            self.returned = mapped(self._substitute, self.returned, "")
            self.aux = mapped(self._substitute, self.aux, "", same)
        self.recording = recording
        if recording:
            for known in enclosing:
                call = known()
                if call is not None:
                    call.note_differentiated(self.returned)
        # Whether derivatives are recorded: an argument has history, or what f returned depends on another leaf. To
        # know the latter takes a walk through the graph, so it stays None until it is needed.
        self._recorded: bool | None = recording and (upstream or None)

    @property
    def nodes(self) -> Collection[Node]:
        """The nodes of the fresh arguments."""
        return self.kinds.keys()

    def note_differentiated(self, results: Any) -> None:
        """Note which of the arguments these depend on: so do, with derivative 0, the derivatives of these."""
        missing = self.kinds.keys() - self.differentiated
        if not missing:
            return
        oldest = min(node.birth for node in missing)
        stack: list[Any] = [out.node for out in leaves(results) if isinstance(out, Tensor)]
        while stack:
            node = stack.pop()
            if isinstance(node, Node) and node.requires_grad and oldest <= node.birth not in self._seen:
                self._seen.add(node.birth)
                stack += node.inputs
                if node in missing:
                    self.differentiated.add(node)

    @property
    def recorded(self) -> bool:
        """Whether derivatives are recorded."""
        if self._recorded is None:
            roots = [out.node for out in leaves(self.returned) if isinstance(out, Tensor)]
            self._recorded = depends_on_others(roots, self.nodes)
        return self._recorded

    def substituted(self) -> AbstractContextManager[None]:
        """Give the parameters of modules the data and nodes of the fresh Tensors inside the block."""
        if not self.parameters:
            return _NOTHING
        before = [(parameter, parameter._data, parameter.node) for parameter, _ in self.parameters.values()]

        def substitute() -> None:
            for parameter, x in self.parameters.values():
                parameter._data, parameter.node = x._data, x.node

        def put_back() -> None:
            for parameter, data, node in before:
                parameter._data, parameter.node = data, node

        return restoring(put_back, substitute)

    def _substitute(self, path: str, leaf: Any) -> Any:
        """The fresh Tensor of a module's parameter; anything else unchanged."""
        return self.parameters[id(leaf)][1] if id(leaf) in self.parameters else leaf

    def result(self, by: str, returned: Any) -> Tensor:
        """What ``f`` returned, if it can be differentiated."""
        if not isinstance(returned, Tensor):
            raise TypeError(
                f"{by} needs a function that returns a Tensor, but {name_of(self.f)} returned "
                f"{type(returned).__name__}; compute the result with tensorgrad's operations"
            )
        if returned.dtype.kind != "f":
            advice = "; take .real, .imag or abs() of it" if returned.dtype.kind == "c" else ""
            raise DTypeError(
                f"{by} needs a floating point result, but {name_of(self.f)} returned dtype {returned.dtype}{advice}"
            )
        return returned

    def scalar(self, by: str) -> Tensor:
        """What ``f`` returned, if it is a scalar."""
        out = self.result(by, self.returned)
        if out.shape != ():
            raise ShapeError(
                f"{by} needs a function with a scalar result, but {name_of(self.f)} returned shape {out.shape}; "
                f"reduce it, for example with .sum(), or write jacobian(f)"
            )
        return out

    def pull(self, out: Tensor, seed: Any) -> dict[Node, Tensor]:
        """The gradients of ``out``, times ``seed``, with respect to the fresh arguments that it depends on."""
        node, seed = out.node, array_of(seed)  # so that a compiler follows what is done to it
        with self.substituted():
            undecided = self._recorded is None and out is self.returned and current().tracer is None
            if undecided and node is not None and node.requires_grad:
                # The walk itself finds out whether there are other leaves, which is cheaper than to look first.
                try:
                    found = walk.backward(node, seed, ARRAYS, only=self.nodes)
                except Exception:  # the walk below raises it again, unless it was on the way to another leaf
                    pass
                else:
                    self._recorded = False
                    return _among(self.nodes, found)
            alone = self.recording and not self.recorded  # the result depends on the fresh arguments only
            return pulled_back(out, tensor_of(seed, None), self.nodes, self.recorded, alone=alone)

    def given(self, tree: Any) -> Any:
        """A nest of results as the caller gets it: in kind, and without history unless the call is recorded."""
        if self.recorded:
            return self.in_kind(tree)
        like = self._like()
        return mapped(lambda _, leaf: in_kind(like, leaf, cut=True) if isinstance(leaf, Tensor) else leaf, tree, "")

    def in_kind(self, tree: Any) -> Any:
        """A nest of results in kind: as Tensors, or as arrays if no argument is a Tensor.

        As with NumPy's functions, a 0-d result is then a NumPy scalar.
        """
        like = self._like()
        return mapped(lambda _, leaf: in_kind(like, leaf) if isinstance(leaf, Tensor) else leaf, tree, "", same)

    def _like(self) -> Any:
        """An argument that decides the kind of the results."""
        for kind in self.kinds.values():
            if isinstance(kind, Tensor):
                return kind
        return 0.0

    def rebuilt(self, function: Callable[[str, Tensor], Any]) -> Any:
        """``function(path, fresh)`` for all fresh arguments, nested like the arguments, each in kind."""

        def of(path: str, x: Tensor) -> Any:
            result = function(path, x)
            assert x.node is not None
            derivative = isinstance(result, Tensor) and self.recording and not isinstance(x.node, Leaf)
            if derivative and not _depends(result, x.node):
                # f is linear in x: its derivative depends on an x with history all the same, with derivative 0.
                result = arithmetic.subtract(result, rounding.zeros_like(x))  # the sign of -0 stays
            return in_kind(self.kinds[x.node], result) if isinstance(result, Tensor) else result

        results = tuple([mapped(of, tree, f"argument {i}") for i, tree in self.trees.items()])
        return results[0] if self.single else results


def _depends(result: Tensor, on: Node) -> bool:
    """Whether a result is recorded, and its graph reaches a node. Stops at the first path, as most are short."""
    if not result.requires_grad or result.node is None:
        return False
    stack: list[Node] = [result.node]
    seen = {result.node}
    while stack:
        for parent in stack.pop().inputs:
            if parent is on:
                return True
            if isinstance(parent, Node) and parent not in seen and parent.requires_grad and parent.birth > on.birth:
                seen.add(parent)
                stack.append(parent)
    return result.node is on


def stop_gradient(tree: Any) -> Any:
    """The same values without history: results computed from them have no derivative with respect to their origin.

    Takes a Tensor, or a dict, list or tuple of Tensors and other things, which are returned unchanged; for a module,
    returns a dict of its parameters. Memory is shared, as with ``Tensor.detach``.

    >>> import tensorgrad as tg
    >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return mapped(lambda _, leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree, "")


def fresh_tensor(x: Tensor, recording: bool) -> Tensor:
    """A Tensor equal to ``x`` with its own node: a leaf, or a recorded copy if ``x`` requires a gradient."""
    if recording and x.requires_grad:
        return arithmetic.positive(x)
    result = tensor_of(array_of(x), None)
    result.node = Leaf(result)
    return result


def pulled_back(
    out: Tensor, seed: Tensor, nodes: Iterable[Node], recorded: bool, through: bool = True, alone: bool = False
) -> dict[Node, Tensor]:
    """The gradients of ``out``, times ``seed``, with respect to those of ``nodes`` that it depends on.

    With ``through``, paths that go through another one of them count as well. With ``alone``, ``nodes`` are all the
    leaves that ``out`` depends on, so that every path leads to one of them.
    """
    nodes = frozenset(nodes)
    if out.node is None or not out.node.requires_grad:
        return {}
    if not recorded:
        targets = None if alone else nodes
        return _among(nodes, walk.backward(out.node, seed.data, ARRAYS, targets=targets, through=through))
    with enable_grad():
        tensors = walk.backward(out.node, seed, TENSORS, targets=nodes, through=through)
        return separated({node: g for node, g in tensors.items() if node in nodes})


def _among(nodes: Collection[Node], arrays: dict[Node, Any]) -> dict[Node, Tensor]:
    """The gradients that a walk found for ``nodes``, as Tensors."""
    return {
        node: tensor_of(np.asarray(g) if isinstance(g, np.generic) else g, None)
        for node, g in arrays.items()
        if node in nodes
    }


def depends_on_others(roots: Iterable[Node | None], nodes: Collection[Node]) -> bool:
    """Whether any of the roots depends on a leaf that is not in ``nodes`` and is still in use."""
    oldest = min((node.birth for node in nodes), default=0)
    stack = [node for node in roots if node is not None and node.requires_grad]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node in nodes:
            continue
        if isinstance(node, Leaf):
            if walk.in_use(node):
                return True
            continue
        if node.birth < oldest:
            return True
        for parent in node.inputs:
            if isinstance(parent, Node) and parent.requires_grad and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


def _positions(argnums: Argnums, given: int) -> tuple[int, ...]:
    """The positions to differentiate with respect to, counted from the front."""
    if argnums.__class__ is int and 0 <= argnums < given:
        return (argnums,)
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(isinstance(i, int) and not isinstance(i, bool) for i in numbers):
        raise TypeError(f"argnums must be an integer or a tuple of integers, got {argnums!r}")
    for i in numbers:
        if not -given <= i < given:
            raise ValueError(
                f"argnums has position {i}, but the function was called with {given} positional arguments; "
                f"keyword arguments are not differentiated"
            )
    positions = tuple(i % given for i in numbers)
    if len(set(positions)) != len(positions):
        raise ValueError(f"argnums names a position twice: {argnums!r}")
    return positions


def require_function(f: Any, by: str) -> None:
    """Raise TypeError for anything but a function: most likely, it is a result."""
    if isinstance(f, Tensor) or not callable(f):
        got = "a Tensor, which is a result" if isinstance(f, Tensor) else type(f).__name__
        raise TypeError(
            f"{by} takes a function, got {got}; write tg.{by}(f)(x) with x as the function's argument, or "
            f"loss.backward() and x.grad for the gradient of a result"
        )


def name_of(f: Callable[..., Any]) -> str:
    """The name of a function, for messages."""
    return getattr(f, "__name__", None) or type(f).__name__


def named(result: Callable[..., Any], f: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """``result`` with the docstring of ``f``, and a name of the form ``prefix(f)``."""
    update_wrapper(result, f, updated=())
    result.__name__ = result.__qualname__ = f"{prefix}({name_of(f)})"
    return result
