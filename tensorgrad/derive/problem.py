"""A function with arguments: what to differentiate with respect to, its run, and the engine's gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.mode import silenced
from ..engine.record import Handle
from ..errors import DTypeError, GraphError, NonFiniteError
from ..tensor import Tensor
from .book import Fact
from .program import Program
from .promises import parsed
from .recording import Recorded, record_run
from .values import Symbol

__all__ = ["TOLERANCE", "Problem", "apart"]

TOLERANCE = 1e-12  # how far what is printed may be from the engine's gradient
_DRAWS = 2


class Problem:
    """A function with arguments, what to differentiate with respect to, and the engine's gradient."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], argnums: Any, assume: Any, what: str) -> None:
        if not callable(f):
            raise TypeError(f"{what} expects a function, got {type(f).__name__}")
        self.f = f
        self.what = what
        self.name = getattr(f, "__name__", type(f).__name__)
        self.names = _argument_names(f, len(args))
        self.values = [_widened(a) for a in args]
        self.wanted = self._wanted(args, argnums)
        self.promises = parsed(assume, self.names)

    def _wanted(self, args: Sequence[Any], argnums: Any) -> list[int]:
        if argnums is not None:
            chosen = [argnums] if isinstance(argnums, int) else list(argnums)
            for k in chosen:
                if not isinstance(k, int) or not -len(args) <= k < len(args):
                    raise ValueError(f"{self.what}: argnums is {argnums!r}, but there are {len(args)} arguments")
            chosen = [k % len(args) for k in chosen]
            for k in chosen:
                if not _is_float(self.values[k]):
                    raise DTypeError(
                        f"{self.what}: argument {k} ({self.names[k]}) is {_described(args[k])}, expected an array of "
                        f"floating-point numbers"
                    )
            return chosen
        tensors = [
            k for k, a in enumerate(args) if isinstance(a, Handle) and a.node is not None and a.node.requires_grad
        ]
        chosen = tensors or [k for k, a in enumerate(self.values) if _is_float(a)]
        if not chosen:
            raise DTypeError(f"{self.what}: no argument is an array of floating-point numbers, so there is no gradient")
        return chosen

    @property
    def wanted_names(self) -> list[str]:
        """The names of the arguments that a gradient is wanted for."""
        return [self.names[k] for k in self.wanted]

    def leaves(self, values: Sequence[Any]) -> list[Any]:
        """The arguments as Tensors, where a gradient is wanted."""
        return [
            Tensor(v, requires_grad=k in self.wanted) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
            for k, v in enumerate(values)
        ]

    def recorded(self) -> tuple[Recorded, dict[int, str], list[Any]]:
        """The run with the arguments."""
        leaves = self.leaves(self.values)
        inputs = {id(leaf): self.names[k] for k, leaf in enumerate(leaves) if isinstance(leaf, Handle | np.ndarray)}
        wanted = [leaves[k] for k in self.wanted]
        try:
            return record_run(lambda: self.f(*leaves), wanted, self.what), inputs, wanted
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{self.what}: the gradient of {self.name} is not finite for these arguments; pass others"
            ) from error

    def gradients(self, values: Sequence[Any], upstream: Any) -> list[Any]:
        """The engine's gradients in float64; None where the result does not depend on an argument."""
        leaves = self.leaves(values)
        out = self.f(*leaves)
        out.backward(upstream if out.shape else None)
        return [leaves[k].grad for k in self.wanted]

    def draws(self, shape: tuple[int, ...]) -> list[tuple[list[Any], Any]]:
        """The arguments, and others with the same signs that are a little smaller, each with an upstream gradient."""
        rng = np.random.default_rng([20, 23, 5])  # not the user's own numbers again
        found: list[tuple[list[Any], Any]] = []
        for draw in range(1 + _DRAWS):
            for low in (0.5, 0.9, 0.99):
                values = list(self.values)
                for k, value in enumerate(values):
                    if draw and _is_float(value) and not any(p.argument == self.names[k] for p in self.promises):
                        values[k] = np.asarray(value * rng.uniform(low, 1.0, value.shape))
                upstream = rng.normal(size=shape)
                with silenced():
                    try:
                        gradients = self.gradients(values, upstream)
                    except (ArithmeticError, ValueError, np.linalg.LinAlgError):
                        if draw:
                            continue
                        raise
                if draw == 0 or all(g is None or np.isfinite(g).all() for g in gradients):
                    found.append((values, upstream))
                    break
        return found

    def deviation(self, program: Program, draws: list[tuple[list[Any], Any]]) -> float:
        """How far the printed function is from the engine, relative to the largest element of each gradient."""
        function = program.function()
        worst = 0.0
        for values, upstream in draws:
            by_name = dict(zip(self.names, values, strict=True))
            arguments = [self.argument(s, by_name, upstream) for s in (*program.inputs, *program.extra)]
            with silenced():
                try:
                    made = function(*arguments)
                except (TypeError, ValueError, IndexError, ArithmeticError) as error:
                    raise GraphError(
                        f"{self.what}: the formula found for {self.name} cannot be executed on these arguments "
                        f"({error}), so it is not shown; derive a part of the function"
                    ) from error
                expected = [g for g in self.gradients(values, upstream) if g is not None]
            made = made if isinstance(made, tuple) else (made,)
            for got, g in zip(made, expected, strict=True):
                worst = max(worst, apart(got, g))
        return worst

    def argument(self, symbol: Symbol, by_name: dict[str, Any], upstream: Any) -> Any:
        """What the printed function gets for one of its parameters."""
        if symbol.role == "upstream":
            return upstream
        if symbol.source is not None:
            return symbol.source
        return by_name[symbol.origin]

    def used_facts(self, program: Program) -> list[Fact]:
        """The facts about symbols that the program has."""
        shown = {*program.symbols, *program.inputs}
        return [fact for fact in program.facts if fact.symbol in shown]


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _described(value: Any) -> str:
    array = value.data if isinstance(value, Handle) else value
    return f"an array of dtype {array.dtype}" if hasattr(array, "dtype") else type(value).__name__


def _widened(value: Any) -> Any:
    array = value.data if isinstance(value, Handle) else value
    if isinstance(array, np.ndarray):
        if array.dtype.kind == "c":
            raise DTypeError("derive works with real numbers, got an array of dtype complex")
        return array.astype(np.float64) if array.dtype.kind == "f" else array
    if isinstance(array, np.generic):
        return array.item()
    return value


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return names + [f"x{k}" for k in range(len(names), count)]


def apart(got: Any, expected: Any) -> float:
    """How far two arrays are apart, relative to the largest element; infinite for another shape or other infinities."""
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected)
    if got.shape != expected.shape:
        return float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(got)):
        return float("inf")
    scale = max(1.0, float(np.max(np.abs(expected[finite]), initial=0.0)))
    return float(np.max(np.abs(got[finite] - expected[finite]), initial=0.0)) / scale
