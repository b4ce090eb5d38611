"""The typed program, printed as straight-line NumPy code: the bits of the uncompiled step."""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Callable, Collection
from math import isfinite, prod
from typing import Any

import numpy as np

from ..engine.record import Handle
from ..engine.writes import Writer
from ..errors import NeedsEager
from .passes import Plan
from .program import Program
from .text import defined
from .variables import Instruction, Variable

__all__ = ["NumpyCode", "array_of", "empty"]

_MARK = re.compile("\0(\\d+)\0")  # a literal in the text that is written; strings in it have no such characters
_SYMBOLS = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.pow: "**",
}


class NumpyCode:
    """A typed program as NumPy code, with buffers for its results.

    Views of buffers, parameters and state are made once. What the step returns, and the gradients it leaves, are fresh
    arrays in every run.

    Attributes:
        native: whether loops were compiled.
        quiet: whether no NumPy call in it can warn of overflow and the like.
        put_back_by_itself: variables that :meth:`put_back` knows of.
    """

    native = False
    quiet = False
    put_back_by_itself: Collection[Variable] = ()
    _reserved: Collection[str] = ("np", "operator", "step", "float", "slice")  # names that the code itself uses

    def __init__(self, program: Program, hosted: list[Any] | None = None) -> None:
        self.program = program
        self.captured = program.captured
        self._targets = program.written
        self.constants: dict[str, Any] = {}
        self.buffers: dict[str, np.ndarray[Any, Any]] = {}
        self.hosted: list[Any] = [] if hosted is None else hosted  # what host functions have returned in this run
        self._constant_names: dict[int, str] = {}
        self._taken = {*self._reserved}
        self._name_variables()
        self._captured_names = [variable.name for variable in self.captured]
        self._place: dict[Variable, str] = {}  # the buffer that holds a variable
        self._literals: list[tuple[str, str]] = []  # how each is written, and its name in the text that is compiled
        self._allocate()
        text = self._write()
        about = [f"# {name} = np.empty({array.shape}, np.{array.dtype})\n" for name, array in self.buffers.items()]
        self.source = "".join(about) + _MARK.sub(lambda found: self._literals[int(found[1])][0], text)
        # Without its numbers, so that the programs for two lengths of a batch have one text to compile.
        self._compiled = _MARK.sub(lambda found: self._literals[int(found[1])][1], text)
        self._namespace: dict[str, Any] = {}
        self._released: dict[str, Any] = {}  # the layouts of buffers that were freed
        self.bound: list[Any] = []
        self.bind()

    def _allocate(self) -> None:
        """Make the buffers."""
        plan = Plan.of(self.program)
        names = [self._named("b", number) for number in range(len(plan.buffers))]
        self.buffers = dict(zip(names, plan.buffers, strict=True))
        self._place = {variable: names[number] for variable, number in plan.places.items()}

    # --- running ----------------------------------------------------------------------------------------

    def release(self) -> None:
        """Free the buffers. The code must be bound before it runs again."""
        self._released = {name: (array.shape, array.dtype, array.strides) for name, array in self.buffers.items()}
        self.buffers.clear()
        self._namespace.clear()
        self.__dict__.pop("run", None)

    def bind(self) -> None:
        """Bind the program to the memory of everything it captured."""
        for name, layout in self._released.items():
            self.buffers[name] = empty(*layout)
        self._released = {}
        self.bound = [array_of(variable.source) for variable in self.captured]
        written = [array_of(variable.source) for variable in self.captured if variable in self._targets]
        self.writer = Writer(self.program.by, written, self)
        names = dict(zip(self._captured_names, self.bound, strict=True))
        self._namespace = {"np": np, "operator": operator, **self.constants, **self.buffers, **names}
        self.__dict__.pop("run", None)

    def run(self, *arguments: Any) -> tuple[Any, ...]:
        """Run the program. The first time, its views are made, and its function takes the place of this method.

        Not earlier: native code may replace it before it has run.
        """
        step: Callable[..., tuple[Any, ...]] = defined("step", self._compiled, self._namespace, "<compiled step>")
        self.__dict__["run"] = step
        return step(*arguments)

    def put_back(self) -> None:
        """Put back what a run that was broken off has written, as far as it kept that itself."""

    def current(self) -> bool:
        """Whether the program fits the captured arrays; binds again if any of them has been replaced."""
        for variable, array in zip(self.captured, self.bound, strict=True):
            now = array_of(variable.source)
            if now is array:
                continue
            if (now.shape, now.dtype, now.strides) != (array.shape, array.dtype, array.strides):
                return False
            self.bind()
            return self.current()
        return True

    # --- names ------------------------------------------------------------------------------------------

    def _named(self, stem: str, number: int | None = None) -> str:
        """A unique name: the stem (and the number), made unique by another number if needed."""
        if number is not None and (name := f"{stem}{number}") not in self._taken:  # the stem is one of ours
            self._taken.add(name)
            return name
        stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem)
        if not stem.isidentifier() or keyword.iskeyword(stem):
            stem = f"_{stem}"
        name = stem if number is None else f"{stem}{number}"
        while name in self._taken:
            number = 0 if number is None else number + 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name

    def _name_variables(self) -> None:
        for number, variable in enumerate(self.program.arguments):
            variable.name = self._named("arg", number)
        number = 0
        for instruction in self.program.instructions:
            for variable in instruction.results:
                variable.name = self._named("n" if variable.kind == "number" else "t", number)
                number += 1
        for variable in self.captured:
            label = variable.source.name if isinstance(variable.source, Handle) else None  # type: ignore[attr-defined]
            variable.name = self._named(label or "state")

    # --- text -------------------------------------------------------------------------------------------

    def _write(self) -> str:
        once: list[str] = []
        lines: list[str] = []
        fixed = set(self.captured) | set(self._place)  # variables whose memory never moves
        comment = ""
        for instruction in self.program.instructions:
            text = self._statement(instruction)
            result = instruction.results[0] if len(instruction.results) == 1 else None
            if (
                result is not None
                and result.root is not None
                and result.owner in fixed
                and not result.moves
                and result.owner not in self.program.kept
            ):
                once.append(text)
                continue
            if instruction.comment != comment:
                comment = instruction.comment
                lines.append(f"# {comment}")
            lines.append(text)
        names = ", ".join(v.name for v in self.program.outputs)
        lines.append(f"return ({names}{',' if len(self.program.outputs) == 1 else ''})")
        head = ["# views, made once", *once] if once else []
        arguments = ", ".join(v.name for v in self.program.arguments)
        body = "\n".join(f"    {line}" for line in lines)
        return "\n".join(head) + f"\n\ndef step({arguments}):\n{body}\n"

    def _statement(self, instruction: Instruction) -> str:
        function, args, kwargs = instruction.function, instruction.args, instruction.kwargs
        place = self._place.get(instruction.results[0]) if len(instruction.results) == 1 else None
        if function is operator.getitem:
            expression = f"{self._text(args[0])}[{self._index(args[1])}]"
        elif function is operator.setitem:
            return f"{self._text(args[0])}[{self._index(args[1])}] = {self._text(args[2])}"
        elif function in _SYMBOLS:
            expression = f"{self._text(args[0])} {_SYMBOLS[function]} {self._text(args[1])}"
        elif function is np.transpose and len(args) == 1 and not kwargs and _is_array(args[0]):
            expression = f"{self._text(args[0])}.T"
        elif function is np.reshape and len(args) == 2 and not kwargs and _is_array(args[0]):
            expression = f"{self._text(args[0])}.reshape({self._text(args[1])})"
        else:
            parts = [self._text(arg) for arg in args]
            parts += [f"{key}={self._text(value)}" for key, value in kwargs.items()]
            if place is not None:
                parts.append(f"out={place}")
            name = self._function(_noting(function, self.hosted) if instruction.comes_from_outside else function)
            expression = f"{name}({', '.join(parts)})"
        if not instruction.results:
            return expression
        if instruction.fixed and any(v.kind != "number" for v in instruction.results):
            expression = self._fitting(expression, instruction.results)
        if len(instruction.results) > 1:
            return f"{', '.join(v.name for v in instruction.results)} = {expression}"
        if instruction.results[0] in self._targets and not instruction.results[0].shape:
            expression = f"np.asarray({expression})"  # NumPy's scalars cannot be written to
        if place is not None:
            instruction.results[0].name = place  # from here on, the buffer is the value
            return expression
        return f"{instruction.results[0].name} = {expression}"

    def _fitting(self, expression: str, results: tuple[Variable, ...]) -> str:
        """The expression with a check of its results; see :func:`as_traced`."""
        if len(results) == 1:
            (v,) = results
            facts = f"{self._text(v.shape)}, {self._constant(v.dtype, 'dtype')}"
            return f"{self._constant(fitting, 'fitting')}({expression}, {facts})"
        several = tuple(None if v.kind == "number" else (v.shape, v.dtype) for v in results)
        return f"{self._constant(as_traced, 'as_traced')}({expression}, {self._text(several)})"

    def _function(self, function: Any) -> str:
        owner: Any = getattr(function, "__self__", None)
        name = getattr(function, "__name__", "")
        if isinstance(owner, np.ufunc):
            return f"np.{owner.__name__}.{name}"
        if getattr(np, name, None) is function:
            return f"np.{name}"
        if getattr(np.ndarray, name, None) is function:
            return f"np.ndarray.{name}"
        return self._constant(function, name if name.isidentifier() else "call")

    def _constant(self, value: Any, stem: str) -> str:
        name = self._constant_names.get(id(value))
        if name is None:
            name = self._named(stem)
            self._constant_names[id(value)] = name
            self.constants[name] = value  # also keeps it alive, so that its id is not reused
        return name

    def _literal(self, value: Any, text: str) -> str:
        number = len(self._literals)
        name = self._named("literal", number)
        self.constants[name] = value
        self._literals.append((text, name))
        return f"\0{number}\0"

    def _index(self, index: Any) -> str:
        if type(index) is tuple and index:
            return ", ".join(self._index(part) for part in index) + ("," if len(index) == 1 else "")
        if type(index) is slice:
            start, stop, step = ("" if i is None else self._text(i) for i in (index.start, index.stop, index.step))
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return self._text(index)

    def _text(self, value: Any) -> str:
        kind = type(value)
        if kind is Variable:
            return value.name
        if kind is float:
            return self._literal(value, repr(value) if isfinite(value) else f'float("{value}")')
        if kind is int and abs(value) > 1:
            return self._literal(value, repr(value))
        if value is Ellipsis:
            return "..."
        if value is None or kind in (bool, int, str):
            return repr(value)
        if kind is tuple:
            if value and all(type(part) is int for part in value):
                return self._literal(value, repr(value))
            return f"({', '.join(map(self._text, value))}{',' if len(value) == 1 else ''})"
        if kind is list:
            return f"[{', '.join(map(self._text, value))}]"
        if kind is slice:
            return f"slice({self._text(value.start)}, {self._text(value.stop)}, {self._text(value.step)})"
        if isinstance(value, np.dtype) and value.isnative and value.kind in "fiub" and value.name.isidentifier():
            return f"np.dtype({value.name!r})"
        return self._constant(value, "constant")


def _is_array(value: Any) -> bool:
    return type(value) is Variable and value.is_array


def as_traced(result: Any, facts: tuple[Any, ...]) -> Any:
    """The result, if it has the shape and dtype it had while tracing: the rest of the program relies on them."""
    for part, fact in zip(result if isinstance(result, tuple | list) else (result,), facts):
        if fact is not None:
            fitting(part, *fact)
    return result


def fitting(array: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The same for one array."""
    if array.shape != shape or array.dtype != dtype:
        raise NeedsEager(
            f"an array had shape {array.shape} and dtype {array.dtype}, but it was {shape} and {dtype} when the step "
            f"was traced; write tg.where instead of x[mask]"
        )
    return array


def _noting(function: Callable[..., Any], hosted: list[Any]) -> Callable[..., Any]:
    """The function, which also notes its results."""

    def call(*args: Any, **kwargs: Any) -> Any:
        hosted.append(function(*args, **kwargs))
        return hosted[-1]

    return call


def empty(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A new array with this memory layout, which has no gaps."""
    return np.ndarray(shape, dtype, np.empty(max(prod(shape), 1), dtype), 0, strides)


def array_of(source: Any) -> Any:
    """The array of a captured Tensor or ndarray."""
    return source.data if isinstance(source, Handle) else source
