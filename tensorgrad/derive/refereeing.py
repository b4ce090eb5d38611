"""The work of ``referee``: gradients written by hand beside the derived ones, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.graph import ancestors
from ..engine.mode import silenced
from ..engine.readings import ARRAYS
from ..engine.walk import backward
from ..errors import GraphError
from .derivation import Problem, programmed, solved
from .edits import edits
from .judging import RIGHT, Evidence, all_agree, explained, separable, sizes, verdict
from .measuring import called, is_index, relative, takes, uses, without, worst
from .program import Program
from .recording import Observer, Watched, names_of
from .results import Finding, Report
from .search import Goal, search
from .siblings import siblings
from .slips import FACTOR, coded, confusable, evaluated, expanded, kept_slips, likely

__all__ = ["refereed"]

_EDITS = 6000
_MANY_PATHS = 24
_STEP = 1e-6


@dataclass
class _Draw:
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


def refereed(f: Callable[..., Any], by_hand: Callable[..., Any], args: Sequence[Any], argnums: Any) -> Report:
    """The work of :func:`tensorgrad.referee`."""
    if not callable(by_hand):
        raise TypeError(f"referee expects by_hand to be a function, got {type(by_hand).__name__}")
    problem = Problem(f, args, argnums, (), "referee")
    shape = tuple(np.shape(f(*problem.leaves(problem.values)).data))
    judge = _Judge(problem, by_hand, shape)
    return Report(problem.name, [judge.finding(k) for k in range(len(problem.wanted))])


class _Judge:
    def __init__(self, problem: Problem, by_hand: Callable[..., Any], shape: tuple[int, ...]) -> None:
        self.problem = problem
        self.by_hand = by_hand
        self.shape = shape
        self.fixed = [k for k in range(len(problem.values)) if k not in problem.wanted]
        self.draws = [self.draw(values, upstream) for values, upstream in self.arguments()]
        self._formulas: tuple[Any, ...] | None = None
        self.refused = ""

    def arguments(self) -> list[tuple[list[Any], Any]]:
        """The arguments, and others in place of those that a gradient is wanted for."""
        found = []
        for values, upstream in self.problem.draws(self.shape):
            kept = list(values)
            for k in self.fixed:
                kept[k] = self.problem.values[k]
            found.append((kept, upstream))
        return found

    # --- the two sides ----------------------------------------------------------------------------------

    def draw(self, values: list[Any], upstream: Any) -> _Draw:
        """What the engine and the hand find for one set of arguments."""
        forward, right, cotangents, edges, paths = self.measured(values, upstream)
        got, names, factor = self.hand(values, upstream)
        return _Draw(
            values,
            upstream,
            forward,
            right,
            cotangents,
            edges,
            paths,
            got,
            {n: v * factor for n, v in names.items()},
            names,
        )

    def measured(self, values: list[Any], upstream: Any) -> tuple[dict[str, Any], list[Any], dict[str, Any], Any, Any]:
        """The forward's named values, all gradients, and what each use of an argument and each path contributes."""
        leaves = self.problem.leaves(values)
        observer = Observer()
        with Watched(None, observer):
            out = self.problem.f(*leaves)
        if out.node is None or not out.node.requires_grad:
            raise GraphError("referee: the result does not depend on any argument that has a gradient")
        nodes = [n for n in ancestors([out.node]) if n.requires_grad]
        seed = np.asarray(upstream, dtype=np.float64)
        found = backward(out.node, seed, ARRAYS, targets=nodes)
        wanted = [leaves[k] for k in self.problem.wanted]
        right = [found.get(leaf.node, np.zeros(leaf.shape)) for leaf in wanted]
        names = {node: text for node, text in names_of(observer.made).items() if node in found}
        cotangents: dict[str, Any] = {}
        for node, text in sorted(names.items(), key=lambda item: -item[0].birth):
            cotangents.setdefault(text, found[node])
        edges = [uses(leaf.node, nodes, found) for leaf in wanted]
        paths: list[dict[str, Any]] = [{} for _ in wanted]
        for node, text in list(names.items())[:_MANY_PATHS]:
            if node is out.node:
                continue
            rest = without(out.node, seed, nodes, node)
            for k, leaf in enumerate(wanted):
                part = right[k] - rest.get(leaf.node, np.zeros(leaf.shape))
                if np.any(part):
                    paths[k][text] = part
        values_of = {m.node: m.value for m in observer.made if m.node is not None}
        forward = {text: values_of[node] for node, text in sorted(names.items(), key=lambda item: item[0].birth)}
        return forward, right, cotangents, edges, paths

    def hand(self, values: list[Any], upstream: Any) -> tuple[list[Any], dict[str, Any], float]:
        """What was written by hand returns, its local variables, and the factor for its upstream gradient."""
        given = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
        if takes(self.by_hand, len(values)):
            given.append(np.array(upstream, dtype=np.float64) if self.shape else float(upstream))
            factor = 1.0
        elif self.shape:
            raise TypeError(
                f"referee: the result of {self.problem.name} has shape {self.shape}, so by_hand has to take the "
                f"upstream gradient as its last argument: by_hand({', '.join([*self.problem.names, 'dy'])})"
            )
        else:
            factor = float(upstream)
        result, names = called(self.by_hand, given)
        if isinstance(result, dict):
            known = [self.problem.names[k] for k in self.problem.wanted]
            missing = [n for n in known if n not in result and f"d{n}" not in result]
            if missing:
                raise ValueError(f"referee: by_hand returned a dict without {', '.join(missing)}")
            result = tuple(result[n] if n in result else result[f"d{n}"] for n in known)
        parts = list(result) if isinstance(result, tuple | list) else [result]
        if len(parts) != len(self.problem.wanted):
            names_wanted = ", ".join(self.problem.names[k] for k in self.problem.wanted)
            raise ValueError(
                f"referee: by_hand returned {len(parts)} gradients, expected {len(self.problem.wanted)} "
                f"({names_wanted}); write argnums= for the arguments that it has gradients of"
            )
        arrays = []
        for k, part in zip(self.problem.wanted, parts, strict=True):
            array = np.asarray(getattr(part, "data", part) if hasattr(part, "node") else part)
            if array.dtype.kind not in "fiub":
                raise TypeError(f"referee: by_hand returned {type(part).__name__} for {self.problem.names[k]}")
            arrays.append(array if array.dtype.kind == "b" else array * factor)
        return arrays, names, factor

    # --- findings ---------------------------------------------------------------------------------------

    def finding(self, k: int) -> Finding:
        """What there is to say of one gradient."""
        name = self.problem.names[self.problem.wanted[k]]
        got = [d.got[k] for d in self.draws]
        right = [d.right[k] for d in self.draws]
        deviation = max(relative(g, r) for g, r in zip(got, right, strict=True))
        differences = self.differences(k)
        if deviation <= RIGHT:
            return Finding(name, right[0].shape, True, deviation, differences, "", None)
        evidence = Evidence(
            f"d{name}",
            got,
            right,
            [d.edges[k] for d in self.draws],
            {
                n: [d.paths[k][n] for d in self.draws]
                for n in self.draws[0].paths[k]
                if all(n in d.paths[k] for d in self.draws)
            },
            sizes(dict(zip(self.problem.names, self.problem.values, strict=True)), self.shape),
            {n: v for n, v in zip(self.problem.names, self.problem.values, strict=True) if is_index(v)},
            [d.upstream for d in self.draws],
        )
        message = self.named(k, name, evidence)
        return Finding(name, right[0].shape, False, deviation, differences, message or "", worst(got[0], right[0]))

    def named(self, k: int, name: str, evidence: Evidence) -> str | None:
        """What is wrong, in words."""
        upstream = self.ignored_upstream(k)
        if upstream:
            return upstream
        found = self.broadcast() or verdict(evidence)
        formulas = self.formulas()
        program = formulas[0] if formulas else None
        if found is not None:
            if program is not None and found.startswith("the term through") and found.endswith("missing"):
                more = explained(evidence, self.terms(program, f"d{name}"), _EDITS)
                if more is not None and more[1]:
                    return f"{found}: {more[0].removeprefix('the term ').removesuffix(' is missing')}"
            return found
        same = evidence.got[0].shape == evidence.right[0].shape
        if program is not None and same:
            slip = explained(evidence, self.candidates(program, f"d{name}"), _EDITS)
            if slip is not None:
                return slip[0]
        sibling = self.sibling(k, evidence)
        if sibling is not None:
            return sibling
        weighted = separable(evidence)
        if weighted is not None:
            return weighted
        local = self.local(evidence)
        if local is not None:
            return local
        twice = self.twice_edited(program, name, evidence) if program is not None and same else None
        return twice or self.other_forward()

    def broadcast(self) -> str | None:
        """An intermediate of by_hand that has more elements than the forward's."""
        draw = self.draws[0]
        for text, value in draw.forward.items():
            local = draw.hand_locals.get(text)
            if local is not None and local.size > value.size > 1:
                return (
                    f"{text} has shape {local.shape} in by_hand, and {value.shape} in the forward: arrays of shapes "
                    f"(n,) and (n, 1) broadcast to (n, n)"
                )
        return None

    def other_forward(self) -> str | None:
        """The first intermediate of by_hand that is not the forward's."""
        draw = self.draws[0]
        for text, value in draw.forward.items():
            local = draw.hand_locals.get(text)
            if local is not None and local.shape == value.shape and not all_agree([local], [value]):
                return f"forward and backward disagree: {text} in by_hand is not the forward's"
        return None

    def ignored_upstream(self, k: int) -> str | None:
        """Whether the hand's gradient is that for an upstream gradient of ones."""
        ones = [self.measured(d.values, np.ones(self.shape))[1][k] for d in self.draws[:2]]
        if all_agree([d.got[k] for d in self.draws[:2]], ones) and not all_agree(
            ones, [d.right[k] for d in self.draws[:2]]
        ):
            return "the upstream gradient is ignored: it is that for ones"
        return None

    def local(self, evidence: Evidence) -> str | None:
        """The first of by_hand's own intermediate gradients that deviates."""
        for text in self.draws[0].cotangents:
            for local in (f"d{text}", f"d_{text}", f"grad_{text}", f"{text}_grad", f"delta_{text}"):
                if not all(local in d.locals and text in d.cotangents for d in self.draws):
                    continue
                got = [np.asarray(d.locals[local]) for d in self.draws]
                right = [d.cotangents[text] for d in self.draws]
                if all_agree(got, right):
                    continue
                inner = Evidence(local, got, right, [], {}, evidence.lengths, evidence.indices)
                found = verdict(inner)
                if found is None and got[0].shape == right[0].shape:
                    program = self.program_for(text)
                    slip = (
                        explained(inner, self.candidates(program, f"d{text}"), _EDITS) if program is not None else None
                    )
                    found = slip[0] if slip else None
                return f"{local} is the first that deviates" + (f": {found}" if found else "")
        return None

    def sibling(self, k: int, evidence: Evidence) -> str | None:
        """Whether the hand's gradient belongs to a function that is nearly this one."""
        for text, value in siblings(self.problem, [(d.values, d.upstream) for d in self.draws], k):
            if all_agree(evidence.got, value):
                return f"forward and backward disagree: it is the gradient {text}"
        return None

    # --- formulas ---------------------------------------------------------------------------------------

    def formulas(self) -> tuple[Any, ...] | None:
        """The derived program, and what programs for intermediates are made from; None if there are no formulas."""
        if self._formulas is None and not self.refused:
            try:
                recorded, inputs, wanted = self.problem.recorded()
                book, goals, outputs, lifted = solved(self.problem, recorded, inputs, wanted)
                found, _ = search(goals, book, lifted.cotangents)
                self._formulas = (programmed(book, found, outputs), book, lifted)
            except (GraphError, ArithmeticError) as error:
                self.refused = str(error)
        return self._formulas

    def program_for(self, text: str) -> Program | None:
        """A program for the gradient of an intermediate."""
        formulas = self.formulas()
        if formulas is None:
            return None
        _, book, lifted = formulas
        for symbol, value in lifted.cotangents.items():
            if symbol.text == text:
                goals, _ = search([Goal(value)], book, {})
                inputs = [s for s in book.symbols if s.role in ("input", "upstream")]
                shape = tuple(1 if a is None else a[1] for a in value.axes)
                return Program(inputs, [(f"d{text}", goals[0].value, shape)])
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

    def terms(self, program: Program, target: str) -> Iterator[tuple[str, Callable[[int], Any]]]:
        """The target's formula without one of its terms."""
        for text, value in self.candidates(program, target, only=target):
            if text.startswith("the term") and text.endswith("is missing"):
                yield text, value

    def candidates(
        self, program: Program, target: str, only: str | None = None
    ) -> Iterator[tuple[str, Callable[[int], Any]]]:
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

    def twice_edited(self, program: Program, name: str, evidence: Evidence) -> str | None:
        """Two slips in the line of a gradient."""
        lines = [*program.forward, *program.backward]
        line = next((x for x in lines if x.text == f"d{name}"), None)
        if line is None or line.node is None:
            return None
        spaces = self.environments(program)

        def pairs() -> Iterator[tuple[str, Callable[[int], Any]]]:
            assert line is not None
            assert line.node is not None
            for first, once in edits(expanded(line.node, program), line.axes):
                for second, twice in edits(once, line.axes) if likely(first) else ():
                    if not likely(second):
                        continue
                    code = coded(program, line, twice)
                    if code is not None:
                        yield f"{first}, and {second}", evaluated(spaces, code, [], line.text)

        found = explained(evidence, pairs(), _EDITS)
        return found[0] if found is not None and found[1] else None

    # --- central differences ----------------------------------------------------------------------------

    def differences(self, k: int) -> float:
        """How far the hand is from central differences of the forward, at some elements."""
        draw = self.draws[0]
        place = self.problem.wanted[k]
        right, got = draw.right[k], draw.got[k]
        if got.shape != right.shape:
            return float("inf")
        rng = np.random.default_rng(0)
        scale = max(float(np.max(np.abs(right), initial=0.0)), 1e-300)
        worst = 0.0
        for flat in rng.choice(right.size, min(right.size, 6), replace=False):
            index = np.unravel_index(int(flat), right.shape)
            sides = []
            for step in (_STEP, -_STEP):
                values = list(draw.values)
                values[place] = values[place].copy()
                values[place][index] += step
                out = self.problem.f(*self.problem.leaves(values))
                sides.append(float(np.sum(np.asarray(out.data) * draw.upstream)))
            slope = (sides[0] - sides[1]) / (2 * _STEP)
            worst = max(worst, abs(float(got[index]) - slope) / scale)
        return worst
