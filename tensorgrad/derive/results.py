"""What ``derive`` and ``referee`` return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Derivation", "Step"]


@dataclass(frozen=True)
class Step:
    """One stage on the way to the formula.

    Attributes:
        title: what was used, such as ``xc = sigma * xhat``.
        source: the whole backward at this stage, as Python.
        deviation: the largest deviation from the engine's gradient, relative to the largest element.
    """

    title: str
    source: str
    deviation: float

    def __str__(self) -> str:
        return f"# {self.title}\n{self.source}"


class Derivation:
    """A derived backward; made by :func:`tensorgrad.derive`. ``print`` shows its source, a notebook its formulas.

    Attributes:
        name: the name of the function that it is the backward of.
        source: the backward as Python source: a function ``backward`` of the arguments and the upstream gradient.
        function: that function, compiled. It computes with NumPy alone (and SciPy, where the function uses it).
        latex: the formulas in LaTeX, one a line, which MathJax and matplotlib's mathtext show.
        facts: the sums that are known numbers, each with its proof, and what ``assume`` promised.
        deviation: the largest deviation from the engine's gradient on the arguments and on random ones, relative to the
            largest element.
    """

    def __init__(
        self,
        name: str,
        source: str,
        function: Callable[..., Any],
        latex: str,
        facts: list[str],
        assumed: list[str],
        deviation: float,
        steps: Callable[[], list[Step]],
    ) -> None:
        self.name = name
        self.source = source
        self.function = function
        self.latex = latex
        self.facts = facts
        self.deviation = deviation
        self._assumed = assumed
        self._steps = steps
        self._made: list[Step] | None = None

    @property
    def steps(self) -> list[Step]:
        """How the formula was found; each stage has been executed and compared with the engine's gradient."""
        if self._made is None:
            self._made = self._steps()
        return self._made

    def __str__(self) -> str:
        return "".join(f"# assumed: {p}\n" for p in self._assumed) + self.source.rstrip("\n")

    def __repr__(self) -> str:
        return f"<Derivation of {self.name}: {len(self.source.splitlines())} lines>"

    def _repr_latex_(self) -> str:
        rows = [row.replace(" = ", " &= ", 1) for row in self.latex.splitlines()]
        inside = " \\\\\n".join(rows)
        return f"$$\n\\begin{{aligned}}\n{inside}\n\\end{{aligned}}\n$$"
