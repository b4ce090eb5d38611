"""What ``derive`` and ``referee`` return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Derivation", "Finding", "Report", "Step"]


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
        """How the formula was found; each stage has been executed and compared with the engine's gradient.

        The first is the rules put into each other (``one formula``). Then sums are taken apart into their terms (``sums
        are linear``), known sums are put in (``xc.sum(0) is 0``), and one definition after the other is used (``xc =
        sigma * xhat``). A stage that changes nothing is left out.
        """
        if self._made is None:
            self._made = self._steps()
        return self._made

    def __str__(self) -> str:
        return "".join(f"# assumed: {p}\n" for p in self._assumed) + self.source.rstrip("\n")

    def __repr__(self) -> str:
        return f"<Derivation of {self.name}: {len(self.source.splitlines())} lines>"

    def _repr_latex_(self) -> str:
        rows = [row.replace(" = ", " &= ", 1) for row in self.latex.splitlines()]
        inside = " \\\\[4pt]\n".join(rows)
        return f"$$\n\\begin{{aligned}}\n{inside}\n\\end{{aligned}}\n$$"


@dataclass(frozen=True)
class Finding:
    """What the referee says of one gradient.

    Attributes:
        name: the argument's.
        shape: of the argument.
        ok: whether the gradient is right but for rounding (1e-8 of the largest element).
        deviation: from the engine's gradient, relative to the largest element; infinite for a wrong shape.
        differences: from central differences of the forward, at up to six elements.
        message: what is wrong; empty if it is right, or if nothing was found that explains it.
        worst: the element that is furthest off.
    """

    name: str
    shape: tuple[int, ...]
    ok: bool
    deviation: float
    differences: float
    message: str
    worst: str | None

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.ok:
            return "right"
        if self.message:
            return self.message
        worst = f"; d{self.name}{self.worst}" if self.worst else ""
        return f"wrong, for a reason that was not found{worst}"


class Report:
    """What the referee says of a backward; made by :func:`tensorgrad.referee`. It is true if all gradients are right.

    Attributes:
        name: the name of the forward function.
        findings: a list of :class:`Finding`, one for each gradient.
    """

    def __init__(self, name: str, findings: list[Finding]) -> None:
        self.name = name
        self.findings = findings

    @property
    def ok(self) -> bool:
        """Whether all gradients are right."""
        return all(finding.ok for finding in self.findings)

    def __bool__(self) -> bool:
        return self.ok

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("gradient", "shape", "deviation", "differences", "verdict")
        return [
            head,
            *(
                (f"d{f.name}", str(f.shape), f"{f.deviation:.1e}", f"{f.differences:.1e}", f.verdict)
                for f in self.findings
            ),
        ]

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join([*(cell.ljust(w) for cell, w in zip(row[:4], widths, strict=True)), row[4]]) for row in rows
        )

    def __repr__(self) -> str:
        wrong = [f"d{f.name}" for f in self.findings if not f.ok]
        return f"<Report on the backward of {self.name}: {', '.join(wrong) + ' wrong' if wrong else 'right'}>"

    def _repr_html_(self) -> str:
        head, *rows = self._rows()
        style = "style='text-align:left;padding:2px 8px'"
        body = "".join(f"<th {style}>{escape(c)}</th>" for c in head)
        for row, finding in zip(rows, self.findings, strict=True):
            sign, colour = ("✓", "#2a9d47") if finding.ok else ("✗", "#e5484d")  # readable on white and on black
            cells = [*map(escape, row[:4]), f"<span style='color:{colour}'>{sign}</span> {escape(row[4])}"]
            body += "</tr><tr>" + "".join(f"<td {style}>{cell}</td>" for cell in cells)
        return f"<table><tr>{body}</tr></table>"
