"""What several runs of a function have in common, printed as a graph of ONNX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..compiler.variables import Variable
from ..engine.trees import leaves
from .graph import Graph, Refusal
from .runs import Comparison, Step, Varying

__all__ = ["Printer"]

_KINDS = "fiub"


class Printer(Graph):
    """A graph with a value for each variable of a program.

    What depends on nothing but parameters and constants is computed here, once. A write in place gives a variable a new
    value; views of it that were taken before are then out of date, and nothing may read them.

    Args:
        comparison: the runs.
        inputs: a name for each input variable.
        known: names of arrays, by id.
        batch_axes: for each input, the axis of the batch, or None.
        forms: what adds the nodes for a function.
        fused: adds the node that stands for several instructions, if the last of them is given; else returns None.
    """

    def __init__(
        self,
        comparison: Comparison,
        inputs: Mapping[Variable, str],
        known: Mapping[int, str],
        batch_axes: Sequence[int | None],
        forms: Mapping[Any, Any],
        fused: Any,
    ) -> None:
        super().__init__(comparison.sizes, inputs.values())
        self.comparison = comparison
        self.step: Step
        self.overwritten: dict[Step, Step | None] = {}  # by a step that writes: what gave the array its values before
        self._producers: dict[Variable, Step] = {}
        self._uses = Counter(variable for step in comparison.steps for variable in step.reads)
        self._uses.update(comparison.outputs)
        self._forms = forms
        self._fused = fused
        self._parameters = known
        self._static: dict[Variable, Any] = {}
        self._values: dict[Variable, str] = dict(inputs)
        self._made: dict[Variable, int] = {}  # the number of the step that gave a variable its value
        self._written = {step.writes.owner: -1 for step in comparison.steps if step.writes is not None}
        for name, axis in zip(inputs.values(), batch_axes, strict=True):
            if axis is not None and self.batch is None:
                self.batch = (name, axis)
        for number, step in enumerate(comparison.steps):
            self._print(number, step)

    # --- what forms ask ---------------------------------------------------------------------------------

    def shape(self, leaf: Any) -> tuple[Any, ...]:
        """The shape of an argument: integers, or Varying."""
        return self.comparison.shape(leaf) if isinstance(leaf, Variable) else np.shape(leaf)

    def shapes(self, leaf: Any) -> list[tuple[int, ...]]:
        """The shape of an argument in each run."""
        if isinstance(leaf, Variable):
            return [np.shape(value) for value in self.comparison.values[leaf]]
        return [np.shape(leaf)] * len(self.sizes) if not isinstance(leaf, Varying) else [()] * len(self.sizes)

    def dtype(self, leaf: Any) -> np.dtype[Any]:
        """The dtype of an argument."""
        if isinstance(leaf, Varying):
            leaf = leaf.values[0]
        return leaf.value.dtype if isinstance(leaf, Variable) else np.asarray(leaf).dtype

    @property
    def result(self) -> Any:
        """The first result of the current step in the first run."""
        return self.step.results[0].value

    def name(self, leaf: Any, dtype: Any = None) -> str:
        """The name of an argument's value, cast to a dtype."""
        if isinstance(leaf, Varying):
            return self.number(leaf, self.dtype(leaf) if dtype is None else dtype)
        if not isinstance(leaf, Variable):
            return self.constant(np.asarray(leaf, dtype))
        name = self._value(leaf)
        return name if dtype is None else self.cast(name, self.dtype(leaf), dtype)

    def plain(self, leaf: Any) -> Any:
        """An argument's array, or None if it is not the same in every run."""
        if isinstance(leaf, Variable):
            return self._constant_of(leaf)
        return None if isinstance(leaf, Varying) else np.asarray(leaf)

    def producer(self, leaf: Any) -> Step | None:
        """The step that gave an argument its value, if what it read has still the same values."""
        if not isinstance(leaf, Variable):
            return None
        step, made = self._producers.get(leaf), self._made.get(leaf, -1)
        if step is None or any(self._written.get(v.owner, -1) > made for v in (leaf, *step.reads)):
            return None
        return step

    def used_once(self, variable: Variable) -> bool:
        """Whether only one step needs a value, so that it need not exist if that step computes it by the way."""
        return self._uses[variable] == 1

    # --- values -----------------------------------------------------------------------------------------

    def _constant_of(self, variable: Variable) -> Any:
        if variable.owner in self._written or variable in self.comparison.varying:
            return None
        if variable.kind == "captured":
            return variable.value
        return self._static.get(variable)

    def _whole(self, variable: Variable) -> Variable:
        """The owner of the memory, if the variable is all of an array that is written to, such as ``x[...]``."""
        owner = variable.owner
        values = self.comparison.values
        if owner in self._written and all(map(_same_memory, values[variable], values[owner])):
            return owner
        return variable

    def _value(self, variable: Variable) -> str:
        variable = self._whole(variable)
        owner = variable.owner
        if self._written.get(owner, -1) > self._made.get(variable, -1) and variable is not owner:
            raise Refusal("it reads a view of an array that has been written to since; write x = x.copy() first")
        if variable not in self._values:
            self._values[variable] = self._captured(variable)
        return self._values[variable]

    def _captured(self, variable: Variable) -> str:
        array = self._constant_of(variable)
        if array is None and variable.kind == "captured" and variable not in self.comparison.varying:
            array = self.comparison.values[variable][0]
        if array is not None:
            source = variable.source
            known = self._parameters.get(id(source)) if source is not None else None
            return self.constant(array, name=known)
        if variable not in self.comparison.varying:
            raise Refusal("it needs a value that changes from run to run")
        return self._varying(self.comparison.values[variable], self.shape(variable))

    def _varying(self, arrays: Sequence[Any], shape: tuple[Any, ...]) -> str:
        """An array that is made for a batch: the same for each row, counting, or an identity matrix."""
        first = arrays[0]
        along = tuple(i for i, n in enumerate(shape) if isinstance(n, Varying))
        rows = [array[tuple(slice(1) if i in along else slice(None) for i in range(array.ndim))] for array in arrays]
        row = rows[0]
        if all(np.array_equal(np.broadcast_to(row, array.shape), array) for array in arrays):
            if row.size and (row == row.flat[0]).all():
                return self.filled(row.flat[0], shape, first.dtype)
            return self.add("Expand", self.constant(row), self.integers(shape))
        if first.size == 1 and not along and first.dtype.kind in "iuf":
            return self._reshaped(self.number(Varying(tuple(array.item() for array in arrays)), first.dtype), shape)
        if len(along) == 1 and first.size == max(first.shape) > 1 and first.dtype.kind in "iuf":
            start, step = first.flat[0], first.flat[1] - first.flat[0]
            if all(np.array_equal(array.ravel(), start + step * np.arange(array.size)) for array in arrays):
                return self._range(start, step, shape, first.dtype)
        if len(shape) == 2 and all(np.array_equal(array, np.eye(*array.shape)) for array in arrays):
            square = self.add("EyeLike", self.filled(0, shape, np.float32))
            return self.cast(square, np.float32, first.dtype)
        raise Refusal(
            f"an array of shape {first.shape} that it uses is made for a batch of that size, and is neither the same "
            "for each row, nor a range, nor an identity matrix; compute it from the inputs with tensorgrad's functions"
        )

    def _range(self, start: Any, step: Any, shape: Sequence[Any], dtype: Any) -> str:
        (length,) = (n for n in shape if isinstance(n, Varying))
        count = self._scalar(self.integers([length]))
        counted = self.add("Range", self.constant(np.int64(0)), count, self.constant(np.int64(1)))
        name = self.add("Mul", self.cast(counted, np.int64, dtype), self.constant(step, dtype))
        name = self.add("Add", name, self.constant(start, dtype))
        return self._reshaped(name, [-1 if n is length else n for n in shape])

    def _reshaped(self, name: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", name, self.integers(shape))

    def filled(self, number: Any, shape: Sequence[Any], dtype: Any) -> str:
        """An array with the same number everywhere."""
        if not any(isinstance(n, Varying) for n in shape):
            return self.constant(np.full(tuple(shape), number, dtype))
        from onnx.numpy_helper import from_array

        return self.add("ConstantOfShape", self.integers(shape), value=from_array(np.array([number], dtype)))

    # --- steps ------------------------------------------------------------------------------------------

    def _print(self, number: int, step: Step) -> None:
        if not step.results and step.writes is None:
            return  # a check
        self.step = step
        self.path = step.comment.rpartition(": ")[0]
        if step.writes is None and self._fold(step):
            return
        try:
            names = self._formed(step)
            for variable in step.results:
                if variable.value.dtype.kind not in _KINDS:
                    raise Refusal(f"its result is of {variable.value.dtype}, which ONNX does not compute with")
        except Refusal as error:
            refusal = TypeError(f"ONNX export: {step.where} has no ONNX form: {error}")
            refusal.__cause__ = error.__cause__
            names = [self.fail(refusal) for _ in step.results or (step.writes,)]
        if step.writes is not None:
            self._wrote(number, step.writes, names[0])
            return
        for variable, name in zip(step.results, names, strict=True):
            self._values[variable] = name
            self._made[variable] = number
            self._producers[variable] = step

    def _wrote(self, number: int, variable: Variable, name: str) -> None:
        owner = variable.owner
        if self._whole(variable) is not owner:
            name = self.fail(
                TypeError(
                    f"ONNX export: {self.step.where} has no ONNX form: it writes to a view of an array; write to the "
                    "array itself, or use tg.where or tg.concatenate"
                )
            )
        self._values[owner] = name
        self._made[owner] = number
        self._written[owner] = number
        self.overwritten[self.step] = self._producers.get(owner)
        self._producers[owner] = self.step

    def _fold(self, step: Step) -> bool:
        """Compute now what depends on no input. Returns whether that was possible."""
        given = [leaf for leaf in leaves((step.args, step.kwargs)) if isinstance(leaf, Variable | Varying)]
        if not given or any(self.plain(leaf) is None for leaf in given):
            return False
        if any(variable.owner in self._written for variable in step.results):
            return False
        for variable in step.results:
            self._static[variable] = variable.value
            self._producers[variable] = step
        return True

    def _formed(self, step: Step) -> Sequence[str]:
        # Nodes such as Expand do not keep an axis of length 0.
        empty = bool(step.results) and all(0 in self.shape(variable) for variable in step.results)
        if empty and not step.by_value:
            return [self.filled(0, self.shape(variable), variable.value.dtype) for variable in step.results]
        fused = self._fused(self, step)
        if fused is not None:
            return (fused,)
        form = self._forms.get(step.function)
        if form is None and hasattr(step.function, "__name__"):
            form = self._forms.get(f"scipy.{step.function.__name__}") if type(step.function) is np.ufunc else None
        if form is None:
            if not step.reads:
                raise Refusal("its value is drawn or read anew in every run; a graph has only inputs and constants")
            raise Refusal(f"ONNX, opset 17, has no operation for {_title(step.function)}")
        try:
            names = form(self, *step.args, **step.kwargs)
        except TypeError as error:
            if "argument" not in str(error):
                raise
            raise Refusal(f"ONNX lacks an option of {_title(step.function)} ({error})") from error
        return (names,) if isinstance(names, str) else names

    def outputs(self) -> list[str]:
        """The names of the results' values."""
        self.path = ""
        names = []
        for variable in self.comparison.outputs:
            try:
                names.append(self._value(variable))
            except Refusal as error:
                raise TypeError(f"ONNX export: the result has no ONNX form: {error}") from error
        return names


def _same_memory(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.__array_interface__ == b.__array_interface__)


def _title(function: Any) -> str:
    name = str(getattr(function, "__qualname__", None) or getattr(function, "__name__", repr(function)))
    module = str(getattr(function, "__module__", None) or "")
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"np.{owner.__name__}.{name.rpartition('.')[2]}"
    if isinstance(function, np.ufunc) or module.startswith("numpy"):
        return f"np.{name.removeprefix('ndarray.')}" if module != "numpy.linalg" else f"np.linalg.{name}"
    return "this" if "<locals>" in name or name.startswith("_") else name
