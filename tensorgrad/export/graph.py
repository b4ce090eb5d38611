"""An ONNX graph: nodes, constants, and lengths that follow from the size of the batch."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .runs import Varying

__all__ = ["Graph", "Names", "Node", "Refusal"]


class Refusal(Exception):
    """Why an operation has no ONNX form; the rest of the message is added where the operation is known."""


class Names:
    """Unique names: a name, with a number where it is taken."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._numbers: Counter[str] = Counter()

    def take(self, stem: str) -> str:
        """The next free name.

        >>> names = Names(["x"])
        >>> names.take("x"), names.take("x"), names.take("y")
        ('x_1', 'x_2', 'y')
        """
        name = stem
        while name in self._taken:
            self._numbers[stem] += 1
            name = f"{stem}_{self._numbers[stem]}"
        self._taken.add(name)
        return name


class Node(NamedTuple):
    """A node of ONNX. One without ``op`` stands for what has no form; it matters only if something needs it."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    error: Exception | None = None


class Graph:
    """Nodes and constants. Their values have unique names; final ones, without gaps, are given in the end.

    Args:
        sizes: the size of the batch in each run.
        inputs: the names of the inputs.
    """

    def __init__(self, sizes: Sequence[int], inputs: Iterable[str]) -> None:
        self.sizes = sizes
        self.path = ""  # of the module that the next nodes belong to
        self.nodes: list[Node] = []
        self.constants: dict[str, Any] = {}
        self.batch: tuple[str, int] | None = None  # the input and the axis that tell the size of the batch
        self._stems = {name: name for name in inputs}  # by the name of a value, what its final name begins with
        self._known: dict[Any, str] = {}

    # --- nodes ------------------------------------------------------------------------------------------

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The name of a node's only result; the node is added unless there is an equal one."""
        key = (op, inputs, repr(attributes))
        if key not in self._known:
            self._known[key] = self.add_many(op, 1, *inputs, **attributes)[0]
        return self._known[key]

    def add_many(self, op: str, count: int, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """Add a node with several results, and return their names."""
        outputs = tuple(self._new(f"{self.path}/{op}" if self.path else op) for _ in range(count))
        self.nodes.append(Node(op, inputs, outputs, attributes))
        return outputs

    def fail(self, error: Exception) -> str:
        """The name of a value that cannot be computed; the error is raised if it is needed."""
        name = self._new("refused")
        self.nodes.append(Node("", (), (name,), {}, error))
        return name

    def _new(self, stem: str) -> str:
        name = f"{stem}#{len(self._stems)}"
        self._stems[name] = stem
        return name

    def needed(self, outputs: Iterable[str]) -> list[Node]:
        """The nodes that outputs depend on, in order. Raises the error of one that has no form."""
        wanted = set(outputs)
        found = []
        for node in reversed(self.nodes):
            if wanted.isdisjoint(node.outputs):
                continue
            found.append(node)
            wanted.update(node.inputs)
        for node in reversed(found):
            if node.error is not None:
                raise node.error
        return found[::-1]

    # --- constants --------------------------------------------------------------------------------------

    def constant(self, values: Any, dtype: DTypeLike | None = None, name: str | None = None) -> str:
        """The name of an array: one with a name has its own, of others equal ones are stored once."""
        array = np.asarray(values, dtype)
        key: Any = ("named", name)
        if name is None:
            digest = hashlib.sha256(np.ascontiguousarray(array).data).digest()
            key = ("constant", array.dtype, array.shape, digest)
        if key not in self._known:
            self._known[key] = self._new(name or (f"{self.path}.constant" if self.path else "constant"))
            self.constants[self._known[key]] = array
        return self._known[key]

    def cast(self, name: str, old: DTypeLike, new: DTypeLike) -> str:
        """A value in another dtype. Of floating-point numbers, all but zero are True, also NaN."""
        from onnx.helper import np_dtype_to_tensor_dtype

        old, new = np.dtype(old), np.dtype(new)
        if old == new:
            return name
        if name in self.constants:
            return self.constant(self.constants[name].astype(new))
        if new == np.bool_ and old.kind == "f":
            return self.add("Not", self.add("Equal", name, self.constant(0, old)))
        return self.add("Cast", name, to=np_dtype_to_tensor_dtype(new))

    # --- lengths ----------------------------------------------------------------------------------------

    def integers(self, values: Iterable[Any]) -> str:
        """A vector of int64, of integers that may follow from the size of the batch."""
        parts: list[str] = []
        plain: list[int] = []
        for value in (*values, None):
            if value is not None and not isinstance(value, Varying):
                plain.append(value)
                continue
            if plain:
                parts.append(self.constant(np.array(plain, np.int64)))
                plain = []
            if value is not None:
                parts.append(self._length(value))
        if not parts:
            return self.constant(np.zeros(0, np.int64))
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=0)

    def number(self, value: Varying, dtype: Any) -> str:
        """A number that follows from the size of the batch, or its reciprocal does, as an array of shape ()."""
        whole = tuple(round(v) for v in value.values)
        if whole == value.values:
            return self.cast(self._scalar(self._length(Varying(whole))), np.int64, dtype)
        counts = tuple(round(1 / v) if v else 0 for v in value.values)
        if any(abs(n * v - 1) > 1e-12 for n, v in zip(counts, value.values, strict=True)):
            raise Refusal(self._unclear(value))
        return self.add("Reciprocal", self.cast(self._scalar(self._length(Varying(counts))), np.int64, dtype))

    def _scalar(self, vector: str) -> str:
        return self.add("Squeeze", vector, self.constant(np.zeros(1, np.int64)))

    def _length(self, value: Varying) -> str:
        factor, rest = self.linear(value)
        key = ("length", factor, rest)
        if key not in self._known:
            outer, self.path = self.path, ""
            name = self._batch()
            if factor != 1:
                name = self.add("Mul", name, self.constant([factor], np.int64))
            if rest:
                name = self.add("Add", name, self.constant([rest], np.int64))
            self._known[key], self.path = name, outer
        return self._known[key]

    def linear(self, value: Varying) -> tuple[int, int]:
        """``factor`` and ``rest``, where the value is ``factor * size of the batch + rest``."""
        (first, second, *_), (low, high, *_) = value.values, self.sizes
        factor, remainder = divmod(second - first, high - low)
        rest = first - factor * low
        if remainder or any(factor * n + rest != v for n, v in zip(self.sizes, value.values, strict=True)):
            raise Refusal(self._unclear(value))
        return factor, rest

    def _unclear(self, value: Varying) -> str:
        return (
            f"its argument is {', '.join(map(str, value.values))} for {', '.join(map(str, self.sizes))} rows in the "
            "batch, which is not a multiple of their number; write it without the size of the batch"
        )

    def _batch(self) -> str:
        assert self.batch is not None
        name, axis = self.batch
        return self.add("Shape", name, start=axis, end=axis + 1)

    # --- the result -------------------------------------------------------------------------------------

    def proto(self, inputs: Mapping[str, Any], outputs: Mapping[str, tuple[str, Any, Any]]) -> Any:
        """The graph of ONNX.

        Args:
            inputs: dtype and axes (lengths, names, or None) by name.
            outputs: the value's name, its dtype and axes by name.
        """
        import onnx

        final = {name: name for name in inputs}
        for name, (value, _, _) in outputs.items():
            if value in final or value in self.constants:
                (value,) = self.add_many("Identity", 1, value)
            final[value] = name
        nodes = self.needed(final)
        used = dict.fromkeys(name for node in nodes for name in node.inputs)
        parameters = [name for key, name in self._known.items() if key[0] == "named" and name in used]
        names, labels = Names(final.values()), Names()
        for value in (*parameters, *used, *(name for node in nodes for name in node.outputs)):
            if value not in final:
                final[value] = names.take(self._stems[value])

        def described(name: str, dtype: Any, axes: Any) -> Any:
            return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), axes)

        return onnx.helper.make_graph(
            [
                onnx.helper.make_node(
                    node.op,
                    [final[name] for name in node.inputs],
                    [final[name] for name in node.outputs],
                    name=labels.take(self._stems[node.outputs[0]]),
                    **node.attributes,
                )
                for node in nodes
            ],
            "model",
            [described(name, *facts) for name, facts in inputs.items()],
            [described(name, dtype, axes) for name, (_, dtype, axes) in outputs.items()],
            [
                onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), final[name])
                for name, array in self.constants.items()
                if name in used
            ],
        )
