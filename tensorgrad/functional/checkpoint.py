"""Checkpoints: what a function computes on the way is not kept for backward but recomputed."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

import numpy as np

from ..engine.blocks import restoring
from ..engine.graph import Leaf, Node
from ..engine.mode import current, enable_grad, silenced
from ..engine.record import Handle, record, tensor_of
from ..engine.writes import tick
from ..errors import GraphError
from ..ops import joining, shaping
from ..tensor import Tensor
from .call import fresh_tensor, name_of, named, pulled_back
from .joint import Joint
from .nests import leaves, mapped, same

__all__ = ["checkpoint"]


def checkpoint(f: Callable[..., Any], *, rng: Any = None) -> Callable[..., Any]:
    """The same function, but only its arguments are kept for backward, and everything in between is recomputed.

    A chain of checkpoints therefore needs memory for the arguments of each and for the inside of one, and the time
    of one more forward (Chen et al. 2016, "Training deep nets with sublinear memory cost"). The derivatives are those
    of ``f``, to any order, also with respect to Tensors and parameters that ``f`` uses from outside.

    ``f`` must compute the same result when it is called again. It is rerun in the mode of the first call (with its
    scope, the module it was called in), with random generators temporarily reset to their earlier states: those
    passed here, those among the arguments, and those held as attributes by modules among the arguments or by ``f``
    itself. Any other side effect happens twice: ``nn.BatchNorm`` counts a batch twice in its running statistics.

    In a compiled step, whose memory is allocated once, and where nothing is recorded, it just calls ``f``.

    Args:
        f: takes and returns Tensors, and anything else, in dicts, lists and tuples.
        rng: a ``numpy.random.Generator`` that ``f`` draws from, or a list or tuple of them.

    Raises:
        GraphError: in backward, if ``f`` did not compute the same as the first time.
        InplaceError: in backward, if an argument has been written to since.

    >>> import tensorgrad as tg
    >>> w = tg.Tensor(2.0, requires_grad=True)
    >>> block = tg.checkpoint(lambda x: tg.exp(tg.sin(w * x)))
    >>> block(block(0.5)).backward()
    >>> w.grad
    array(-0.09591073)
    """

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        mode = current()
        if not mode.grad or mode.tracer is not None:
            return f(*args, **kwargs)
        return _Segment(f, _generators((rng, f, args, kwargs))).first((args, kwargs))

    return named(checkpointed, f, "checkpoint")


class _Place:
    """A placeholder for an array in the arguments."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Run:
    """One run of a function: what it returned, and what that depends on."""

    def __init__(self, function: Callable[..., Any], fresh: list[Any], passed: Any) -> None:
        since = tick()
        with enable_grad():
            args, kwargs = passed
            self.returned = function(*args, **kwargs)
            found = {id(out): out for out in leaves(self.returned) if isinstance(out, Tensor) and out.requires_grad}
            self.parts = list(found.values())  # all results that require a gradient
            whole = self.parts
            if len(whole) > 1:
                whole = [joining.concatenate([shaping.reshape(out, (-1,)) for out in whole])]
            self.whole = whole[0] if whole else None  # the parts as one Tensor
        own = {x.node for x in fresh if isinstance(x, Tensor)}
        self.others = [] if self.whole is None else _outside(self.whole.node, own, since)


class _Segment:
    """One call of a checkpointed function, with everything that repeating it takes, but no arrays."""

    def __init__(self, f: Callable[..., Any], generators: list[np.random.Generator]) -> None:
        self.f = f
        self.states = [(rng, rng.bit_generator.state) for rng in generators]
        self.context = copy_context()
        self.plan: Any = None  # the arguments, with placeholders for arrays
        self.needs: list[bool | None] = []  # does an array need a gradient? None: it is not a Tensor
        self.others: list[tuple[int, ...]] = []  # the shapes of Tensors from outside
        self.print: tuple[Any, float] | None = None

    def first(self, arguments: tuple[Any, Any]) -> Any:
        """Call the function and record the call as one operation."""
        inputs: list[Any] = []

        def place(path: str, leaf: Any) -> Any:
            if not hasattr(leaf, "__array_function__") or isinstance(leaf, np.generic):
                return leaf
            inputs.append(leaf)
            return _Place(len(inputs) - 1)

        self.plan = mapped(place, arguments, "", same)
        self.needs = [x.requires_grad if isinstance(x, Tensor) else None for x in inputs]
        fresh = self._fresh(inputs, recorded=False)
        run = _Run(self.f, fresh, self._filled(fresh))
        if run.whole is None:
            return run.returned
        self.others = [node.shape for node in run.others]
        self.print = _fingerprint(run.whole.data)
        result = run.whole.data
        outside = [tensor_of(_values(node), node) for node in run.others]
        rules = Joint(self._gradients, result=False).rules(len(inputs) + len(outside))
        whole = record("checkpoint", lambda *_: result, (*inputs, *outside), rules)
        pieces = [whole]
        if len(run.parts) > 1:
            ends = np.cumsum([out.size for out in run.parts]).tolist()
            pieces = [
                shaping.astype(shaping.reshape(whole[end - out.size : end], out.shape), out.dtype)
                for out, end in zip(run.parts, ends)
            ]
        own = {id(out): piece for out, piece in zip(run.parts, pieces)}
        return mapped(lambda _, leaf: own.get(id(leaf), leaf), run.returned, "", same)

    def _fresh(self, values: Any, recorded: bool) -> list[Any]:
        """Fresh arguments for one run, from what was passed or saved."""
        fresh: list[Any] = []
        for value, need in zip(values, self.needs):
            x = value if isinstance(value, Handle) else tensor_of(value, None)
            if need is None:
                fresh.append(x.data)
            else:
                fresh.append(fresh_tensor(x, recorded) if need else tensor_of(x.data, None))  # type: ignore[arg-type]
        return fresh

    def _filled(self, fresh: list[Any]) -> Any:
        return mapped(lambda _, leaf: fresh[leaf.number] if isinstance(leaf, _Place) else leaf, self.plan, "", same)

    def _gradients(self, g: Any, saved: tuple[Any, ...]) -> list[Any]:
        """Run the function again and go back through that run. On Tensors, all of this is recorded."""
        recorded = isinstance(g, Handle)
        fresh = self._fresh(saved, recorded)
        with _restored(self.states):
            run = self.context.copy().run(_Run, self.f, fresh, self._filled(fresh))
        self._check(run)
        assert run.whole is not None
        nodes = [x.node if need else None for x, need in zip(fresh, self.needs)] + run.others
        targets = [node for node in nodes if node is not None]
        found = pulled_back(run.whole, g if recorded else tensor_of(g, None), targets, recorded, through=False)
        zeros = [None if node is None else tensor_of(np.zeros(node.shape, node.dtype), None) for node in nodes]
        results = [zero if node is None else found.get(node, zero) for node, zero in zip(nodes, zeros)]
        return results if recorded else [None if r is None else r.data for r in results]

    def _check(self, run: _Run) -> None:
        """Raise GraphError if a run did not compute the same as the first."""
        what = None
        if run.whole is None or [node.shape for node in run.others] != self.others:
            what = "used different Tensors"
        elif not _alike(self.print, _fingerprint(run.whole.data)):
            what = "returned a different result"
        if what is not None:
            raise GraphError(
                f"checkpoint: {name_of(self.f)} {what} when it was run again for backward. If it draws random numbers, "
                f"write checkpoint(f, rng=generator); otherwise it uses something from outside that has changed since, "
                f"such as a loop variable: pass that as an argument"
            )


def _outside(root: Node | None, own: set[Node | None], since: int) -> list[Node]:
    """The nodes created before ``since`` that a result was computed from, except ``own``, in a fixed order."""
    found: list[Node] = []
    stack = [root]
    seen = {root}
    while stack:
        node = stack.pop()
        if node is None or node in own:
            continue
        if node.birth < since:
            found.append(node)
            continue
        for parent in node.inputs:
            if isinstance(parent, Node) and parent.requires_grad and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return found


def _values(node: Node) -> Any:
    """The array of a leaf, so that a write to it is detected; that of a result is not known, and not needed."""
    tensor = node.owner() if isinstance(node, Leaf) else None
    return np.empty(0) if tensor is None else tensor.data


def _generators(given: Any) -> list[np.random.Generator]:
    """The random generators in a nest, including those that its modules hold as attributes."""
    modules: list[Any] = []
    known = leaves(mapped(same, given, "", lambda _, module: modules.append(module)))
    modules += [leaf.__self__ for leaf in known if hasattr(getattr(leaf, "__self__", None), "named_parameters")]
    for module in modules:
        for part in module.modules() if hasattr(module, "modules") else (module,):
            known += vars(part).values()
    return list({id(leaf): leaf for leaf in known if isinstance(leaf, np.random.Generator)}.values())


def _restored(states: list[tuple[np.random.Generator, Any]]) -> restoring:
    """Reset generators to earlier states inside the block."""
    now = [(rng, rng.bit_generator.state) for rng, _ in states]
    return restoring(partial(_set_states, now), partial(_set_states, states))


def _set_states(states: list[tuple[np.random.Generator, Any]]) -> None:
    for rng, state in states:
        rng.bit_generator.state = state


def _fingerprint(array: Any) -> tuple[Any, float] | None:
    """The sums of sixteen parts of a result, to tell it from a different one, and how far rounding may change them.

    Dot products are avoided: a threaded BLAS is slow to wake, and this runs once per checkpoint.
    """
    if type(array) is not np.ndarray or array.dtype.kind != "f" or not array.size:
        return None
    edges = np.linspace(0, array.size, min(array.size, 16), endpoint=False).astype(np.intp)
    with silenced():
        sums = np.add.reduceat(np.ravel(array), edges, dtype=np.float64)
        largest = max(float(np.max(array)), -float(np.min(array)))
        return sums, 100 * float(np.finfo(array.dtype).eps) * largest * (array.size // len(edges) + 1)


def _alike(one: tuple[Any, float] | None, other: tuple[Any, float] | None) -> bool:
    """Whether two fingerprints are the same except for rounding; those that are not finite count as the same."""
    if one is None or other is None or not math.isfinite(one[1] + other[1]):
        return True
    return one[0].shape == other[0].shape and bool(np.all(np.abs(one[0] - other[0]) <= one[1]))
