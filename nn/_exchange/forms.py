"""The layers as nodes of an ONNX graph, opset 17."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._layers import activations as act
from .._layers.containers import Sequential
from .._layers.dropout import Dropout
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm
from .._models.mlp import MLP
from .._module import Module
from .graph import Form, Graph, Value
from .wrappers import wrapped

__all__ = ["FORMS"]


# --- modules made of modules --------------------------------------------------------------------------------


def _wrapper(graph: Graph, module: Module, x: Value) -> str:
    name = str(wrapped(module))
    return graph.child(name, getattr(module, name), x).name


def _sequential(graph: Graph, module: Sequential, x: Value) -> str:
    for name, child in module.named_children():
        x = graph.child(name, child, x)
    return x.name


# --- affine maps and normalisation --------------------------------------------------------------------------


def _linear(graph: Graph, layer: Linear, x: Value) -> str:
    weight = graph.tensor("W", layer.W)
    if layer.b is None:
        return graph.add("MatMul", x.name, weight)
    if len(x.shape) == 2:
        return graph.add("Gemm", x.name, weight, graph.tensor("b", layer.b))
    return graph.add("Add", graph.add("MatMul", x.name, weight), graph.tensor("b", layer.b))


def _batch_norm(graph: Graph, layer: BatchNorm, x: Value) -> str:
    gamma = graph.constant(np.ones(layer.num_features)) if layer.gamma is None else graph.tensor("gamma", layer.gamma)
    beta = graph.constant(np.zeros(layer.num_features)) if layer.beta is None else graph.tensor("beta", layer.beta)
    statistics = (graph.tensor(name, getattr(layer, name)) for name in ("running_mean", "running_var"))
    return graph.add("BatchNormalization", x.name, gamma, beta, *statistics, epsilon=layer.eps)


def _same(graph: Graph, layer: Module, x: Value) -> str:
    return x.name


# --- activations --------------------------------------------------------------------------------------------


def _node(op: str, **settings: str) -> Form:
    """A layer that is one node, with the attributes of the layer that become the node's, by the node's names."""

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
        return graph.add("Softplus", x.name)
    beta = graph.constant(layer.beta)
    return graph.add("Div", graph.add("Softplus", graph.add("Mul", x.name, beta)), beta)


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
    BatchNorm: _batch_norm,
    Dropout: _same,
    Linear: _linear,
    MLP: _wrapper,
    Sequential: _sequential,
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
