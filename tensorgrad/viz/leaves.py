"""What the leaves of a graph are: parameters, inputs of a model, labels and other constants, results cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engine.graph import Constant, Freed, Given, Leaf, Node, getter
from ..engine.shapes import Shape
from .facts import data_of

__all__ = ["Source", "array_given", "find_input", "source_of"]


class Source:
    """A leaf as a drawing sees it: the node of a Tensor, or a plain array among the inputs of an operation.

    Attributes:
        node: the leaf's node; None for a plain array.
        kind: parameter, input, constant, detached.
        label: the name of the Tensor, or "".
        data: its array, if it still exists or an operation saved it.
        users: the operations that use it, in order of creation.
        argument: what the outermost module was called with, if this is that, or data computed from it.
    """

    __slots__ = ("argument", "data", "dtype", "kind", "label", "node", "shape", "users")

    def __init__(self, node: Leaf | None, shape: Shape | None, dtype: Any, data: Any, users: list[Node]) -> None:
        self.node = node
        self.shape = shape
        self.dtype = dtype
        self.data = data
        self.users = users
        self.label = (node.label or "") if node is not None else ""
        self.kind = "constant"
        self.argument: Any = None

    @property
    def requires_grad(self) -> bool:
        """Whether it gets a gradient."""
        return self.node is not None and self.node.requires_grad


def array_given(node: Node, position: int) -> Any:
    """An input of an operation as an array, if it still exists or the operation saved it, else None."""
    given = node.inputs[position] if position < len(node.inputs) else None
    if isinstance(given, Given):
        array = given.ref()
        if array is not None:
            return array
    if isinstance(node.saved, Freed):
        return None
    for rule, args in zip(node.rules, node.saved, strict=True):
        if rule is None:
            continue
        pick = getter(rule)
        for place, arg in zip(pick((*range(len(node.inputs)), -1)), args, strict=True):
            if place == position and hasattr(arg, "shape"):
                return data_of(arg)
    return None


def source_of(node: Leaf, users: Sequence[Node], marked: Mapping[int, Any]) -> Source:
    """A Tensor's leaf. ``marked`` are the arrays, by id, that the drawing was told are inputs."""
    owner = node.owner()
    data = data_of(owner)
    if owner is None and node.value is not None:
        data = node.value
    elif owner is None:
        given = (array_given(user, user.inputs.index(node)) for user in users)
        data = next((array for array in given if array is not None), None)
    source = Source(node, node.shape, node.dtype, data, list(users))
    if isinstance(node, Constant) and node.cut is not None:
        source.kind = "detached"
    elif id(owner) in marked:
        source.kind = "input"
    elif node.requires_grad:
        source.kind = "parameter"
    else:
        find_input(source, owner)
    return source


def find_input(source: Source, value: Any) -> None:
    """Set the kind of an input of the model, as opposed to a label, a mask or a running mean.

    The outermost module knows what it was called with. Outside modules, inputs are what an operation uses that has no
    computed result among its inputs, and does not broadcast.
    """
    if source.dtype is None or source.shape == ():
        return
    for user in source.users:
        if not user.scope.inputs:
            if source.dtype.kind in "fc" and _enters(user, source.shape):
                source.kind = "input"
                return
            continue
        for shape, ref in user.scope.inputs:
            passed = ref()
            same = passed is not None and (passed is value or data_of(passed) is source.data)
            if same or (not source.label and shape == source.shape and source.dtype.kind in "fc"):
                source.kind, source.argument = "input", ref
                return


def _enters(user: Node, shape: Shape | None) -> bool:
    if any(isinstance(i, Node) and not isinstance(i, Leaf) for i in user.inputs):
        return False
    return shape is not None and (user.op == "matmul" or len(shape) >= len(user.shape))
