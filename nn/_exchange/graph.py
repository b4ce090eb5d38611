"""An ONNX graph, built layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .._members import joined
from .._module import Module

__all__ = ["Form", "Graph", "Value"]


class Value(NamedTuple):
    """A value in the graph, and its array for two samples of zeros: the first axis is the batch."""

    name: str
    example: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.example.shape


# Adds the nodes of a module to the graph and returns the name of its result.
Form = Callable[["Graph", Any, Value], str]


class _Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Graph:
    """Nodes and initialisers, and the current place in the model.

    Args:
        forms: functions that add the nodes of a module, by its class.
        dtype: the dtype of the numbers.
    """

    def __init__(self, forms: Mapping[type[Module], Form], dtype: DTypeLike) -> None:
        self.forms = forms
        self.dtype = np.dtype(dtype)
        self.path = ""
        self._nodes: list[_Node] = []
        self._initializers: dict[str, Any] = {}
        self._known: dict[Any, str] = {}
        self._taken = {"input", "output"}

    def module(self, module: Module, x: Value, path: str) -> Value:
        """Add what the module at a path does to a value."""
        form = self.form(module, path)
        example = tg.array_of(module(x.example))
        outer, self.path = self.path, path
        name = form(self, module, x)
        self.path = outer
        return Value(name, example)

    def child(self, name: str, module: Module, x: Value) -> Value:
        """Add what a child of the current module does to a value."""
        return self.module(module, x, joined(self.path, name))

    def form(self, module: Module, path: str) -> Form:
        """The form of a module's class, or of a base class, unless the module computes something else.

        Raises:
            TypeError: there is none.
        """
        kind = next((k for k in type(module).__mro__ if issubclass(k, Module) and k in self.forms), None)
        if kind is None or type(module).forward is not kind.forward:
            where = f"{path!r} ({type(module).__name__})" if path else type(module).__name__
            raise TypeError(
                f"to_onnx: {where} has no ONNX form; a model can be exported if it is made of nn's own layers and "
                "containers, such as nn.Sequential, with their own forward methods"
            )
        return self.forms[kind]

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its result."""
        name = self._unique(f"{self.path}/{op}" if self.path else op)
        self._nodes.append(_Node(op, inputs, name, attributes))
        return name

    def reshape(self, x: str, shape: tuple[int, ...]) -> str:
        """Reshape each sample: all axes but the first."""
        return self.add("Reshape", x, self.constant((-1, *shape), np.int64))

    def tensor(self, name: str, tensor: tg.Tensor, shape: tuple[int, ...] | None = None) -> str:
        """Add a parameter or buffer of the current module under its path, in its own or another shape."""
        key = (id(tensor), shape)
        if key not in self._known:
            self._known[key] = self._unique(joined(self.path, name))
            self._initializers[self._known[key]] = tensor.data if shape is None else tensor.data.reshape(shape)
        return self._known[key]

    def constant(self, values: Any, dtype: DTypeLike | None = None) -> str:
        """Add an array that belongs to no path, in the graph's dtype unless another is given."""
        array = np.asarray(values, self.dtype if dtype is None else dtype)
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._unique("constant")
            self._initializers[self._known[key]] = array
        return self._known[key]

    def _unique(self, name: str) -> str:
        number, chosen = 0, name
        while chosen in self._taken:
            number += 1
            chosen = f"{name}_{number}"
        self._taken.add(chosen)
        return chosen

    def proto(self, x: Value, result: Value) -> Any:
        """The ONNX graph from the input value to the result."""
        import onnx

        if result.name == x.name:
            result = result._replace(name=self.add("Identity", x.name))
        named = {result.name: "output"}
        nodes = [
            onnx.helper.make_node(
                node.op,
                [named.get(name, name) for name in node.inputs],
                [named.get(node.output, node.output)],
                name=node.output,
                **node.attributes,
            )
            for node in self._nodes
        ]
        initializers = [
            onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in self._initializers.items()
        ]
        ends = [
            onnx.helper.make_tensor_value_info(
                name,
                onnx.helper.np_dtype_to_tensor_dtype(value.example.dtype),
                ["batch" if value.shape[0] == x.shape[0] else None, *value.shape[1:]],
            )
            for name, value in (("input", x), ("output", result))
        ]
        return onnx.helper.make_graph(nodes, "model", ends[:1], ends[1:], initializers)
