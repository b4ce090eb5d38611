"""Nodes of ONNX that stand for several NumPy calls.

A pattern is a nested tuple: a function, and a pattern for each argument. Text is a placeholder, which stands for the
same value wherever it occurs; a number stands for itself. Every pattern is also correct call by call: what is
not recognised becomes more nodes, with the same result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiler.variables import Variable
from ..engine.convolutions import conv, conv_input
from .forms.reducing import axes_of, reduced
from .forms.windows import convolved, transposed
from .printer import Printer
from .runs import Step, Varying

__all__ = ["fused"]

Found = dict[str, Any]
CONV, CONV_INPUT = conv.__wrapped__, conv_input.__wrapped__  # type: ignore[attr-defined]


class As(NamedTuple):
    """A pattern whose own value has a placeholder, too."""

    name: str
    pattern: tuple[Any, ...]


def _matches(g: Printer, pattern: Any, leaf: Any, found: Found) -> bool:
    if isinstance(pattern, str):
        if pattern in found:
            return bool(found[pattern] is leaf) or _same_number(g, found[pattern], leaf)
        found[pattern] = leaf
        return True
    if isinstance(pattern, As):
        found[pattern.name] = leaf
        return _matches(g, pattern.pattern, leaf, found)
    if not isinstance(pattern, tuple):
        value = g.plain(leaf)
        return value is not None and value.ndim == 0 and value.item() == pattern
    step = g.producer(leaf)
    return step is not None and _step_matches(g, pattern, step, found)


def _same_number(g: Printer, a: Any, b: Any) -> bool:
    if isinstance(a, Variable | Varying) or isinstance(b, Variable | Varying):
        return False
    return bool(type(a) is type(b) and a == b)


def _step_matches(g: Printer, pattern: tuple[Any, ...], step: Step, found: Found) -> bool:
    function, *arguments = pattern
    if step.function != function or step.writes is not None:
        return False
    if "out" in step.kwargs or step.kwargs.get("where", True) is not True or step.kwargs.get("dtype") is not None:
        return False
    options = {key: value for key, value in step.kwargs.items() if key not in ("dtype", "where")}
    if arguments and isinstance(arguments[-1], dict):
        wanted = arguments.pop()
        if wanted.keys() != options.keys():
            return False
        if not all(_matches(g, wanted[key], options[key], found) for key in wanted):
            return False
    elif options:
        return False
    if len(arguments) != len(step.args):
        return False
    order = [arguments]
    if function in (np.add, np.multiply) and not isinstance(arguments[0], str):
        order.append(arguments[::-1])
    for attempt in order:
        trial = dict(found)
        if all(_matches(g, p, leaf, trial) for p, leaf in zip(attempt, step.args, strict=True)):
            found.update(trial)
            return True
    return False


# --- the nodes ------------------------------------------------------------------------------------------


def _number(g: Printer, leaf: Any) -> float | None:
    value = g.plain(leaf)
    return float(value.item()) if value is not None and value.ndim == 0 and value.dtype.kind in "fiu" else None


def _attribute(g: Printer, leaf: Any) -> float | None:
    """A number as an attribute of a node, which is of float32: None where a result of float64 would show it."""
    number = _number(g, leaf)
    if number is None or (g.result.dtype == np.float64 and float(np.float32(number)) != number):
        return None
    return number


def _node(op: str) -> Any:
    """One node of x."""

    def build(g: Printer, found: Found) -> str | None:
        if g.dtype(found["x"]) != g.result.dtype or g.result.dtype.kind != "f":
            return None
        return g.add(op, g.name(found["x"]))

    return build


def _along(op: str) -> Any:
    def build(g: Printer, found: Found) -> str | None:
        axes = axes_of(found["axis"], len(g.shape(found["x"])))
        if len(axes) != 1 or g.dtype(found["x"]) != g.result.dtype:
            return None
        return g.add(op, g.name(found["x"]), axis=axes[0])

    return build


def _mean(g: Printer, found: Found) -> str | None:
    x, ndim = found["x"], len(g.shape(found["x"]))
    axes = axes_of(found["axis"], ndim)
    counts = [int(np.prod([value.shape[axis] for axis in axes])) for value in g.comparison.values[x]]
    given = found["count"]
    said = list(given.values) if isinstance(given, Varying) else [_number(g, given)] * len(counts)
    if said != counts or g.dtype(x) != g.result.dtype or g.result.dtype.kind != "f":
        return None
    return reduced(g, "ReduceMean", g.name(x), axes, found["keepdims"], ndim)


def _leaky(g: Printer, found: Found) -> str | None:
    x, slope = found["x"], found["alpha"]
    if g.dtype(x) != g.result.dtype:
        return None
    if not isinstance(slope, Variable):
        number = _attribute(g, slope)
        return None if number is None else g.add("LeakyRelu", g.name(x), alpha=number)
    if g.shape(slope) == ():
        slope = _unshaped(g, slope)
    if g.dtype(slope) != g.result.dtype or len(g.shape(slope)) > len(g.shape(x)):
        return None
    return g.add("PRelu", g.name(x), g.name(slope))


def _unshaped(g: Printer, leaf: Any) -> Any:
    """What was reshaped, say a parameter so that it broadcasts; else the value itself."""
    step = g.producer(leaf)
    return step.args[0] if step is not None and step.function == np.reshape else leaf


def _vector(g: Printer, leaf: Any, place: int) -> Any:
    """A parameter of one axis that is added along an axis so far from the end; None if the value is anything else."""
    vector = _unshaped(g, leaf)
    if g.plain(vector) is None or g.dtype(vector) != g.result.dtype or len(g.shape(vector)) != 1:
        return None
    return vector if g.shape(leaf) == (*g.shape(vector), *(1,) * place) else None


def _affine(g: Printer, found: Found) -> str | None:
    """A product with a matrix, plus a row: Gemm."""
    x, w, bias, kind = found["x"], found["w"], found["bias"], g.result.dtype
    if len(g.shape(x)) != 2 or len(g.shape(w)) != 2 or not g.used_once(found["product"]) or kind.kind != "f":
        return None
    bias = _vector(g, bias, 0)
    if bias is None or g.shape(bias) != g.shape(w)[1:] or g.dtype(x) != kind or g.dtype(w) != kind:
        return None
    return g.add("Gemm", g.name(x), g.name(w), g.name(bias))


def _biased(convolution: Any) -> Any:
    """A convolution, plus a number for each channel."""

    def build(g: Printer, found: Found) -> str | None:
        step = g.producer(found["product"])
        bias = _vector(g, found["bias"], len(g.result.shape) - 2)
        if step is None or bias is None or not g.used_once(found["product"]):
            return None
        return str(convolution(g, *step.args, g.name(bias), **step.kwargs))

    return build


def _normalised(g: Printer, found: Found) -> str | None:
    """Batch norm with running statistics: ``(x - mean) * (gamma / sqrt(var + eps)) + beta``."""
    x, kind = found["x"], g.result.dtype
    trailing = len(g.shape(x)) - 2
    mean = _vector(g, found["mean"], trailing)
    factor = _vector(g, found["factor"], trailing)
    inner: Found = {}
    if mean is None or factor is None or g.dtype(x) != kind or trailing < 0:
        return None
    if not _matches(g, (np.divide, "gamma", (np.sqrt, (np.add, "var", "eps"))), factor, inner):
        return None
    var, eps = _vector(g, inner["var"], 0), _attribute(g, inner["eps"])
    features = g.shape(mean)
    gamma = g.plain(inner["gamma"])
    beta = _vector(g, found["beta"], trailing) if "beta" in found else None
    if var is None or eps is None or gamma is None or ("beta" in found and beta is None):
        return None
    if g.shape(x)[1:2] != features or gamma.shape not in ((), features):
        return None
    scale = g.name(inner["gamma"], kind) if gamma.shape else g.constant(np.full(features, gamma), kind)
    shift = g.constant(np.zeros(features), kind) if beta is None else g.name(beta)
    return g.add("BatchNormalization", g.name(x), scale, shift, g.name(mean), g.name(var), epsilon=eps)


def _exponential(g: Printer, found: Found) -> str | None:
    """Elu: ``above`` and ``rate`` are 1. Selu has factors, whose quotient is its alpha."""
    above, height, rate = (_attribute(g, found[name]) for name in ("above", "height", "rate"))
    if above is None or height is None or rate != 1 or g.dtype(found["x"]) != g.result.dtype:
        return None
    if above == 1:
        return g.add("Elu", g.name(found["x"]), alpha=height)
    return g.add("Selu", g.name(found["x"]), alpha=height / above, gamma=above)


def _silu(g: Printer, found: Found) -> str | None:
    name = g.name(found["x"])
    return g.add("Mul", name, g.add("Sigmoid", name)) if g.dtype(found["x"]) == g.result.dtype else None


def _clip(g: Printer, found: Found) -> str | None:
    low, high, kind = _number(g, found["low"]), _number(g, found["high"]), g.result.dtype
    if low is None or high is None or low > high or g.dtype(found["x"]) != kind:
        return None
    return g.add("Clip", g.name(found["x"]), g.constant(low, kind), g.constant(high, kind))


_POWERS = (np.exp, (np.subtract, "x", (np.maximum.reduce, "x", {"axis": "axis", "keepdims": True, "initial": -np.inf})))
_SHIFTED = _POWERS[1]
_SUM = (np.add.reduce, _POWERS, {"axis": "axis", "keepdims": True})
_LOG_OF_SUM = (
    np.where,
    "close",
    (
        np.log1p,
        (np.add.reduce, (np.where, (np.equal, _SHIFTED, 0), 0, _POWERS), {"axis": "axis", "keepdims": True}),
    ),
    (np.log, _SUM),
)
_STATIC = {name: name for name in ("stride", "dilation", "padding", "groups")}
_SCALED = (np.multiply, (np.subtract, "x", "mean"), "factor")
_SIGMOID = (np.add, (np.exp, (np.negative, "x")), 1.0)

Pattern = tuple[tuple[Any, ...], Callable[[Printer, Found], str | None]]
_PATTERNS: list[Pattern] = [
    ((np.add, _SCALED, "beta"), _normalised),
    (_SCALED, _normalised),
    ((np.add, As("product", (np.matmul, "x", "w")), "bias"), _affine),
    ((np.add, As("product", (CONV, "x", "w", _STATIC)), "bias"), _biased(convolved)),
    ((np.add, As("product", (CONV_INPUT, "x", "w", "lengths", _STATIC)), "bias"), _biased(transposed)),
    ((np.maximum, "x", 0), _node("Relu")),
    ((np.reciprocal, _SIGMOID), _node("Sigmoid")),
    ((np.divide, "x", _SIGMOID), _silu),
    ((np.logaddexp, "x", 0), _node("Softplus")),
    ((np.divide, "x", (np.add, (np.absolute, "x"), 1)), _node("Softsign")),
    ((np.divide, _POWERS, _SUM), _along("Softmax")),
    ((np.subtract, _SHIFTED, _LOG_OF_SUM), _along("LogSoftmax")),
    ((np.true_divide, (np.add.reduce, "x", {"axis": "axis", "keepdims": "keepdims"}), "count"), _mean),
    ((np.where, (np.greater, "x", 0), "x", (np.multiply, "alpha", "x")), _leaky),
    (
        (
            np.where,
            (np.greater, "x", 0),
            (np.multiply, "above", "x"),
            (np.multiply, "height", (np.expm1, (np.multiply, "rate", (np.minimum, "x", 0)))),
        ),
        _exponential,
    ),
    ((np.minimum, (np.maximum, "x", "low"), "high"), _clip),
]


# --- pooling --------------------------------------------------------------------------------------------

_WINDOWS = (
    np.reshape,
    (
        np.transpose,
        (operator.getitem, (np.lib.stride_tricks.sliding_window_view, "x", "reach", {"axis": "axes"}), "key"),
        "order",
    ),
    "shape",
)
_MEAN_OF_WINDOWS = (np.true_divide, (np.add.reduce, "w", {"axis": "axis", "keepdims": False}), "n")


def _pooled(g: Printer, step: Step) -> str | None:
    """A reduction over the elements of each window: MaxPool or AveragePool, or None."""
    largest = step.function == np.maximum.reduce
    mean: Found = {}
    if not largest:
        if not _step_matches(g, _MEAN_OF_WINDOWS, step, mean):
            return None
        windows, axis = mean["w"], mean["axis"]
    else:
        if step.kwargs.get("keepdims") or step.kwargs.get("initial") is not None or len(step.args) != 1:
            return None
        windows, axis = step.args[0], step.kwargs.get("axis", 0)
    found: Found = {}
    if axis not in (0, (0,)) or not _matches(g, _WINDOWS, windows, found):
        return None
    x = found["x"]
    ndim = len(g.shape(x))
    count = ndim - 2
    key = found["key"]
    if count < 1 or found["order"] != (*range(ndim, ndim + count), *range(ndim)) or not isinstance(key, tuple):
        return None
    steps = [part.step for part in key[1:] if isinstance(part, slice)]
    if len(steps) != 2 * count or found["axes"] != tuple(range(-count, 0)) or g.result.dtype.kind != "f":
        return None
    stride, dilation = steps[:count], steps[count:]
    kernel = [(reach - 1) // d + 1 for reach, d in zip(found["reach"], dilation, strict=True)]
    if not largest and (_number(g, mean["n"]) != float(np.prod(kernel)) or any(d != 1 for d in dilation)):
        return None
    counts = g.result.shape[2:]
    if g.shapes(windows) != [(int(np.prod(kernel)), *shape[:2], *counts) for shape in g.shapes(x)]:
        return None
    source, pads = _unpadded(g, x, kernel, -np.inf if largest else 0.0)
    shared = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    if largest:
        return g.add("MaxPool", g.name(source), dilations=dilation, **shared)
    return g.add("AveragePool", g.name(source), count_include_pad=1, **shared)


def _unpadded(g: Printer, x: Any, kernel: list[int], fill: float) -> tuple[Any, list[int]]:
    """What was padded with a number, and by how much; x itself if it was not."""
    nothing = (x, [0] * (2 * len(kernel)))
    written = g.producer(x)
    whole = None if written is None else g.overwritten.get(written)
    if written is None or whole is None or written.function != operator.setitem or whole.function != np.full_like:
        return nothing
    _, key, value = written.args
    if _number(g, whole.args[1]) != fill or not isinstance(value, Variable) or not isinstance(key, tuple):
        return nothing
    inside = [part for part in key if isinstance(part, slice)]
    if len(inside) != len(kernel) or key[0] is not Ellipsis:
        return nothing
    lengths = g.shape(x)[-len(kernel) :]
    return value, [part.start for part in inside] + [n - part.stop for n, part in zip(lengths, inside, strict=True)]


def fused(g: Printer, step: Step) -> str | None:
    """The node for the calls that end in a step, or None."""
    if step.writes is not None or len(step.results) != 1:
        return None
    pooled = _pooled(g, step)
    if pooled is not None:
        return pooled
    for pattern, build in _PATTERNS:
        found: Found = {}
        if _step_matches(g, pattern, step, found):
            name = build(g, found)
            if name is not None:
                return name
    return None
