"""From a recorded run to goals, and from solved goals to the printed function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .atoms import Poly
from .book import Book
from .lift import Lifted, lift
from .program import Program
from .promises import Promise
from .recording import Recorded
from .search import Goal
from .values import Value

__all__ = ["programmed", "solved"]


def solved(
    names: Sequence[str],
    recorded: Recorded,
    inputs: dict[int, str],
    wanted: Sequence[Any],
    promises: Sequence[Promise] = (),
    *,
    facts: bool = True,
    linear: bool = True,
) -> tuple[Book, list[Goal], list[tuple[str, Any]], Lifted]:
    """The formulas as they come from the rules: the goals, the last of which are the gradients.

    ``names`` are those of the wanted leaves, ``inputs`` those of the arguments, by the id of the Tensor or array.
    """
    book = Book(f"d{name}" for name in names)  # the gradients' names
    lifted = lift(recorded, book, inputs, facts=facts, promises=promises, linear=linear)
    goals = [
        Goal(Value(s.definition, s.axes), s)
        for s in book.symbols
        if s.role == "backward" and isinstance(s.definition, Poly)
    ]
    outputs = []
    for name, leaf in zip(names, wanted, strict=True):
        value = lifted.gradients[id(leaf)]
        if value is not None:
            outputs.append((name, leaf.shape))
            goals.append(Goal(value))
    return book, goals, outputs, lifted


def programmed(book: Book, goals: Sequence[Goal], outputs: Sequence[tuple[str, Any]]) -> Program:
    """The printed function for solved goals."""
    solutions = goals[len(goals) - len(outputs) :]
    found = [(f"d{name}", goal.value, shape) for goal, (name, shape) in zip(solutions, outputs, strict=True)]
    inputs = [s for s in book.symbols if s.role in ("input", "upstream")]
    return Program(inputs, found, book.facts)
