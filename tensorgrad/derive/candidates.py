"""What a gradient would be after each slip that may have been made: edits of the derived function, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.locks import computed_once
from ..engine.mode import silenced
from ..errors import GraphError
from .book import Book
from .edits import edits
from .lift import Lifted
from .problem import Problem
from .program import Program
from .search import Goal, search
from .slips import FACTOR, coded, confusable, evaluated, expanded, kept_slips, likely
from .solving import programmed, solved

__all__ = ["Candidates", "Draw"]

Candidate = tuple[str, Callable[[int], Any]]  # the slip in words, and the gradient in each draw


@dataclass
class Draw:
    """One set of arguments, and everything the engine and the hand say about it."""

    values: list[Any]
    upstream: Any
    forward: dict[str, Any]
    right: list[Any]
    cotangents: dict[str, Any]
    edges: list[list[Any]]
    paths: list[dict[str, Any]]
    got: list[Any]
    locals: dict[str, Any]
    hand_locals: dict[str, Any]


class Candidates:
    """The slips in the derived function, with what it computes then; ``shape`` is that of the forward's result."""

    def __init__(self, problem: Problem, draws: Sequence[Draw], shape: tuple[int, ...]) -> None:
        self.problem = problem
        self.draws = draws
        self.shape = shape

    @computed_once
    def formulas(self) -> tuple[Program, Book, Lifted] | None:
        """The derived program, and what programs for intermediates are made from; None if there are no formulas."""
        try:
            recorded, inputs, wanted = self.problem.recorded()
            book, goals, outputs, lifted = solved(self.problem.wanted_names, recorded, inputs, wanted)
            found, _ = search(goals, book, lifted.cotangents)
            return programmed(book, found, outputs), book, lifted
        except (GraphError, ArithmeticError):
            return None

    @property
    def program(self) -> Program | None:
        """The derived program; None if there are no formulas."""
        return self.formulas[0] if self.formulas is not None else None

    def program_for(self, text: str) -> Program | None:
        """A program for the gradient of an intermediate."""
        if self.formulas is None:
            return None
        _, book, lifted = self.formulas
        for symbol, value in lifted.cotangents.items():
            if symbol.text == text:
                goals, _ = search([Goal(value)], book, {})
                inputs = [s for s in book.symbols if s.role in ("input", "upstream")]
                return Program(inputs, [(f"d{text}", goals[0].value, value.shape)])
        return None

    def environments(self, program: Program) -> list[dict[str, Any]]:
        """The variables of the printed function, in each draw."""
        spaces = []
        for draw in self.draws:
            by_name = dict(zip(self.problem.names, draw.values, strict=True))
            space: dict[str, Any] = {"np": np, FACTOR: 1.0 if self.shape else float(draw.upstream)}
            if "special." in program.source:
                from scipy import special

                space["special"] = special
            for symbol in (*program.inputs, *program.extra):
                space[symbol.text] = self.problem.argument(symbol, by_name, draw.upstream)
            with silenced():
                for line in (*program.forward, *program.backward):
                    exec(line.code, space)
            spaces.append(space)
        return spaces

    def terms(self, program: Program, target: str) -> Iterator[Candidate]:
        """The target's formula without one of its terms."""
        for text, value in self.of(program, target, only=target):
            if text.startswith("the term") and text.endswith("is missing"):
                yield text, value

    def of(self, program: Program, target: str, only: str | None = None) -> Iterator[Candidate]:
        """The value of a gradient after each slip that may have been made in the printed function."""
        lines = [*program.forward, *program.backward]
        end = next((i for i, line in enumerate(lines) if line.text == target), None)
        if end is None:
            return
        spaces = self.environments(program)
        others = confusable(program)
        order = [end, *(i for i in range(end - 1, -1, -1))]
        for place in order:
            line = lines[place]
            if line.node is None or (only is not None and line.text != only):
                continue
            if place > len(program.forward) and line.symbol is None and place != end:
                continue  # another gradient
            for text, edited in edits(expanded(line.node, program), line.axes, others):
                code = coded(program, line, edited)
                if code is None:
                    continue
                where = "" if place == end else f"in {line.text}: "
                yield where + text, evaluated(spaces, code, lines[place + 1 : end + 1], target)
            if place != end:
                continue
            for word, code in kept_slips(line):
                yield word, evaluated(spaces, code, [], target)
        for place in order[1:]:
            for word, code in kept_slips(lines[place]):
                yield word, evaluated(spaces, code, lines[place + 1 : end + 1], target)

    def pairs(self, program: Program, target: str) -> Iterator[Candidate]:
        """The value of a gradient after two plain slips in its line."""
        line = next((x for x in (*program.forward, *program.backward) if x.text == target), None)
        if line is None or line.node is None:
            return
        spaces = self.environments(program)
        for first, once in edits(expanded(line.node, program), line.axes):
            for second, twice in edits(once, line.axes) if likely(first) else ():
                code = coded(program, line, twice) if likely(second) else None
                if code is not None:
                    yield f"{first}, and {second}", evaluated(spaces, code, [], line.text)
