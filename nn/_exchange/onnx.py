"""Models as ONNX files."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad as tg

from .._checks import AnyPath, file_name
from .._evaluation import evaluating
from .._files.atomic import replace_file
from .._layers import activations as act
from .._layers.containers import Identity, Residual, Sequential
from .._layers.dropout import Dropout, Dropout1d, Dropout2d
from .._layers.embedding import Embedding
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._layers.standardize import Standardize
from .._module import Module
from .forms import FORMS
from .graph import Graph, Value
from .wrappers import unwrapped

__all__ = ["to_onnx"]

_OPSET, _IR_VERSION = 17, 8  # ONNX 1.12: the first opset with LayerNormalization


def to_onnx(model: Module, path: AnyPath, *, input_shape: tuple[int, ...] | None = None) -> None:
    """Write a model as an ONNX file (opset 17), as it is in evaluation mode.

    The file has one input, "input", and one output, "output", whose first axis is the batch, of any length. Weights
    are named by their paths. It computes in the model's dtype; onnxruntime has some operations, such as convolution,
    only in float32, and before 1.27 computes LayerNorm with fewer digits. The graph is checked before it is written,
    the file is replaced whole or not at all, and the model is left unchanged. Needs the extra ``onnx``.

    Args:
        model: made of the layers of :mod:`nn`. One that begins with :class:`Embedding` takes int64.
        path: the file to write.
        input_shape: the shape of one sample, without the batch axis. None stands for one row of the features that the
            first layer expects.

    Raises:
        DTypeError: the model's weights are not all of one dtype.
        TypeError: a module of the model has no ONNX form; the message names it. Or an argument has the wrong type.
        ValueError: input_shape is needed.
        ShapeError: input_shape does not fit the model.
        ImportError: onnx is not installed.
        OSError: the file cannot be written.

    >>> import nn, onnx, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.onnx")
    ...     nn.to_onnx(nn.MLP([4, 8, 3], norm="batch"), path)
    ...     [node.op_type for node in onnx.load(path).graph.node]
    ['MatMul', 'BatchNormalization', 'Relu', 'Gemm']
    """
    if not isinstance(model, Module):
        raise TypeError(f"to_onnx: model must be a Module, got {type(model).__name__}; write to_onnx(model, path)")
    name = file_name("to_onnx", path)
    try:
        import onnx
    except ImportError as error:
        raise ImportError("to_onnx needs onnx; run pip install 'tensorgrad-np[onnx]'") from error
    dtype = _dtype(model)
    graph = Graph(FORMS, dtype)
    x = Value("input", _example(graph, model, input_shape))
    with evaluating(model):
        result = graph.module(model, x, "")
    proto = onnx.helper.make_model(
        graph.proto(x, result),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="tensorgrad",
        producer_version=tg.__version__,
    )
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString()
    replace_file(name, lambda file: file.write(content))


def _dtype(model: Module) -> np.dtype[Any]:
    """The dtype shared by all tensors that the result depends on."""
    network = unwrapped(model)
    used = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
    tensors = (*model.named_parameters(), *model.named_buffers())
    found = {t.dtype: name for name, t in reversed(tensors) if id(t) in used and t.dtype.kind == "f"}
    if len(found) > 1:
        raise tg.DTypeError(
            f"to_onnx: the model has tensors of {' and '.join(f'{dtype} ({name})' for dtype, name in found.items())}, "
            "expected one dtype; write model.to(np.float32)"
        )
    return next(iter(found), np.dtype(np.float32))


# The attribute of a first layer that determines the shape of a sample.
_FEATURES: dict[type[Module], str] = {
    BatchNorm: "num_features",
    GroupNorm: "num_channels",
    LayerNorm: "normalized_shape",
    Linear: "in_features",
    RMSNorm: "normalized_shape",
    Standardize: "num_features",
}
_KEEP_SHAPE: tuple[type[Module], ...] = (
    Dropout,
    Dropout1d,
    Dropout2d,
    Identity,
    act.Softmax,
    *act.ACTIVATIONS.values(),
)


def _first(model: Module) -> Module | None:
    """The first layer that determines the shape of a sample, or None."""
    network = unwrapped(model)
    if isinstance(network, Residual | Sequential):
        return next(filter(None, map(_first, network.children())), None)
    return None if isinstance(network, _KEEP_SHAPE) else network


def _example(graph: Graph, model: Module, input_shape: tuple[int, ...] | None) -> Any:
    """A batch of zeros: two samples, because a batch norm without running statistics refuses a single row."""
    first = _first(model)
    if input_shape is None:
        attribute = next((_FEATURES[kind] for kind in type(first).__mro__ if kind in _FEATURES), None)
        if attribute is None:
            for path, module in model.named_modules():
                if module is first:
                    graph.form(module, path)
            raise ValueError(
                f"to_onnx: the shape of a sample does not follow from {model if first is None else first!r}; write "
                "input_shape=(...), without the batch axis"
            )
        shape = getattr(first, attribute)
        input_shape = shape if isinstance(shape, tuple) else (shape,)
    if not isinstance(input_shape, tuple | list) or not all(isinstance(n, int) for n in input_shape):
        raise TypeError(f"to_onnx: input_shape must be a tuple of lengths, without the batch axis, got {input_shape!r}")
    return np.zeros((2, *input_shape), np.int64 if isinstance(first, Embedding) else graph.dtype)
