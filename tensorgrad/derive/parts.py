"""The backward of a part of a recorded graph, such as one layer: the function is not called again.

A graph has the rules of its operations, and their inputs. That is nearly enough. Elementwise operations and matrix
products are computed forward by NumPy's function of that name. For a sum, a mean or a change of layout, the rule says
along which axes: it is the transpose of the operation. The results of all others are given: they are arguments of the
printed function, as a backward written by hand takes what its forward has kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..compiler.array import TracedArray
from ..engine.arrays import array_functions
from ..engine.graph import Constant, Freed, Given, Leaf, Node, sources
from ..engine.mode import silenced
from ..engine.shapes import sum_to_shape
from ..errors import GraphError
from .atoms import Ref, Total, single
from .cost import needed
from .problem import TOLERANCE, apart
from .program import Program
from .recording import Made, Recorded, Recording, Watched
from .rules import FAILURES, local_rule, named_nodes, own_name
from .search import search
from .solving import programmed, solved

__all__ = ["part_backward"]

# Operations of NumPy that keep elements or add them up, so that the rule says what they do.
_LINEAR = {
    *("sum", "mean", "transpose", "matrix_transpose", "permute_dims", "swapaxes", "moveaxis", "reshape", "squeeze"),
    *("expand_dims", "broadcast_to", "getitem", "astype", "positive"),
}


def part_backward(nodes: Iterable[Node], results: Sequence[Node], *, path: str = "", whole: bool = False) -> str:
    """The backward of these operations as a Python function, executed and compared with the engine's rules.

    ``results`` are those that are used outside; ``whole`` says that they are what backward() starts from; ``path`` is
    that of the module, below which its parameters are named.

    Raises GraphError if there are several results, an operation has no formula, what it saved is not known any more,
    or the function deviates by more than 1e-12.
    """
    if len(results) != 1:
        raise GraphError(f"{len(results)} results are used outside of it, so it has no single upstream gradient")
    part = _Part(sorted(nodes, key=lambda n: n.birth), results[0], path, whole)
    try:
        return part.source()
    except FAILURES as error:
        raise GraphError(f"it cannot be worked out for these values ({error})") from error


class _Part:
    def __init__(self, nodes: list[Node], out: Node, path: str, whole: bool) -> None:
        self.nodes = nodes
        self.out = out
        self.whole = whole and not out.shape
        self.trace = Recording()
        self.rng = np.random.default_rng([20, 23, 5])
        self.known: dict[Any, Any] = {}
        self.certain: set[Any] = set()  # what has its value in the graph; that of others is made up
        self.traced: dict[Any, Any] = {}
        self.inputs: dict[int, str] = {}  # the names of the function's arguments, by the id of the array
        self.arrays: dict[str, Any] = {}
        self.made: dict[Node, Made] = {}
        inside = set(nodes)
        parents = [p for node in nodes for p in node.inputs if isinstance(p, Node) and p not in inside]
        self.outside = list(dict.fromkeys(parents))
        entering = [node for node in self.outside if not isinstance(node, Leaf)]
        given = {out: "out"} | ({entering[0]: "x"} if len(entering) == 1 else {})
        self.names = named_nodes([*self.outside, *nodes], given, path)
        self.own = {node for node in nodes if _is_numbered(self.names[node], own_name(node, path))}
        self.x = "c" if entering else "x"  # what an array that is not a Tensor is called
        self._look_up()

    def _look_up(self) -> None:
        """Collect the values that are still there."""
        for node in self.nodes:
            if node.dtype.kind == "c":
                raise GraphError(f"{node.op} computes with complex numbers")
            for position, rule in enumerate(node.rules):
                if rule is None or isinstance(node.saved, Freed):
                    continue
                for source, value in zip(sources(rule, node), node.saved[position], strict=True):
                    if isinstance(source, Node | Given) and isinstance(value, np.ndarray):
                        self.known[self.key(source)] = value
        for leaf in self.outside:
            owner = leaf.owner() if isinstance(leaf, Leaf) else None
            if owner is not None and isinstance(owner.data, np.ndarray) and owner.data.shape == leaf.shape:
                self.known.setdefault(leaf, owner.data)

    # --- forward ----------------------------------------------------------------------------------------

    def key(self, source: Node | Given) -> Any:
        """Equal for the same array, which is given to each operation anew."""
        array = source.ref() if isinstance(source, Given) else None
        return source if array is None else id(array)

    def array(self, source: Node | Given) -> Any:
        """The value of what is given, in float64; one of the same shape if it is gone."""
        known = self.known.get(self.key(source))
        if known is None and isinstance(source, Given):
            known = source.ref()
        kind = source.dtype.kind
        if known is not None:
            self.certain.add(source)
        elif kind == "f":
            known = self.rng.uniform(0.5, 1.5, source.shape)
        else:
            known = np.zeros(source.shape, source.dtype)
        return np.array(known, dtype=np.float64 if kind == "f" else None)

    def given(self, source: Node | Given, text: str) -> Any:
        """An argument of the function."""
        key = self.key(source)
        made = self.traced.get(key)
        if made is None:
            tried, k = text, 2
            while tried in self.arrays:
                tried, k = f"{text}{k}", k + 1
            array = self.arrays[tried] = self.array(source)
            self.inputs[id(array)] = tried
            made = self.traced[key] = self.trace.lift(array)
        return made

    def operand(self, source: Any) -> Any:
        """An input of an operation; None if nothing is known of it."""
        if isinstance(source, Node):
            return self.traced[source] if source in self.traced else self.given(source, self.names[source])
        return self.given(source, self.x) if isinstance(source, Given) else source

    def forward(self, node: Node) -> Any:
        """The result of an operation, computed from its inputs; None for one whose function is not known."""
        if not any(getattr(rule, "__module__", "").startswith("tensorgrad.ops.") for rule in node.rules if rule):
            return None  # a function of the user's, whatever its name
        function = getattr(np, node.op, None)
        inputs = [self.operand(source) for source in node.inputs]
        if isinstance(function, np.ufunc) and function.nin == len(inputs) and not any(i is None for i in inputs):
            made = function(*inputs)
        elif node.op in _LINEAR and len(inputs) == 1 and isinstance(inputs[0], TracedArray):
            made = self.transposed(node, inputs[0])
        else:
            return None
        if not isinstance(made, TracedArray) or made.shape != node.shape:
            return None
        inner = [s for s in node.inputs if isinstance(s, Node | Given)]
        if not self.certain.issuperset(inner):
            return made
        self.certain.add(node)
        known = self.known.get(node)
        if known is not None and not np.allclose(made.value, known, rtol=1e-3, atol=1e-3, equal_nan=True):
            return None
        return made

    def transposed(self, node: Node, x: Any) -> Any:
        """What an operation with this rule computes, if the rule sends each element of the gradient to a place."""
        try:
            rule = local_rule(node, 0, self.names)
        except (GraphError, *FAILURES):
            return None
        term = single(rule.value.poly)
        if term is None or len(term[0]) != 1 or term[0][0][1] != 1:
            return None
        atom, c = term[0][0][0], term[1]
        if isinstance(atom, Total):
            return np.broadcast_to(x, node.shape) if node.op == "broadcast_to" else None
        if not isinstance(atom, Ref) or atom.symbol is not rule.upstream or None in rule.value.axes[len(x.shape) :]:
            return None
        order = [a for a in atom.axes if a is not None]
        axes = list(rule.value.axes)
        summed = tuple(i for i, a in enumerate(axes) if a is not None and a not in order)
        count = int(np.prod([x.shape[i] for i in summed], dtype=int))
        if summed:
            mean = c != 1 and c * count == 1
            x = (np.mean if mean else np.sum)(x, axis=summed)
            c = Fraction(1) if mean else c
        left = [a for i, a in enumerate(axes) if i not in summed]
        if c != 1 or set(order) - set(left):
            return None
        kept = [a for a in left if a is not None]
        if len(kept) < len(left):
            x = np.reshape(x, tuple(a[1] for a in kept))
        if kept != order:
            x = np.transpose(x, tuple(kept.index(a) for a in order))
        return x if x.shape == node.shape else np.reshape(x, node.shape)

    def run_forward(self) -> None:
        """Compute every result, or take it as given."""
        for node in self.nodes:
            self.trace.enter(node.op)
            result = self.forward(node)
            if result is None:
                result = self.given(node, self.names[node])
            self.traced[node] = result
            self.made[node] = Made(node.op, result.variable, node.code, node.lasti, None, node)  # type: ignore[arg-type]

    # --- backward ---------------------------------------------------------------------------------------

    def run_backward(self, seed: Any) -> dict[Node, Any]:
        """The gradients of all results and of what comes from outside, by the engine's rules."""
        found = {self.out: seed}
        for node in reversed(self.nodes):
            g = found.get(node)
            if g is None:
                continue
            self.trace.enter(f"backward of {node.op}")
            for position, rule in enumerate(node.rules):
                if rule is None:
                    continue
                parent = node.inputs[position]
                args = [self.saved(node, position, k, s) for k, s in enumerate(sources(rule, node))]
                r = sum_to_shape(array_functions, rule(array_functions, g, *args), parent.shape)
                found[parent] = found[parent] + r if parent in found else r
        return found

    def saved(self, node: Node, position: int, k: int, source: Any) -> Any:
        """What a rule is given for one of its parameters."""
        if isinstance(source, Node | Given):
            return self.operand(source)
        if isinstance(source, int | float):
            return source
        if isinstance(node.saved, Freed):
            raise GraphError(f"backward() has freed what {node.op} saved")
        return node.saved[position][k]

    # --- the function -----------------------------------------------------------------------------------

    def source(self) -> str:
        """Run, lift, search, print, verify."""
        with Watched(self.trace, None), silenced():
            self.run_forward()
            count = len(self.trace.instructions)
            ones = np.ones(()) if self.whole else self.rng.normal(size=self.out.shape)
            seed = self.trace.lift(ones) if self.whole else self.trace.traced(ones, "argument")
            found = self.run_backward(seed)
        self.trace.active = False
        variables = {node: self.traced[node].variable for node in self.nodes}
        names = {variables[node]: self.names[node] for node in self.own}
        out = variables[self.out]
        made = list(self.made.values())
        recorded = Recorded(self.trace, count, made, names, out, None if self.whole else seed.variable)
        recorded.cotangents = {g.variable: variables[n] for n, g in found.items() if n in variables}
        wanted = [n for n in self.outside if n in found and not isinstance(n, Constant)]
        if not wanted:
            raise GraphError("no gradient leaves it")
        recorded.gradients = {id(n): found[n].variable for n in wanted}
        book, goals, outputs, lifted = solved([self.names[n] for n in wanted], recorded, self.inputs, wanted)
        program = programmed(book, search(goals, book, lifted.cotangents)[0], outputs)
        used = set(needed([value.poly for _, value, _ in program.outputs]))
        kept = [s for s in program.inputs if s.role == "upstream" or s in used]
        program = Program(kept, program.outputs, program.facts)
        self.verify(program, [found[n].variable.value for n in wanted], ones)
        return program.source.rstrip("\n")

    def verify(self, program: Program, expected: list[Any], upstream: Any) -> None:
        """Compare the printed function with what the rules gave.

        Raises GraphError if it deviates.
        """
        arguments = []
        for symbol in (*program.inputs, *program.extra):
            by_name = self.arrays[symbol.origin] if symbol.source is None and symbol.role != "upstream" else None
            arguments.append(upstream if symbol.role == "upstream" else symbol.source if by_name is None else by_name)
        with silenced():
            made = program.function()(*arguments)
        made = made if isinstance(made, tuple) else (made,)
        deviation = max(apart(got, g) for got, g in zip(made, expected, strict=True))
        if not deviation <= TOLERANCE:
            freed = any(isinstance(node.saved, Freed) for node in self.nodes)
            why = " (backward() has freed the values, so others stand in for them; draw before it)" if freed else ""
            raise GraphError(f"the formula found deviates by {deviation:.3g} from the rules, so it is not shown{why}")


def _is_numbered(name: str, own: str | None) -> bool:
    """Whether a name is another one, or that with a number because it was taken."""
    return own is not None and name.startswith(own) and (name == own or name[len(own) :].isdigit())
