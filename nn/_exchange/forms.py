"""The layers as nodes of an ONNX graph, opset 17."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

import tensorgrad as tg

from .._layers import activations as act
from .._layers.attention import MultiheadAttention
from .._layers.containers import Identity, Residual, Sequential
from .._layers.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from .._layers.dropout import Dropout, Dropout1d, Dropout2d
from .._layers.embedding import Embedding
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._layers.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    Flatten,
    MaxPool1d,
    MaxPool2d,
)
from .._layers.standardize import Standardize
from .._layers.transformer import TransformerEncoderLayer
from .._module import Module
from ..functional._spatial import paddings, reach
from .graph import Form, Graph, Value
from .wrappers import WRAPPED, wrapped

__all__ = ["FORMS"]


# --- modules made of modules --------------------------------------------------------------------------------


def _wrapper(graph: Graph, module: Module, x: Value) -> str:
    name = str(wrapped(module))
    return graph.child(name, getattr(module, name), x).name


def _sequential(graph: Graph, module: Sequential, x: Value) -> str:
    for name, child in module.named_children():
        x = graph.child(name, child, x)
    return x.name


def _residual(graph: Graph, module: Residual, x: Value) -> str:
    around = x if module.shortcut is None else graph.child("shortcut", module.shortcut, x)
    return graph.add("Add", around.name, graph.child("module", module.module, x).name)


# --- affine maps and normalisation --------------------------------------------------------------------------


def _linear(graph: Graph, layer: Linear, x: Value) -> str:
    weight = graph.tensor("W", layer.W)
    if layer.b is None:
        return graph.add("MatMul", x.name, weight)
    if len(x.shape) == 2:
        return graph.add("Gemm", x.name, weight, graph.tensor("b", layer.b))
    return graph.add("Add", graph.add("MatMul", x.name, weight), graph.tensor("b", layer.b))


def _batch_norm(graph: Graph, layer: BatchNorm, x: Value) -> str:
    if layer.running_mean is None:
        return _batch_norm_of_batch(graph, layer, x)
    names = ("gamma", "beta", "running_mean", "running_var")
    arrays = [_learned_or(graph, layer, name, name == "gamma", (layer.num_features,)) for name in names]
    return graph.add("BatchNormalization", x.name, *arrays, epsilon=_epsilon(layer.eps))


def _batch_norm_of_batch(graph: Graph, layer: BatchNorm, x: Value) -> str:
    """Without running statistics, those of the batch that the graph is run on."""
    axes = [0, *range(2, len(x.shape))]
    wide = np.promote_types(graph.dtype, np.float32)
    values = _cast(graph, x.name, graph.dtype, wide)
    centred = graph.add("Sub", values, graph.add("ReduceMean", values, axes=axes, keepdims=1))
    spread = _root_mean_square(graph, centred, axes, _epsilon(layer.eps))
    result = _cast(graph, graph.add("Div", centred, spread), wide, graph.dtype)
    laid = (layer.num_features, *(1,) * (len(x.shape) - 2))
    if layer.gamma is not None:
        result = graph.add("Mul", result, graph.tensor("gamma", layer.gamma, laid))
    return result if layer.beta is None else graph.add("Add", result, graph.tensor("beta", layer.beta, laid))


def _layer_norm(graph: Graph, layer: LayerNorm, x: Value) -> str:
    arrays = [_learned_or(graph, layer, name, name == "gamma", layer.normalized_shape) for name in ("gamma", "beta")]
    axis = -len(layer.normalized_shape)
    return graph.add("LayerNormalization", x.name, *arrays, axis=axis, epsilon=_epsilon(layer.eps))


def _learned_or(graph: Graph, layer: Module, name: str, number: float, shape: tuple[int, ...]) -> str:
    """A layer's array, or one filled with a number if the layer has None."""
    tensor = getattr(layer, name)
    return graph.constant(np.full(shape, number)) if tensor is None else graph.tensor(name, tensor)


def _rms_norm(graph: Graph, layer: RMSNorm, x: Value) -> str:
    wide = np.promote_types(graph.dtype, np.float32)
    eps = float(np.finfo(wide).eps) if layer.eps is None else _epsilon(layer.eps)
    values = _cast(graph, x.name, graph.dtype, wide)
    normal = graph.add("Div", values, _root_mean_square(graph, values, range(-len(layer.normalized_shape), 0), eps))
    result = _cast(graph, normal, wide, graph.dtype)
    return result if layer.gamma is None else graph.add("Mul", result, graph.tensor("gamma", layer.gamma))


def _group_norm(graph: Graph, layer: GroupNorm, x: Value) -> str:
    wide = np.promote_types(graph.dtype, np.float32)
    values = _cast(graph, x.name, graph.dtype, wide)
    parts = graph.reshape(values, (layer.num_groups, math.prod(x.shape[1:]) // layer.num_groups))
    centred = graph.add("Sub", parts, graph.add("ReduceMean", parts, axes=[-1], keepdims=1))
    spread = _root_mean_square(graph, centred, [-1], _epsilon(layer.eps))
    normal = graph.reshape(graph.add("Div", centred, spread), x.shape[1:])
    result = _cast(graph, normal, wide, graph.dtype)
    laid = (layer.num_channels, *(1,) * (len(x.shape) - 2))
    if layer.gamma is not None:
        result = graph.add("Mul", result, graph.tensor("gamma", layer.gamma, laid))
    return result if layer.beta is None else graph.add("Add", result, graph.tensor("beta", layer.beta, laid))


def _root_mean_square(graph: Graph, x: str, axes: Iterable[int], eps: float) -> str:
    """The root mean square in float32 or float64: float16 cannot hold the squares of large or small numbers."""
    mean = graph.add("ReduceMean", graph.add("Mul", x, x), axes=list(axes), keepdims=1)
    added = graph.constant(eps, np.promote_types(graph.dtype, np.float32))
    return graph.add("Sqrt", graph.add("Add", mean, added))


def _cast(graph: Graph, x: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
    from onnx.helper import np_dtype_to_tensor_dtype

    return x if old == new else graph.add("Cast", x, to=np_dtype_to_tensor_dtype(new))


def _epsilon(eps: float) -> float:
    """``eps``, or the smallest number if it is 0: then a constant input gives 0 here, but 0 / 0 in ONNX."""
    return eps or float(np.finfo(np.float32).tiny)


def _standardize(graph: Graph, layer: Standardize, x: Value) -> str:
    laid = (layer.num_features, *(1,) * (len(x.shape) - 2))
    centred = graph.add("Sub", x.name, graph.tensor("mean", layer.mean, laid))
    return graph.add("Div", centred, graph.tensor("scale", layer.scale, laid))


def _same(graph: Graph, layer: Module, x: Value) -> str:
    return x.name


# --- images, sequences ---------------------------------------------------------------------------------------


def _conv(graph: Graph, layer: Conv1d | Conv2d, x: Value) -> str:
    pairs = paddings("to_onnx", layer.padding, reach(layer.kernel_size, layer.dilation), layer.stride)
    bias = () if layer.b is None else (graph.tensor("b", layer.b),)
    return graph.add(
        "Conv",
        x.name,
        graph.tensor("W", layer.W),
        *bias,
        strides=layer.stride,
        pads=[before for before, _ in pairs] + [after for _, after in pairs],
        dilations=layer.dilation,
        group=layer.groups,
    )


def _conv_transpose(graph: Graph, layer: ConvTranspose1d | ConvTranspose2d, x: Value) -> str:
    bias = () if layer.b is None else (graph.tensor("b", layer.b),)
    return graph.add(
        "ConvTranspose",
        x.name,
        graph.tensor("W", layer.W),
        *bias,
        strides=layer.stride,
        pads=[*layer.padding] * 2,
        output_padding=layer.output_padding,
        dilations=layer.dilation,
        group=layer.groups,
    )


def _adaptive_avg_pool(graph: Graph, layer: AdaptiveAvgPool1d | AdaptiveAvgPool2d, x: Value) -> str:
    old = x.shape[2:]
    new = [n if size is None else size for n, size in zip(old, layer.output_size, strict=True)]
    if any(n % size for n, size in zip(old, new, strict=True)):
        raise tg.ShapeError(
            f"to_onnx: {layer!r} has windows of different sizes for x of shape {x.shape[1:]}, which ONNX lacks; write "
            "an output_size that divides the lengths of x"
        )
    if all(size == 1 for size in new):
        return graph.add("GlobalAveragePool", x.name)
    windows = [n // size for n, size in zip(old, new, strict=True)]
    return graph.add("AveragePool", x.name, kernel_shape=windows, strides=windows)


def _max_pool(graph: Graph, layer: MaxPool1d | MaxPool2d, x: Value) -> str:
    return graph.add("MaxPool", x.name, dilations=layer.dilation, **_windows(layer))


def _avg_pool(graph: Graph, layer: AvgPool1d | AvgPool2d, x: Value) -> str:
    return graph.add("AveragePool", x.name, count_include_pad=int(layer.count_include_pad), **_windows(layer))


def _windows(layer: MaxPool1d | MaxPool2d | AvgPool1d | AvgPool2d) -> dict[str, Any]:
    return {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": layer.padding * 2}


def _flatten(graph: Graph, layer: Flatten, x: Value) -> str:
    axes = range(len(x.shape))
    start, end = axes[layer.start_axis], axes[layer.end_axis]
    if (start, end) == (1, axes[-1]):
        return graph.add("Flatten", x.name)
    shape = (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])
    return graph.reshape(x.name, shape[1:])


def _embedding(graph: Graph, layer: Embedding, x: Value) -> str:
    return graph.add("Gather", graph.tensor("W", layer.W), x.name)


def _attention(graph: Graph, layer: MultiheadAttention, x: Value) -> str:
    """Self-attention: the query is also the key and the value."""
    n = len(x.shape) + 1
    if n < 4:
        raise tg.ShapeError(
            f"to_onnx: {layer.brief()} needs samples of shape (length, features), got {x.shape[1:]}; write "
            f"input_shape=(length, {layer.embed_dim})"
        )
    heads = (*x.shape[1:-1], layer.num_heads, layer.embed_dim // layer.num_heads)
    by_head = [*range(n - 3), n - 2, n - 3, n - 1]  # the axes (..., length, heads, features) as (..., heads, ...)

    def projected(name: str, axes: list[int]) -> str:
        result = graph.child(name, getattr(layer, name), x).name
        return graph.add("Transpose", graph.reshape(result, heads), perm=axes)

    query, value = projected("query_proj", by_head), projected("value_proj", by_head)
    key = projected("key_proj", [*range(n - 3), n - 2, n - 1, n - 3])
    scaled = graph.add("Mul", query, graph.constant(heads[-1] ** -0.5))
    weights = graph.add("Softmax", graph.add("MatMul", scaled, key), axis=-1)
    found = graph.add("Transpose", graph.add("MatMul", weights, value), perm=by_head)
    mixed = Value(graph.reshape(found, x.shape[1:]), x.example)
    return graph.child("out_proj", layer.out_proj, mixed).name


def _encoder_layer(graph: Graph, layer: TransformerEncoderLayer, x: Value) -> str:
    def added(x: Value, *names: str) -> Value:
        through = x
        for name in names:
            through = graph.child(name, getattr(layer, name), through)
        return Value(graph.add("Add", x.name, through.name), x.example)

    transforming = ("linear1", "activation", "linear2")
    if layer.norm_first:
        return added(added(x, "norm1", "self_attn"), "norm2", *transforming).name
    x = graph.child("norm1", layer.norm1, added(x, "self_attn"))
    return graph.child("norm2", layer.norm2, added(x, *transforming)).name


# --- activations --------------------------------------------------------------------------------------------


def _node(op: str, **settings: str) -> Form:
    """The form of a layer that is a single node; ``settings`` has the layer's attribute for each of the node's."""

    def form(graph: Graph, layer: Any, x: Value) -> str:
        return graph.add(op, x.name, **{theirs: getattr(layer, ours) for theirs, ours in settings.items()})

    return form


def _prelu(graph: Graph, layer: act.PReLU, x: Value) -> str:
    shape = (layer.num_parameters, *(1,) * (len(x.shape) - 2)) if layer.num_parameters > 1 else (1,)
    return graph.add("PRelu", x.name, graph.tensor("slope", layer.slope, shape))


def _hardtanh(graph: Graph, layer: act.Hardtanh, x: Value) -> str:
    return graph.add("Clip", x.name, graph.constant(layer.min_val), graph.constant(layer.max_val))


def _softplus(graph: Graph, layer: act.Softplus, x: Value) -> str:
    if layer.beta == 1:
        scaled = x.name
        smooth = graph.add("Softplus", scaled)
    else:
        beta = graph.constant(layer.beta)
        scaled = graph.add("Mul", x.name, beta)
        smooth = graph.add("Div", graph.add("Softplus", scaled), beta)
    if layer.threshold is None:
        return smooth
    above = graph.add("Greater", scaled, graph.constant(layer.threshold))
    return graph.add("Where", above, x.name, smooth)


def _silu(graph: Graph, layer: act.SiLU, x: Value) -> str:
    return graph.add("Mul", x.name, graph.add("Sigmoid", x.name))


def _mish(graph: Graph, layer: act.Mish, x: Value) -> str:
    return graph.add("Mul", x.name, graph.add("Tanh", graph.add("Softplus", x.name)))


def _gelu(graph: Graph, layer: act.GELU, x: Value) -> str:
    if layer.approximate == "none":
        curve = graph.add("Erf", graph.add("Mul", x.name, graph.constant(math.sqrt(0.5))))
    else:
        square = graph.add("Mul", x.name, x.name)
        slope = graph.add("Add", graph.add("Mul", square, graph.constant(0.044715)), graph.constant(1.0))
        scaled = graph.add("Mul", x.name, graph.constant(math.sqrt(2 / math.pi)))
        curve = graph.add("Tanh", graph.add("Mul", scaled, slope))
    share = graph.add("Mul", graph.add("Add", curve, graph.constant(1.0)), graph.constant(0.5))
    return graph.add("Mul", x.name, share)


FORMS: dict[type[Module], Form] = {
    **dict.fromkeys(WRAPPED, _wrapper),
    AdaptiveAvgPool1d: _adaptive_avg_pool,
    AdaptiveAvgPool2d: _adaptive_avg_pool,
    AvgPool1d: _avg_pool,
    AvgPool2d: _avg_pool,
    BatchNorm: _batch_norm,
    Conv1d: _conv,
    Conv2d: _conv,
    ConvTranspose1d: _conv_transpose,
    ConvTranspose2d: _conv_transpose,
    Dropout: _same,
    Dropout1d: _same,
    Dropout2d: _same,
    Embedding: _embedding,
    Flatten: _flatten,
    GroupNorm: _group_norm,
    Identity: _same,
    LayerNorm: _layer_norm,
    Linear: _linear,
    MaxPool1d: _max_pool,
    MaxPool2d: _max_pool,
    MultiheadAttention: _attention,
    RMSNorm: _rms_norm,
    Residual: _residual,
    Sequential: _sequential,
    Standardize: _standardize,
    TransformerEncoderLayer: _encoder_layer,
    act.ELU: _node("Elu", alpha="alpha"),
    act.GELU: _gelu,
    act.Hardtanh: _hardtanh,
    act.LeakyReLU: _node("LeakyRelu", alpha="negative_slope"),
    act.LogSoftmax: _node("LogSoftmax", axis="axis"),
    act.Mish: _mish,
    act.PReLU: _prelu,
    act.ReLU: _node("Relu"),
    act.SELU: _node("Selu"),
    act.SiLU: _silu,
    act.Sigmoid: _node("Sigmoid"),
    act.Softmax: _node("Softmax", axis="axis"),
    act.Softplus: _softplus,
    act.Softsign: _node("Softsign"),
    act.Tanh: _node("Tanh"),
}
