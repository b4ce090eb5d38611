"""From a recorded run to formulas: each NumPy call becomes a value, a polynomial with axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..compiler.variables import Instruction, Variable
from ..errors import GraphError
from .algebra import call, mul, power
from .atoms import ZERO, Call, Label, Poly, Ref, add, fresh, of_atom, scale, single
from .book import Book, is_reference
from .calls import Unliftable, kept_call
from .handlers import HANDLERS, RULES, is_hot
from .naming import Naming, array_shape, simple
from .numpy_text import axes_order
from .promises import Promise
from .recording import Recorded
from .sums import total, undivided
from .tree import tree
from .values import Code, Symbol, Value, aligned, axes_for, number_of, reference

__all__ = ["Lifted", "Lifter", "lift"]


class Lifted:
    """The formulas of a run: ``out``, and the gradients by the id of the leaf (None for no dependence)."""

    def __init__(self, book: Book, out: Value, gradients: dict[int, Value | None]) -> None:
        self.book = book
        self.out = out
        self.gradients = gradients
        self.cotangents: dict[Symbol, Value] = {}


def lift(
    recorded: Recorded,
    book: Book,
    inputs: dict[int, str],
    *,
    facts: bool = True,
    promises: Sequence[Promise] = (),
    linear: bool = True,
) -> Lifted:
    """The formulas of a recorded run; ``inputs`` are the names of the arguments, by the id of the Tensor or array.

    Without ``facts``, known sums are not used; if not ``linear``, sums of several terms stay whole in the backward.

    Raises GraphError for a call that has no formula and cannot be kept as it is.
    """
    lifter = Lifter(recorded, book, inputs, facts, promises)
    lifter.linear = linear
    return lifter.run()


def _ufunc_method(function: Any) -> tuple[str, str] | None:
    owner = getattr(function, "__self__", None)
    return (owner.__name__, function.__name__) if isinstance(owner, np.ufunc) else None


_RENAMED = {
    "invert": "logical_not",
    "bitwise_or": "logical_or",
    "bitwise_and": "logical_and",
    "bitwise_xor": "not_equal",
}


class Lifter(Naming):
    """Reads the instructions of a run one by one; ``values`` holds what each variable is."""

    def run(self) -> Lifted:
        """Lift the whole run."""
        instructions = self.recorded.trace.instructions
        for source, text in self.inputs.items():
            variable = self.recorded.trace.captured.get(source)
            if variable is not None and variable not in self.values:
                self.values[variable] = reference(self.promised(self.book.input(text, variable.value)))
        for instruction in instructions[: self.recorded.forward]:
            self.step(instruction)
        out = self.value(self.recorded.out)
        self.role = "backward"
        for m in self.recorded.made:  # which forward values have gradients
            if m.variable not in self.of_variable and m.variable in self.values:
                symbol = is_reference(self.values[m.variable].poly)
                if symbol is not None and symbol.role == "forward":
                    self.of_variable[m.variable] = symbol
        if self.recorded.seed is not None:
            result = self.of_variable.get(self.recorded.out)
            text = f"d{result.text}" if result is not None and result.given and result.text != "out" else "dy"
            symbol = self.book.input(
                text if text not in self.book.texts else "dout", self.recorded.seed.value, "upstream"
            )
            self.values[self.recorded.seed] = reference(symbol)
        for instruction in instructions[self.recorded.forward :]:
            self.step(instruction)
        gradients = {
            leaf: None if variable is None else self.value(variable)
            for leaf, variable in self.recorded.gradients.items()
        }
        lifted = Lifted(self.book, out, gradients)
        lifted.cotangents = self.cotangents
        return lifted

    def promised(self, symbol: Symbol) -> Symbol:
        """Note what the user knows of an argument."""
        for promise in self.promises:
            if promise.argument == symbol.origin and self.facts:
                n = len(symbol.axes)
                axes = range(n) if promise.axes is None else sorted(a % n for a in promise.axes)
                symbol.facts[tuple(axes)] = promise.value
        return symbol

    # --- values -----------------------------------------------------------------------------------------

    def value(self, leaf: Any) -> Value:
        """The value of an argument of a call."""
        if not isinstance(leaf, Variable):
            if isinstance(leaf, list | tuple):
                raise Unliftable("a nested list")
            try:
                return Value(number_of(leaf), ())
            except (ValueError, TypeError) as error:
                raise Unliftable(str(error)) from error
        if leaf in self.stale:
            raise Unliftable("a view of an array that was written to")
        known = self.values.get(leaf)
        if known is None:
            known = self.values[leaf] = self.captured(leaf)
        return known

    def captured(self, variable: Variable) -> Value:
        """An array from outside that is not an argument: a number, or one more input."""
        array = np.asarray(variable.value)
        if array.dtype.kind not in "fiub":
            raise Unliftable(f"an array of dtype {array.dtype}")
        if array.size and (array == array.flat[0]).all() and (array.ndim == 0 or array.size > 1):
            try:
                return Value(number_of(array.flat[0]), axes_for(array.shape))
            except ValueError:
                pass
        if array.ndim == 1 and array.dtype.kind == "i" and (array == np.arange(array.size)).all():
            counted = self.book.define("classes", Code(f"np.arange({array.size})", ()), array.shape, "forward")
            counted.integer = True
            return reference(counted)
        node = getattr(variable.source, "node", None)
        label = getattr(node, "label", None) or "c"
        symbol = self.book.input(label, array)
        symbol.role, symbol.source = "constant", array
        return reference(symbol)

    def step(self, instruction: Instruction) -> None:
        """Lift one call."""
        try:
            if instruction.writes is not None:
                self.written(instruction)
                return
            if not instruction.results:
                return  # a check
            if len(instruction.results) > 1:
                raise Unliftable("several results")
            (variable,) = instruction.results
            value = self.lifted(instruction, variable)
            value = Value(self.book.recognised(value.poly), value.axes)
            if self.role == "forward":
                value = self.named(variable, value)
            else:
                value = self.received(variable, value)
            self.values[variable] = value
        except Unliftable as error:
            what = instruction.comment or "the function"
            name = getattr(instruction.function, "__name__", str(instruction.function))
            raise GraphError(f"derive has no formula for {what}: {name} is {error}") from error
        except ZeroDivisionError as error:
            raise GraphError(f"derive cannot divide by zero in {instruction.comment}") from error

    def written(self, instruction: Instruction) -> None:
        """A call that writes: the written array has a new value from here on."""
        target = instruction.writes
        assert target is not None
        if target.root is not None:
            raise Unliftable("a write to a view")
        shape = array_shape(target)
        if "out" in instruction.kwargs and isinstance(instruction.function, np.ufunc):
            value = self.elementwise(instruction.function.__name__, instruction.args, target)
        elif instruction.function is np.copyto and not instruction.kwargs:
            (poly,), axes = aligned([self.value(instruction.args[1])], shape)
            value = Value(poly, axes)
        else:
            code = kept_call(instruction, self.value, writes=True)
            symbol = self.book.define("t", code, shape, self.role)
            value = reference(symbol)
        self.values[target] = Value(self.book.recognised(value.poly), value.axes)
        self.stale |= {v for v in self.values if v.root is not None and v.owner is target}

    # --- calls ------------------------------------------------------------------------------------------

    def lifted(self, instruction: Instruction, variable: Variable) -> Value:
        """The result of a call."""
        function: Any = instruction.function
        shape = array_shape(variable)
        dtype = np.asarray(variable.value).dtype
        if dtype.kind not in "fiub":
            raise Unliftable(f"a function with a result of dtype {dtype}")
        handler = HANDLERS.get(function) if _hashable(function) else None
        method = _ufunc_method(function)
        if method == ("add", "reduce"):
            handler = HANDLERS[np.sum]
        elif method == ("maximum", "reduce"):
            handler = HANDLERS[np.max]
        if handler is not None:
            found = handler(self, instruction, shape) if _all_finite(instruction) else None
            if found is not None:
                return found
        elif (
            isinstance(function, np.ufunc)
            and function.signature is None
            and not instruction.kwargs
            and _all_finite(instruction)
        ):
            return self.elementwise(function.__name__, instruction.args, variable)
        return self.kept(instruction, variable)

    def kept(self, instruction: Instruction, variable: Variable) -> Value:
        """The result of a call that is kept as it is."""
        shape = array_shape(variable)
        code = kept_call(instruction, self.value)
        text = self.recorded.names.get(variable)
        symbol = self.book.define(text or "t", code, shape, self.role, text is not None)
        kind = np.asarray(variable.value).dtype.kind
        symbol.hot = symbol.nonneg = kind == "b"
        symbol.integer = kind in "iu"
        self.of_variable[variable] = symbol
        return reference(symbol)

    def elementwise(self, name: str, args: tuple[Any, ...], variable: Variable) -> Value:
        """A ufunc."""
        shape = array_shape(variable)
        kind = np.asarray(variable.value).dtype.kind
        polys, axes = aligned([self.value(a) for a in args], shape)
        boolean = kind == "b"
        whole = kind in "iu"
        name = _RENAMED.get(name, name) if boolean else name
        if boolean:
            if name in ("multiply", "logical_and"):
                return Value(mul(*polys), axes)
            if name == "not_equal" and all(is_hot(p) for p in polys):
                return Value(of_atom(Call("not_equal", tuple(polys), True)), axes)
            return Value(call(name, *polys, hot=True), axes)
        if name == "exp":
            found = self.exponential(polys[0])
            if found is not None:
                return Value(found, axes)
        if name == "sign":
            polys = [_through_relu(polys[0])]
        rule = RULES.get(name)
        if rule is not None and not (whole and name in ("power", "reciprocal", "sqrt")):
            found = rule(*polys)
            if found is not None:
                return Value(found, axes)
        if getattr(np, name, None) is None:
            name = f"special.{name}"
            if name.startswith("special._"):
                raise Unliftable("private")
        return Value(call(name, *polys), axes)

    def exponential(self, x: Poly) -> Poly | None:
        """``exp(a + c * log(b))`` as ``exp(a) * b**c``: the softmax whose logarithm is known."""
        symbol = is_reference(x)
        if symbol is not None and not symbol.given:
            x = self.book.opened(x)
        rest = ZERO
        factors = []
        for mono, c in x.terms.items():
            term = Poly({mono: c})
            own = is_reference(term)
            shown = self.book.opened(term) if own is not None and not own.given else term
            only = single(shown)
            inner = only[0][0][0] if only is not None and len(only[0]) == 1 and only[0][0][1] == 1 else None
            k = only[1] if only is not None else c
            if isinstance(inner, Call) and inner.name == "logaddexp" and k == -1:
                a = inner.args[0] if not inner.args[1] else inner.args[1]
                others = add(x, scale(term, -1))
                if not (inner.args[0] and inner.args[1]) and others in (ZERO, a):  # it is log(1 + exp(a))
                    return call("sigmoid", a if others else scale(a, -1))
            if isinstance(inner, Call) and inner.name == "log":
                factors.append(power(inner.args[0], int(k) if k.denominator == 1 else k))
            else:
                rest = add(rest, term)
        if not factors:
            return None
        poly = self.book.recognised(mul(self.book.recognised(call("exp", rest)), *factors))
        if self.role == "backward" and is_reference(poly) is None:
            value = Value(poly, axes_order(tree(poly), ()))
            poly = self.book.let(value, value.shape, "p", "forward").poly
            self.book.symbols[-1].kept = True
        return poly

    def total(self, poly: Poly, labels: Iterable[Label]) -> Poly:
        """The sum over labels, taken apart into its terms as soon as sums are linear."""
        return total(poly, labels) if self.linear or self.role == "forward" else undivided(poly, labels)

    def contracted(self, spec: str, args: tuple[Any, ...]) -> Value:
        """The sum of a product of values, as ``np.einsum`` writes it; an operand that is a sum gets a name first."""
        inputs, _, output = spec.partition("->")
        labels: dict[str, Label] = {}
        polys = []
        for letters, arg in zip(inputs.split(","), args, strict=True):
            value = self.value(arg)
            if not simple(value.poly) and value.poly.number is None:
                value = self.let(value, value.shape)
            if len(set(letters)) < len(letters):
                raise Unliftable("a diagonal")
            value = value.renewed()
            axes: list[Label | None] = []
            for letter, axis in zip(letters, value.axes, strict=True):
                axes.append(None if axis is None else labels.setdefault(letter, fresh(axis[1])))
            polys.append(value.at(axes))
        bound = [label for letter, label in labels.items() if letter not in output]
        value = Value(self.total(mul(*polys), bound), tuple(labels.get(letter) for letter in output))
        found = self.book.recognised(value.poly)
        if is_reference(found) is not None or found.number is not None or self.role == "forward":
            return Value(found, value.axes)
        return self.book.let(value, value.shape, "g", "backward")


def _all_finite(instruction: Instruction) -> bool:
    """Whether the numbers among the arguments may stand in a formula."""
    return all(not isinstance(a, float | np.floating) or np.isfinite(a) for a in instruction.args)


def _hashable(function: Any) -> bool:
    try:
        hash(function)
    except TypeError:
        return False
    return True


def _through_relu(poly: Poly) -> Poly:
    """``maximum(z, 0)`` for a symbol that is defined as that, so that its sign is ``z > 0``."""
    symbol = is_reference(poly)
    term = single(poly)
    if symbol is None or term is None or term[1] != 1 or not isinstance(symbol.definition, Poly):
        return poly
    atom = term[0][0][0]
    assert isinstance(atom, Ref)
    definition = symbol.along(atom.axes)
    inner = single(definition)
    if inner is None or inner[1] != 1 or len(inner[0]) != 1:
        return poly
    outer = inner[0][0][0]
    return definition if isinstance(outer, Call) and outer.name == "maximum" else poly
