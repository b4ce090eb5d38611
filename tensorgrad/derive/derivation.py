"""The backward of a function as the formulas that a textbook would print: run, lift, search, print, verify."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.mode import silenced
from ..engine.record import Handle
from ..errors import DTypeError, GraphError, NonFiniteError
from ..tensor import Tensor
from .algebra import Poly
from .book import Book, Fact
from .latex import latex
from .lift import Lifted, lift
from .program import Program
from .promises import parsed
from .recording import Recorded, record_run
from .results import Derivation, Step
from .search import Goal, Rewrite, search
from .values import Symbol, Value

__all__ = ["Problem", "derived"]

_TOLERANCE = 1e-12
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
                worst = max(worst, _apart(got, g))
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


def _apart(got: Any, expected: Any) -> float:
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected)
    if got.shape != expected.shape:
        return float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(got)):
        return float("inf")
    scale = max(1.0, float(np.max(np.abs(expected[finite]), initial=0.0)))
    return float(np.max(np.abs(got[finite] - expected[finite]), initial=0.0)) / scale


def solved(
    problem: Problem, recorded: Recorded, inputs: dict[int, str], wanted: list[Any], *, facts: bool = True
) -> tuple[Book, list[Goal], list[tuple[str, Any]], Lifted]:
    """The formulas as they come from the rules: the goals, the last of which are the gradients."""
    book = Book(f"d{problem.names[k]}" for k in problem.wanted)  # the gradients' names
    lifted = lift(recorded, book, inputs, facts=facts, promises=problem.promises)
    goals = [
        Goal(Value(s.definition, s.axes), s)
        for s in book.symbols
        if s.role == "backward" and isinstance(s.definition, Poly)
    ]
    outputs = []
    for k, leaf in zip(problem.wanted, wanted, strict=True):
        value = lifted.gradients[id(leaf)]
        if value is not None:
            outputs.append((problem.names[k], leaf.shape))
            goals.append(Goal(value))
    return book, goals, outputs, lifted


def programmed(book: Book, goals: Sequence[Goal], outputs: Sequence[tuple[str, Any]]) -> Program:
    """The printed function for solved goals."""
    solutions = goals[len(goals) - len(outputs) :]
    found = [(f"d{name}", goal.value, shape) for goal, (name, shape) in zip(solutions, outputs, strict=True)]
    inputs = [s for s in book.symbols if s.role in ("input", "upstream")]
    return Program(inputs, found, book.facts)


def derived(f: Callable[..., Any], args: Sequence[Any], argnums: Any, assume: Any) -> Derivation:
    """The work of :func:`tensorgrad.derive`."""
    problem = Problem(f, args, argnums, assume, "derive")
    recorded, inputs, wanted = problem.recorded()
    book, goals, outputs, lifted = solved(problem, recorded, inputs, wanted)
    found, rewrites = search(goals, book, lifted.cotangents)
    program = programmed(book, found, outputs)
    draws = problem.draws(recorded.out.value.shape)
    deviation = problem.deviation(program, draws)
    if not deviation <= _TOLERANCE:
        raise GraphError(
            f"derive: the formula found for {problem.name} deviates by {deviation:.3g} from the engine's gradient, so "
            f"it is not shown; derive a part of the function, and please report this"
        )

    def steps() -> list[Step]:
        return _steps(
            problem, recorded, inputs, wanted, rewrites, draws, Step("the formula", program.source, deviation)
        )

    facts = [f"{fact}, {fact.proof}" for fact in problem.used_facts(program)]
    facts += [f"{promise}, as assumed" for promise in problem.promises]
    assumed = [str(promise) for promise in problem.promises]
    function = program.function()
    return Derivation(problem.name, program.source, function, latex(program), facts, assumed, deviation, steps)


def _steps(
    problem: Problem,
    recorded: Recorded,
    inputs: dict[int, str],
    wanted: list[Any],
    rewrites: list[Rewrite],
    draws: list[tuple[list[Any], Any]],
    last: Step,
) -> list[Step]:
    """The same derivation with its means switched on one after the other; a stage that changes nothing is left out."""
    stages: list[Step] = []

    def stage(title: str, facts: bool, count: int) -> None:
        book, goals, outputs, lifted = solved(problem, recorded, inputs, wanted, facts=facts)
        found, done = search(goals, book, lifted.cotangents, most=count)
        program = programmed(book, found, outputs)
        if not stages or program.source != stages[-1].source:
            stages.append(
                Step(done[-1].title if title == "" else title, program.source, problem.deviation(program, draws))
            )

    stage("the rules, with sums taken apart", False, 0)
    book = solved(problem, recorded, inputs, wanted)[0]
    sums = "; ".join(f"{fact}" for fact in book.facts)
    stage(sums or "what is known of sums", True, 0)
    for count in range(1, len(rewrites) + 1):
        stage("", True, count)
    if stages[-1].source != last.source:
        stages.append(last)
    return stages
