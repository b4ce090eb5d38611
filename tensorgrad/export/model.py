"""``tensorgrad.onnx_model``: a function of Tensors as a model of ONNX."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..compiler.variables import Variable
from ..engine.frames import LIBRARY
from ..engine.record import Handle
from ..engine.trees import leaves, mapped, parts_of
from ..errors import GraphError, ShapeError
from .forms import FORMS
from .graph import Names
from .patterns import fused
from .printer import Printer
from .runs import Comparison, Run, Varying, recorded

__all__ = ["onnx_model"]

_OPSET, _IR_VERSION = 17, 8  # ONNX 1.12
_SIZES = (2, 3, 9)  # not 1, which broadcasts; three, because two points always lie on a line
BatchAxis = int | None | Sequence[int | None]


def onnx_model(
    function: Callable[..., Any],
    *examples: Any,
    batch_axis: BatchAxis = 0,
    input_names: Sequence[str] | None = None,
    names: Mapping[str, Any] | None = None,
) -> Any:
    """What a function of Tensors computes, as a model of ONNX (opset 17) for batches of any size.

    The function is traced on batches of 2, 3 and 9 rows, made of the examples' rows; a number that differs between them
    becomes a computation from the size of the batch. All other lengths are those of the examples. Each NumPy call
    becomes one or a few nodes. What depends on no input is computed now; checks of values are left out.

    Args:
        function: of Tensors, one for each example; it returns Tensors, in tuples, lists or dicts.
        examples: arrays or Tensors (or tuples, lists, dicts of them), of the shapes and dtypes of the inputs.
        batch_axis: the axis of the batch, of all inputs, or one for each; None for an input without one.
        input_names: a name for each example; that of an array in a tuple gets its number. None stands for "input", or
            "input_0", "input_1" and so on.
        names: Tensors from outside the function, by the name that they get.

    Returns:
        An ``onnx.ModelProto``. Its outputs are named "output", or "output_0" and so on, or as the keys of a dict.

    Raises:
        TypeError: an operation has no ONNX form; the message names it and its line.
        ValueError: what the function does depends on the size of the batch; the message says where.
        GraphError: the function looks at values while it runs.
        ImportError: onnx is not installed.

    >>> import numpy as np, tensorgrad as tg
    >>> w = tg.Tensor(np.ones((3, 2)))
    >>> model = tg.onnx_model(lambda x: tg.softmax(x @ w), np.zeros((1, 3)), names={"w": w})
    >>> [node.op_type for node in model.graph.node], model.graph.initializer[0].name
    (['MatMul', 'Softmax'], 'w')
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("ONNX export needs onnx; run pip install 'tensorgrad-np[onnx]'") from error
    arrays = mapped(lambda leaf: np.asarray(leaf.data if isinstance(leaf, Handle) else leaf), tuple(examples))
    flat = list(leaves(arrays))
    axes = _axes(batch_axis, flat)
    labels = _labels(input_names, arrays)
    runs, sizes = _runs(function, arrays, axes)
    comparison = Comparison(runs, sizes)
    inputs = dict(zip(runs[0].inputs, labels, strict=True))
    known = {id(tensor): name for name, tensor in (names or {}).items()}
    printer = Printer(comparison, inputs, known, axes, FORMS, fused)
    values = printer.outputs()

    def described(variable: Variable) -> tuple[Any, list[Any]]:
        return variable.value.dtype, [_dim(printer, n) for n in comparison.shape(variable)]

    free = Names(labels)
    found = zip(map(free.take, runs[0].names), values, comparison.outputs, strict=True)
    graph = printer.proto(
        {name: described(variable) for variable, name in inputs.items()},
        {name: (value, *described(variable)) for name, value, variable in found},
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="tensorgrad",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _axes(batch_axis: BatchAxis, arrays: Sequence[Any]) -> list[int | None]:
    each = list(batch_axis) if isinstance(batch_axis, Sequence) else [batch_axis] * len(arrays)
    if len(each) != len(arrays):
        raise ValueError(f"ONNX export: batch_axis has {len(each)} entries for {len(arrays)} inputs: {batch_axis!r}")
    result: list[int | None] = []
    for axis, array in zip(each, arrays, strict=True):
        if axis is not None and not -array.ndim <= axis < array.ndim:
            raise ShapeError(
                f"ONNX export: an example of shape {array.shape} has no axis {axis} for the batch; examples are "
                "arrays, not lists of numbers, and batch_axis=None is for one without a batch"
            )
        result.append(None if axis is None else axis % array.ndim)
    lengths = {a.shape[axis] for axis, a in zip(result, arrays, strict=True) if axis is not None}
    if len(lengths) > 1 or 0 in lengths:
        raise ShapeError(
            f"ONNX export: the examples have {' and '.join(map(str, sorted(lengths)))} rows along batch_axis="
            f"{batch_axis!r}, expected one number of them, at least 1"
        )
    return result


def _labels(given: Sequence[str] | None, examples: tuple[Any, ...]) -> list[str]:
    count = len(examples)
    stems = list(given) if given is not None else ["input"] if count == 1 else [f"input_{i}" for i in range(count)]
    if len(stems) != count or len(set(stems)) != count:
        raise ValueError(f"ONNX export: input_names must be {count} different names, one for each example, got {given}")
    labels, free = [], Names()
    for stem, example in zip(stems, examples, strict=True):
        inside = list(leaves(example))
        alone = parts_of(example) is None
        labels += [free.take(stem if alone else f"{stem}_{i}") for i in range(len(inside))]
    return labels


def _batch(examples: tuple[Any, ...], axes: Sequence[int | None], size: int) -> Any:
    """So many of the examples' rows, from the first again after the last."""
    rest = iter(axes)

    def resized(array: Any) -> Any:
        axis = next(rest)
        return array if axis is None else np.take(array, np.arange(size) % array.shape[axis], axis=axis)

    return mapped(resized, examples)


def _runs(
    function: Callable[..., Any], examples: tuple[Any, ...], axes: Sequence[int | None]
) -> tuple[list[Run], Sequence[int]]:
    if all(axis is None for axis in axes):
        return [_run(function, examples)], (1,)
    runs: list[Run] = []
    for size in _SIZES:
        try:
            runs.append(_run(function, _batch(examples, axes, size)))
        except GraphError:
            raise
        except Exception as error:
            if not runs:
                raise
            raise ValueError(
                f"ONNX export: the function runs on a batch of {_SIZES[0]}, but not of {size}: {error} "
                f"({_line_of(error)}); write x.shape[0] or -1 where it has a fixed number of rows"
            ) from error
    return runs, _SIZES


def _run(function: Callable[..., Any], examples: tuple[Any, ...]) -> Run:
    try:
        return recorded(function, examples, FORMS)
    except GraphError as error:
        raise GraphError(
            f"ONNX export: what the function does depends on values ({_line_of(error)}), and a graph does the same for "
            f"all; use tg.where to choose between values ({error})"
        ) from error


def _line_of(error: BaseException) -> str:
    """The innermost line of the user's code that an error went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not LIBRARY[f.filename]]
    return f"called at {frames[-1].filename}:{frames[-1].lineno}" if frames else "called by the library"


def _dim(printer: Printer, length: Any) -> Any:
    """What the description of an input or output says about a length."""
    if not isinstance(length, Varying):
        return length
    return "batch" if tuple(length.values) == tuple(printer.sizes) else None
