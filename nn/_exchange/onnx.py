"""Models as ONNX files."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
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
from .wrappers import unwrapped

__all__ = ["to_onnx"]


def to_onnx(
    model: Module,
    path: AnyPath,
    *examples: Any,
    input_shape: tuple[int, ...] | None = None,
    batch_axis: int | Sequence[int | None] | None = 0,
) -> None:
    """Write a model as an ONNX file (opset 17), as it is in evaluation mode.

    The model's ``forward``, its own or that of :mod:`nn`, is traced with :func:`tensorgrad.onnx_model`: what it does
    with Tensors is exported, whatever the module. The batch is of any length; all other lengths, such as that of a
    sequence, are those of the examples, and a loop over a sequence is written out.

    One input is named "input", several have the names of the arguments of ``forward``. One output is named "output",
    several "output_0", "output_1" and so on, or as the keys of a dict. Weights are named by their paths. It computes
    in the dtypes of the model; onnxruntime has some operations, such as convolution, only in float32. The graph is
    checked before it is written, the file is replaced whole or not at all, and the model is left unchanged. Needs the
    extra ``onnx``.

    Args:
        model: the module.
        path: the file to write.
        examples: what the model is called with: arrays of at least one row, in the shapes and dtypes of the inputs, of
            any values that the model takes. A tuple of arrays, such as the state of an LSTM, is one example. Not needed
            for a model of one input whose first layer tells its shape.
        input_shape: instead of an example, the shape of one sample, without the batch axis, in the model's dtype
            (int64 if it begins with :class:`Embedding`).
        batch_axis: the axis of the batch, for all arrays, or one for each: ``(0, 1, 1)`` for an LSTM with batch_first
            and its state. None is for an input that is the same for the whole batch.

    Raises:
        TypeError: an operation has no ONNX form; the message names it and the line. Or an argument has the wrong type.
        ValueError: examples or input_shape are needed; or what the model does depends on the size of the batch.
        GraphError: the model looks at values, as in ``if x.sum() > 0``.
        DTypeError: without examples: the model's weights are not all of one dtype.
        ShapeError: the inputs do not fit the model.
        ImportError: onnx is not installed.
        OSError: the file cannot be written.

    >>> import nn, onnx, pathlib, tempfile
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...
    ...     def forward(self, x):
    ...         return tg.softmax(self.hidden(x)[:, ::2] / 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.onnx")
    ...     nn.to_onnx(Net(), path, np.zeros((1, 4), np.float32))
    ...     [node.op_type for node in onnx.load(path).graph.node]
    ['Gemm', 'Slice', 'Div', 'Softmax']
    """
    if not isinstance(model, Module):
        raise TypeError(f"to_onnx: model must be a Module, got {type(model).__name__}; write to_onnx(model, path)")
    name = file_name("to_onnx", path)
    if examples and input_shape is not None:
        raise TypeError("to_onnx: got examples and input_shape; write only one of them")
    given = examples or (_example(model, input_shape, batch_axis),)
    names = None if len(given) == 1 else _arguments(model, len(given))
    tensors = dict((*model.named_parameters(), *model.named_buffers()))

    def forward(*inputs: Any) -> Any:
        with _unchanged(model):
            return model(*inputs)

    with evaluating(model):
        proto = tg.onnx_model(forward, *given, batch_axis=batch_axis, input_names=names, names=tensors)
    proto.producer_version = tg.__version__
    content = proto.SerializeToString()
    replace_file(name, lambda file: file.write(content))


def _arguments(model: Module, count: int) -> list[str] | None:
    """The names of the first arguments of ``forward``, or None where they are not to be told."""
    found = [
        name
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return found[:count] if len(found) >= count else None


def _unchanged(model: Module) -> tg.restoring:
    """At the end, give every module the attributes that it had: a forward may store what it computes."""
    before = [(module, dict(vars(module))) for module in model.modules()]

    def put_back() -> None:
        for module, attributes in before:
            for name in vars(module).keys() - attributes.keys():
                delattr(module, name)
            for name, value in attributes.items():
                if vars(module).get(name) is not value:
                    setattr(module, name, value)

    return tg.restoring(put_back)


def _dtype(model: Module) -> np.dtype[Any]:
    """The dtype shared by all tensors that the result depends on."""
    network = unwrapped(model)
    used = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
    tensors = (*model.named_parameters(), *model.named_buffers())
    found = {t.dtype: name for name, t in reversed(tensors) if id(t) in used and t.dtype.kind == "f"}
    if len(found) > 1:
        raise tg.DTypeError(
            f"to_onnx: the model has tensors of {' and '.join(f'{dtype} ({name})' for dtype, name in found.items())}, "
            "expected one dtype; write model.to(np.float32), or give an example of the input"
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
    if isinstance(network, Residual | Sequential) and type(network).forward in (Residual.forward, Sequential.forward):
        return next(filter(None, map(_first, network.children())), None)
    return None if isinstance(network, _KEEP_SHAPE) else network


def _example(model: Module, input_shape: tuple[int, ...] | None, batch_axis: Any) -> Any:
    """One sample of zeros."""
    dtype, first = _dtype(model), _first(model)
    if input_shape is None:
        own = None if first is None else type(first).forward
        kinds = (kind for kind in _FEATURES if isinstance(first, kind) and own is kind.forward)
        kind = next(kinds, None)
        if kind is None:
            raise ValueError(
                f"to_onnx: the shape of a sample does not follow from {model if first is None else first!r}; write "
                "input_shape=(...), without the batch axis, or give examples of the inputs: to_onnx(model, path, x)"
            )
        shape = getattr(first, _FEATURES[kind])
        input_shape = shape if isinstance(shape, tuple) else (shape,)
    if not isinstance(input_shape, tuple | list) or not all(isinstance(n, int) for n in input_shape):
        raise TypeError(f"to_onnx: input_shape must be a tuple of lengths, without the batch axis, got {input_shape!r}")
    sample = np.zeros(tuple(input_shape), np.int64 if isinstance(first, Embedding) else dtype)
    axis = batch_axis[0] if isinstance(batch_axis, Sequence) and len(batch_axis) == 1 else batch_axis
    return sample if axis is None else np.expand_dims(sample, axis)
