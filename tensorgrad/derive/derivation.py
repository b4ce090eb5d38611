"""The backward of a function as the formulas that a textbook would print: run, lift, search, print, verify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import GraphError
from .latex import latex
from .problem import TOLERANCE, Problem
from .recording import Recorded
from .results import Derivation, Step
from .search import Rewrite, search
from .solving import programmed, solved

__all__ = ["derived"]


def derived(f: Callable[..., Any], args: Sequence[Any], argnums: Any, assume: Any) -> Derivation:
    """The work of :func:`tensorgrad.derive`."""
    problem = Problem(f, args, argnums, assume, "derive")
    recorded, inputs, wanted = problem.recorded()
    names = problem.wanted_names
    book, goals, outputs, lifted = solved(names, recorded, inputs, wanted, problem.promises)
    found, rewrites = search(goals, book, lifted.cotangents)
    program = programmed(book, found, outputs)
    draws = problem.draws(recorded.out.value.shape)
    deviation = problem.deviation(program, draws)
    if not deviation <= TOLERANCE:
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
    names = problem.wanted_names

    def stage(title: str, count: int, *, facts: bool = True, linear: bool = True) -> None:
        book, goals, outputs, lifted = solved(
            names, recorded, inputs, wanted, problem.promises, facts=facts, linear=linear
        )
        found, done = search(goals, book, lifted.cotangents, most=count)
        program = programmed(book, found, outputs)
        if not stages or program.source != stages[-1].source:
            stages.append(Step(title or done[-1].title, program.source, problem.deviation(program, draws)))

    stage("one formula", 0, facts=False, linear=False)
    stage("sums are linear", 0, facts=False)
    book = solved(names, recorded, inputs, wanted, problem.promises)[0]
    known = [str(f) for f in book.facts if not any(o.symbol is f.symbol and o.within(f) for o in book.facts)]
    promised = [f"{promise}, as assumed" for promise in problem.promises]
    stage("; ".join([*known, *promised]) or "known sums", 0)
    for count in range(1, len(rewrites) + 1):
        stage("", count)
    if stages[-1].source != last.source:
        stages.append(last)
    return stages
