"""The work of ``referee``: gradients written by hand beside the derived ones, and what is wrong with them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from ..engine.arrays import array_functions
from ..engine.graph import Node, ancestors, extra
from ..engine.readings import ARRAYS
from ..engine.walk import backward, unbroadcast
from ..errors import GraphError
from .derivation import Problem, programmed, solved
from .edits import edits
from .judging import RIGHT, Evidence, all_agree, explained, separable, sizes, verdict
from .program import Line, Program
from .recording import Observer, Watched, names_of
from .results import Finding, Report
from .search import Goal, search
from .siblings import siblings
from .tree import Function, Node as Tree
from .tree import Power, Product, Reduced, Sum, Sym
from .values import Code, Symbol

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
    paths: dict[str, list[Any]]
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
        """The forward's named values, the engine's gradients, those of intermediates, each use of an argument, and each path."""
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
        edges = [_uses(leaf.node, nodes, found) for leaf in wanted]
        paths: list[dict[str, Any]] = [{} for _ in wanted]
        for node, text in list(names.items())[:_MANY_PATHS]:
            if node is out.node:
                continue
            without = _without(out.node, seed, nodes, node)
            for k, leaf in enumerate(wanted):
                part = right[k] - without.get(leaf.node, np.zeros(leaf.shape))
                if np.any(part):
                    paths[k][text] = part
        values_of = {m.node: m.value for m in observer.made if m.node is not None}
        forward = {text: values_of[node] for node, text in sorted(names.items(), key=lambda item: item[0].birth)}
        return forward, right, cotangents, edges, paths

    def hand(self, values: list[Any], upstream: Any) -> tuple[list[Any], dict[str, Any], float]:
        """What was written by hand returns, its local variables, and the factor for its upstream gradient."""
        given = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
        if _takes(self.by_hand, len(values)):
            given.append(np.array(upstream, dtype=np.float64) if self.shape else float(upstream))
            factor = 1.0
        elif self.shape:
            raise TypeError(
                f"referee: the result of {self.problem.name} has shape {self.shape}, so by_hand has to take the upstream "
                f"gradient as its last argument: by_hand({', '.join([*self.problem.names, 'dy'])})"
            )
        else:
            factor = float(upstream)
        result, names = _called(self.by_hand, given)
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
                f"referee: by_hand returned {len(parts)} gradients, expected {len(self.problem.wanted)} ({names_wanted}); "
                f"write argnums= for the arguments that it has gradients of"
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
        deviation = max(_relative(g, r) for g, r in zip(got, right, strict=True))
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
            {n: v for n, v in zip(self.problem.names, self.problem.values, strict=True) if _is_index(v)},
            [d.upstream for d in self.draws],
        )
        message = self.named(k, name, evidence)
        return Finding(name, right[0].shape, False, deviation, differences, message or "", _worst(got[0], right[0]))

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
                    f"{text} has shape {local.shape} in by_hand, and {value.shape} in the forward: arrays of shapes (n,) and "
                    f"(n, 1) broadcast to (n, n)"
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
            space: dict[str, Any] = {"np": np}
            if "special." in program.source:
                from scipy import special

                space["special"] = special
            for symbol in (*program.inputs, *program.extra):
                space[symbol.text] = self.problem.argument(symbol, by_name, draw.upstream)
            with np.errstate(all="ignore"):
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
        others = _confusable(program)
        order = [end, *(i for i in range(end - 1, -1, -1))]
        for place in order:
            line = lines[place]
            if line.node is None or (only is not None and line.text != only):
                continue
            if place > len(program.forward) and line.symbol is None and place != end:
                continue  # another gradient
            for text, edited in edits(_expanded(line.node, program), line.axes, others):
                code = _coded(program, line, edited)
                if code is None:
                    continue
                where = "" if place == end else f"in {line.text}: "
                yield where + text, _evaluated(spaces, code, lines[place + 1 : end + 1], target)
            if place != end:
                continue
            for word, code in _kept_slips(line):
                yield word, _evaluated(spaces, code, [], target)
        for place in order[1:]:
            for word, code in _kept_slips(lines[place]):
                yield word, _evaluated(spaces, code, lines[place + 1 : end + 1], target)

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
            for first, once in edits(_expanded(line.node, program), line.axes):
                for second, twice in edits(once, line.axes) if _likely(first) else ():
                    if not _likely(second):
                        continue
                    code = _coded(program, line, twice)
                    if code is not None:
                        yield f"{first}, and {second}", _evaluated(spaces, code, [], line.text)

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


def _uses(leaf: Node, nodes: list[Node], found: dict[Node, Any]) -> list[Any]:
    """What each use of an argument contributes to its gradient, in the order of the uses."""
    parts = []
    with np.errstate(all="ignore"):
        for node in sorted(nodes, key=lambda n: n.birth):
            for position, parent in enumerate(node.inputs):
                rule = node.rules[position] if node.rules else None
                if parent is leaf and rule is not None and node in found:
                    r = rule(array_functions, found[node], *node.saved[position])
                    parts.append(unbroadcast(array_functions, r, leaf, node, rule))
    return parts


def _without(out: Node, seed: Any, nodes: list[Node], blocked: Node) -> dict[Node, Any]:
    """The gradients if nothing came through one node."""
    kept = extra(blocked)
    before = kept.hooks
    kept.hooks = {0: lambda g: g * 0.0}
    try:
        return backward(out, seed, ARRAYS, targets=nodes)
    finally:
        kept.hooks = before


def _takes(by_hand: Callable[..., Any], count: int) -> bool:
    """Whether a function takes one argument more than the forward does."""
    try:
        inspect.signature(by_hand).bind(*range(count + 1))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _called(function: Callable[..., Any], args: list[Any]) -> tuple[Any, dict[str, Any]]:
    """The result of a call, and the arrays among the local variables of the function when it returned."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    names: dict[str, Any] = {}
    before = sys.getprofile()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "return" and frame.f_code is code:
            names.update({n: v for n, v in frame.f_locals.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"})

    sys.setprofile(watch)
    try:
        with np.errstate(all="ignore"):
            result = function(*args)
    finally:
        sys.setprofile(before)
    return result, names


def _relative(got: Any, right: Any) -> float:
    if got.shape != right.shape or not np.all(np.isfinite(got)) or got.dtype.kind == "b":
        return float("inf")
    apart = float(np.max(np.abs(got - right), initial=0.0))
    scale = float(np.max(np.abs(right), initial=0.0))
    return apart / scale if scale > 1e-14 else apart


def _worst(got: Any, right: Any) -> str | None:
    """The element that is furthest off."""
    if got.shape != right.shape or got.dtype.kind == "b" or not right.size:
        return None
    index = np.unravel_index(int(np.argmax(np.abs(got - right))), right.shape)
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"{place} is {got[index]:.6g}, expected {right[index]:.6g}"


def _is_index(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu"


def _confusable(program: Program) -> list[Sym]:
    """Symbols that may stand in the wrong place: the upstream gradient, forward values, other gradients."""
    found = [Sym(s, s.axes) for s in (*program.inputs, *program.symbols) if s not in program.inlined]
    for text, value, shape in program.outputs:
        symbol = Symbol(text, shape, value.axes, "backward")
        if all(s.symbol.text != text for s in found):
            found.append(Sym(symbol, value.axes))
    return found


def _expanded(node: Tree, program: Program) -> Tree:
    """The expression with what has no line of its own written out."""
    if isinstance(node, Sym):
        inside = node.symbol in program.inlined and not isinstance(node.symbol.definition, Code)
        return _expanded(program.definition(node), program) if inside else node
    if isinstance(node, Sum):
        return Sum(tuple((s, _expanded(n, program)) for s, n in node.terms))
    if isinstance(node, Product):
        above = tuple(_expanded(n, program) for n in node.above)
        return Product(node.number, above, tuple(_expanded(n, program) for n in node.below))
    if isinstance(node, Power):
        return Power(_expanded(node.base, program), node.exponent)
    if isinstance(node, Function):
        return Function(node.name, tuple(_expanded(n, program) for n in node.args))
    if isinstance(node, Reduced):
        return Reduced(node.kind, _expanded(node.inner, program), node.bound)
    return node


def _coded(program: Program, line: Line, node: Tree) -> str | None:
    """The line with another expression; None if the expression makes no sense there."""
    try:
        expr = program.printer.expr(node, line.axes)
    except (ValueError, IndexError, KeyError, AssertionError):
        return None
    if len(expr.axes) > len(line.axes):
        return None
    return f"{line.text} = np.broadcast_to({expr.text}, {line.shape})"


def _likely(slip: str) -> bool:
    """Whether a slip is plain enough to be looked for together with another."""
    return slip.startswith(("the term", "the sign")) or "is divided by" in slip or "where it should be a" in slip


def _kept_slips(line: Line) -> Iterator[tuple[str, str]]:
    """Slips in the text of a line: an index that occurs twice, and arrays reshaped where they have to be turned."""
    match = re.fullmatch(r"(.*\n)?np\.add\.at\((\w+), (.*)\)", line.code, re.DOTALL)
    if match:
        before, name, rest = match.groups()
        index, put = _parted(rest)
        text = "an index that occurs twice is only counted once: += keeps one of them; write np.add.at"
        yield text, f"{before or ''}{name}[{index}] += {put}"
    for turned in re.finditer(r"(\w+)(\.T\b|\.swapaxes\([^)]*\)|\.transpose\([^)]*\))", line.code):
        name, how = turned.groups()
        for text, new in (
            (f"{name} is reshaped where its axes have to be exchanged", f"{name}.reshape({name}{how}.shape)"),
            (f"{name} is not transposed", name),
        ):
            yield text, line.code[: turned.start()] + new + line.code[turned.end() :]


def _parted(text: str) -> tuple[str, str]:
    """Two arguments of a call, parted at the first comma outside brackets."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            return text[:i], text[i + 2 :]
    return text, ""


def _evaluated(spaces: list[dict[str, Any]], code: str, after: Sequence[Line], target: str) -> Callable[[int], Any]:
    """The value of a variable in each draw after a line has been replaced."""
    text = "\n".join([code, *(line.code for line in after)])

    def value(k: int) -> Any:
        space = dict(spaces[k])
        with np.errstate(all="ignore"):
            exec(text, space)
        return space[target]

    return value
