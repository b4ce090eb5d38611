"""From a trace to a program: what is needed, where each result is put, and the Python text of it."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..record import Handle
from .trace import Instruction, Trace, Variable

__all__ = ["Program"]

# Exactly rounded, so that every kernel gives the same bits: these may write over an operand. NumPy may choose another
# kernel for the others (exp, power, tanh) where memory overlaps.
_EXACT = {
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.negative,
    np.positive,
    np.absolute,
    np.square,
    np.sqrt,
    np.maximum,
    np.minimum,
    np.sign,
}
_SYMBOLS = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.pow: "**",
}


class Program:
    """A traced step as straight-line NumPy.

    Results of ufuncs and their reductions go to buffers that are allocated once and used again as soon as their
    value is dead. A buffer has the memory layout the result had in the eager run: the order of summation, and so
    the last bit, depends on it. Views of buffers, parameters and state are made once. What the step returns, and
    the gradients it leaves, are fresh arrays at every run.

    Args:
        trace: what was written down.
        arguments: the variables of the step's array and float arguments, in order.
        outputs: the variables that must survive the run: what is returned, and gradients left on leaves.
    """

    def __init__(self, trace: Trace, arguments: list[Variable], outputs: list[Variable]) -> None:
        self.arguments = arguments
        self.outputs = outputs
        self.captured = list(trace.captured.values())
        self.kept = {variable.owner for variable in outputs}
        self.instructions = _needed(trace.instructions, outputs)
        self.constants: dict[str, Any] = {}
        self.buffers: dict[str, np.ndarray[Any, Any]] = {}
        self._constant_names: dict[int, str] = {}
        self._place: dict[Variable, str] = {}  # which buffer a variable lives in
        self._inplace_ok: dict[Instruction, bool] = {}
        self._name_variables()
        self._assign_buffers()
        self.source = self._write()
        self._namespace: dict[str, Any] = {}
        self._bound: list[Any] = []
        self.bind()
        for variable in trace.variables:  # nothing of the traced run is needed any more
            if variable.kind != "captured":
                variable.value = None

    # --- running ----------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Point the program at the memory of everything it captured, and make the views of it."""
        self._bound = [_array(variable.source) for variable in self.captured]
        changed = {i.writes.owner for i in self.instructions if i.writes is not None}
        self.written = [_array(variable.source) for variable in self.captured if variable in changed]
        names = {variable.name: array for variable, array in zip(self.captured, self._bound, strict=True)}
        self._namespace = {"np": np, "operator": operator, **self.constants, **self.buffers, **names}
        exec(compile(self.source, "<compiled step>", "exec"), self._namespace)
        self.run: Callable[..., tuple[Any, ...]] = self._namespace["step"]

    def current(self) -> bool:
        """Is the captured memory still where it was? Binds again where it moved; False if it no longer fits."""
        for variable, array in zip(self.captured, self._bound, strict=True):
            now = _array(variable.source)
            if now is array:
                continue
            if (now.shape, now.dtype, now.strides) != (array.shape, array.dtype, array.strides):
                return False
            self.bind()
            return self.current()
        return True

    # --- names ------------------------------------------------------------------------------------------

    def _name_variables(self) -> None:
        taken: set[str] = set()
        for variable in self.captured:
            label = variable.source.name if isinstance(variable.source, Handle) else None  # type: ignore[attr-defined]
            stem = "".join(c if c.isalnum() else "_" for c in label) if label else "state"
            if not stem.isidentifier() or stem in ("np", "operator", "step"):
                stem = f"_{stem}"
            variable.name = stem
            count = 0
            while variable.name in taken:
                count += 1
                variable.name = f"{stem}_{count}"
            taken.add(variable.name)
        for number, variable in enumerate(self.arguments):
            variable.name = f"arg{number}"
        number = 0
        for instruction in self.instructions:
            for variable in instruction.results:
                variable.name = f"{'n' if variable.kind == 'number' else 't'}{number}"
                number += 1

    # --- buffers ----------------------------------------------------------------------------------------

    def _assign_buffers(self) -> None:
        last_use: dict[Variable, int] = {}
        for number, instruction in enumerate(self.instructions):
            for variable in (*instruction.reads, *instruction.results):
                last_use[variable.owner] = number
        free: dict[Any, list[str]] = defaultdict(list)
        for number, instruction in enumerate(self.instructions):
            dying = {v.owner for v in instruction.reads if last_use[v.owner] == number and v.owner in self._place}
            result = instruction.results[0] if instruction.results else None
            if result is not None and _takes_out(instruction) and result.root is None and result not in self.kept:
                key = _layout(result.value)
                if key is not None:
                    reusable = [
                        v
                        for v in instruction.reads
                        if instruction.function in _EXACT and v in dying and _layout(v.value) == key
                    ]
                    if reusable:
                        name = self._place[reusable[0]]
                        dying.remove(reusable[0])
                    elif free[key]:
                        name = free[key].pop()
                    else:
                        name = f"b{len(self.buffers)}"
                        self.buffers[name] = np.empty_like(result.value)
                    self._place[result] = name
                    if last_use[result] == number:
                        dying.add(result)
            for variable in sorted(dying, key=lambda v: v.number):
                free[_layout(variable.value)].append(self._place[variable])

    # --- text -------------------------------------------------------------------------------------------

    def _write(self) -> str:
        once: list[str] = []
        lines: list[str] = []
        fixed = set(self.captured) | set(self._place)  # variables whose memory stays where it is
        comment = ""
        for instruction in self.instructions:
            text = self._statement(instruction)
            result = instruction.results[0] if len(instruction.results) == 1 else None
            if (
                result is not None
                and result.root is not None
                and result.owner in fixed
                and all(v.owner in fixed and v.kind != "number" for v in instruction.reads)
                and result.owner not in self.kept
            ):
                once.append(text)
                continue
            if instruction.comment != comment:
                comment = instruction.comment
                lines.append(f"# {comment}")
            lines.append(text)
        names = ", ".join(v.name for v in self.outputs)
        lines.append(f"return ({names}{',' if len(self.outputs) == 1 else ''})")
        head = [f"# {name} = np.empty({array.shape}, np.{array.dtype})" for name, array in self.buffers.items()]
        if once:
            head += ["# views, made once", *once]
        arguments = ", ".join(v.name for v in self.arguments)
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
        else:
            parts = [self._text(arg) for arg in args]
            parts += [f"{key}={self._text(value)}" for key, value in kwargs.items()]
            if place is not None:
                parts.append(f"out={place}")
            expression = f"{self._function(function)}({', '.join(parts)})"
        if not instruction.results:
            return expression
        if len(instruction.results) > 1:
            return f"{', '.join(v.name for v in instruction.results)} = {expression}"
        if place is not None:
            instruction.results[0].name = place  # from here on the buffer is the value
            return expression
        return f"{instruction.results[0].name} = {expression}"

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
            name = f"{stem}_{len(self.constants)}"
            self._constant_names[id(value)] = name
            self.constants[name] = value  # keeps it alive, so that its id stays its own
        return name

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
            return repr(value) if np.isfinite(value) else f'float("{value}")'
        if value is Ellipsis:
            return "..."
        if value is None or kind in (bool, int, str):
            return repr(value)
        if kind is tuple:
            return f"({', '.join(map(self._text, value))}{',' if len(value) == 1 else ''})"
        if kind is list:
            return f"[{', '.join(map(self._text, value))}]"
        if kind is slice:
            return f"slice({self._text(value.start)}, {self._text(value.stop)}, {self._text(value.step)})"
        if isinstance(value, np.dtype) and value.isnative and value.kind in "fiub" and value.name.isidentifier():
            return f"np.dtype({value.name!r})"
        return self._constant(value, "constant")


def _array(source: Any) -> Any:
    return source.data if isinstance(source, Handle) else source


def _layout(array: Any) -> Any:
    """What two buffers must share to stand for one another; None where a buffer would not be laid out alike."""
    key = (array.shape, array.dtype, array.strides)
    like = np.empty_like(array)
    return key if like.strides == array.strides else None


def _takes_out(instruction: Instruction) -> bool:
    function = instruction.function
    if isinstance(function, np.ufunc):
        return function.nout == 1 and instruction.writes is None
    owner = getattr(function, "__self__", None)
    return isinstance(owner, np.ufunc) and function.__name__ in ("reduce", "accumulate") and instruction.writes is None


def _needed(instructions: list[Instruction], kept: list[Variable]) -> list[Instruction]:
    """The instructions that something depends on: an output, memory outside, or an effect."""
    wanted = {link for variable in kept for link in variable.chain()}
    chosen: list[Instruction] = []
    for instruction in reversed(instructions):
        written = None if instruction.writes is None else instruction.writes.owner
        if (
            instruction.effect
            or (written is not None and (written in wanted or written.kind in ("captured", "argument")))
            or not wanted.isdisjoint(instruction.results)
        ):
            chosen.append(instruction)
            for variable in instruction.reads:
                wanted.update(variable.chain())
    chosen.reverse()
    return chosen
