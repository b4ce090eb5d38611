"""The variance argument, run forward and backward before training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm
from .._module import Module
from .._tables import html_table, text_table
from .figures import decades, slope
from .probe import Observed, Probe, parts_of

__all__ = ["Forecast", "ForecastLayer", "forecast", "forecast_of"]

_NODES = 40  # of the quadrature, an axis


class ForecastLayer(NamedTuple):
    """The prediction for one layer.

    Attributes:
        path: of its Linear.
        title: its type and sizes.
        activation: the name of the activation, or "".
        spread: RMS of the results' deviation from the mean over the batch.
        gradient: RMS of the gradient of the pre-activations, relative to that of the last layer's.
    """

    path: str
    title: str
    activation: str
    spread: float
    gradient: float


class Forecast:
    """The spread and gradient that the variance argument predicts for each layer; made by :func:`nn.forecast`.

    Attributes:
        layers: a :class:`ForecastLayer` for each, from the input to the output.
        slope: how the gradient changes from layer to layer towards the input, in decades, over the layers with an
            activation.
        spread_slope: how the spread changes from layer to layer towards the output.
    """

    def __init__(self, layers: list[ForecastLayer]) -> None:
        self.layers = layers
        chosen = [layer for layer in layers if layer.activation] or layers
        self.slope = -slope([decades(layer.gradient) for layer in chosen])
        self.spread_slope = slope([decades(layer.spread) for layer in chosen])

    def _foot(self) -> str:
        return f"gradient {self.slope:+.2f}, spread {self.spread_slope:+.2f} decades a layer"

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (layer.path, layer.title, layer.activation, f"{layer.spread:.1e}", f"{layer.gradient:.1e}")
            for layer in self.layers
        ]

    def __str__(self) -> str:
        return "\n".join([*text_table(_COLUMNS, self._cells(), left=3), self._foot()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, self._cells(), caption=self._foot())


_COLUMNS = ("path", "layer", "activation", "spread", "gradient")


def forecast(model: Module, x: tg.TensorLike) -> Forecast:
    """Predict how spread and gradient change from layer to layer, before any training.

    The variance argument (He et al., 2015; Schoenholz et al., 2017), for weights that are independent of each other
    and of the inputs, in the limit of many units: from each layer's fan-in, the mean square of its weights and biases,
    its norm and its activation, follow the variance across the batch and the mean square of the next layer's
    inputs, and, from the output back, the mean square of the gradient. The batch gives the variance and mean square of
    the inputs; a copy of the network is run on it once, in training mode, to find the order of its layers.

    Args:
        model: a chain of :class:`nn.Linear` layers, each with a norm and an activation, and perhaps dropout, after it.
        x: a batch of inputs, shape (samples, features).

    Raises:
        TypeError: model is not a Module.
        ValueError: it is something else than such a chain.

    >>> import numpy as np, nn
    >>> x = np.random.default_rng(0).standard_normal((100, 32)).astype(np.float32)
    >>> for activation, init in (("sigmoid", "lecun_normal"), ("relu", "he_normal")):
    ...     model = nn.MLP([32] * 9, activation=activation, init=init, rng=0)
    ...     print(activation, round(nn.forecast(model, x).slope, 1))
    sigmoid -0.6
    relu 0.0
    """
    if not isinstance(model, Module):
        raise TypeError(f"forecast: model must be a Module, got {type(model).__name__}; write nn.forecast(model, x)")
    own = copy.deepcopy(model).requires_grad_(True).train()
    probe = Probe(own, parts_of(own), moments=True)
    try:
        with tg.enable_grad():
            own(x)
        found = forecast_of(probe.layers)
        if found is None:
            raise ValueError(
                f"forecast: {_misfit(probe.layers)}; it needs a chain of nn.Linear layers, each with a norm and an "
                "activation, and perhaps dropout, after it"
            )
        return found
    finally:
        probe.close()


def _misfit(layers: Sequence[Observed]) -> str:
    if not layers:
        return "the model has no layer with weights"
    for layer, before in zip(layers, [None, *layers], strict=False):
        if not isinstance(layer.module, Linear):
            return f"{layer.path or 'the model'} is a {type(layer.module).__name__}"
        if isinstance(layer.norm, GroupNorm):
            return f"{layer.path} has a group norm"
        if before is not None and not layer.follows(before):
            return f"the result of {before.path} is not the input of {layer.path} alone"
    return "the input does not hold real numbers"


def forecast_of(layers: Sequence[Observed]) -> Forecast | None:
    """The forecast for observed layers, or None if they are not a chain of Linear layers."""
    if not layers or math.isnan(layers[0].given[0]):
        return None
    for layer, before in zip(layers, [None, *layers], strict=False):
        if not isinstance(layer.module, Linear) or isinstance(layer.norm, GroupNorm):
            return None
        if before is not None and not layer.follows(before):
            return None
    square, variance = layers[0].given
    stages = []
    for layer in layers:
        stage = _Stage(layer, square, variance)
        stages.append(stage)
        square, variance = stage.square, stage.variance
    gradient = 1.0
    rows: list[ForecastLayer] = []
    for layer, stage in zip(reversed(layers), reversed(stages), strict=True):
        if rows:  # not the last
            gradient *= stage.back
        rows.append(
            ForecastLayer(layer.path, layer.title, layer.activation, math.sqrt(stage.spread), math.sqrt(gradient))
        )
        gradient *= stage.fan_out * stage.weights  # now that of the layer's input
    return Forecast(rows[::-1])


class _Stage:
    """One layer: from mean square and variance of its input to those of its result, and back.

    Attributes:
        fan_out: the number of units.
        weights: the mean square of the weights.
        spread: the variance across the batch of the activated results.
        square: the mean square of the next layer's input.
        variance: its variance across the batch.
        back: the factor of the gradient's mean square, from the results to the pre-activations.
    """

    def __init__(self, layer: Observed, square: float, variance: float) -> None:
        linear = layer.module
        assert isinstance(linear, Linear)
        self.weights = layer.weight_rms**2
        fan_in, self.fan_out = linear.in_features, linear.out_features
        bias = 0.0 if linear.b is None else float(np.mean(np.square(linear.b.data, dtype=np.float64)))
        square, variance = fan_in * self.weights * square + bias, fan_in * self.weights * variance
        square, variance, self.back = _normed(layer.norm, square, variance, layer.shape[0])
        if layer.apply is None:
            self.spread, self.square = variance, square
        else:
            self.square, self.spread, slope_square = _through(layer.apply, square, variance)
            self.back *= slope_square
        self.variance = self.spread + self.square * (1 - layer.keep) / layer.keep  # dropout's noise
        self.square /= layer.keep
        self.back /= layer.keep


def _normed(norm: Module | None, square: float, variance: float, batch: int) -> tuple[float, float, float]:
    """Mean square, variance and the gradient's factor after a norm."""
    if norm is None:
        return square, variance, 1.0
    gain, shift = _square_of(getattr(norm, "gamma", None), 1.0), _square_of(getattr(norm, "beta", None), 0.0)
    eps = getattr(norm, "eps", None) or 0.0
    if isinstance(norm, BatchNorm):
        factor = gain / (variance + eps)
        return factor * variance + shift, factor * variance, factor * max(0.0, 1 - 2 / batch)
    factor = gain / (square + eps)
    return factor * square + shift, factor * variance, factor


def _square_of(parameter: Any, default: float) -> float:
    return default if parameter is None else float(np.mean(np.square(parameter.data, dtype=np.float64)))


def _through(apply: Callable[[Any], Any], square: float, variance: float) -> tuple[float, float, float]:
    """Mean square, variance across the batch, and mean square of the slope, after an activation.

    A unit's pre-activations are normal around a mean of their own, which is normal around 0: Gauss-Hermite quadrature
    over both.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    means = math.sqrt(max(0.0, square - variance)) * nodes
    points = tg.Tensor(means[:, None] + math.sqrt(max(0.0, variance)) * nodes, requires_grad=True)
    with tg.enable_grad():
        result = apply(points)
    result.backward(np.ones(result.shape, result.dtype))
    values, slopes = result.data, points.grad
    centred = values - (values @ weights)[:, None]
    squares, variances, slope_squares = (
        float(weights @ np.square(table) @ weights) for table in (values, centred, slopes)
    )
    return squares, variances, slope_squares
