"""One step under observation: forward hooks on a model's parts, gradient hooks on what they compute."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tensorgrad as tg

from .._hooks import Hook
from .._layers.activations import ACTIVATIONS
from .._layers.containers import Identity
from .._layers.dropout import Dropout
from .._layers.embedding import Embedding
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .._module import Module
from .activation import dead_units, is_activation, is_function, nodes_of, saturated_share
from .figures import Figures, rms, sample, spread

__all__ = ["Observed", "Part", "Probe", "parts_of"]

_NORMS = (BatchNorm, LayerNorm, RMSNorm, GroupNorm)
_NAMES = {kind: name for name, kind in ACTIVATIONS.items()}


class Part(NamedTuple):
    """A module without modules in it, and its weight, if it has one of two axes or more."""

    path: str
    module: Module
    weight: Any


def parts_of(model: Module) -> list[Part]:
    """The parts of a model that a probe observes."""
    return [
        Part(path, module, None if isinstance(module, Embedding) else _weight(module))
        for path, module in model.named_modules()
        if not any(True for _ in module.children())
    ]


def _weight(module: Module) -> Any:
    return next((p for p in module.parameters() if p.ndim > 1), None)


class Observed:
    """One layer in one step: a module with a weight, and the norm and activation after it.

    Attributes:
        path: the path of the module with the weight.
        title: its type and sizes.
        module: the module itself.
        source: the layer whose result it takes, and perhaps dropout; None for another input.
        activated_source: whether that is the result of the activation.
        branches: whether its result is used several times.
        input: the node of the input in the graph, during the forward pass.
        shape: that of its results.
        given: mean square and variance across the batch of the model's input; NaN in other layers.
        norm: the norm between it and the activation, or None.
        activation: "relu", say; for a user's module the name of its class; "" if there is none.
        apply: the activation as a function of a Tensor.
        keep: the probability with which a dropout after the activation keeps a value.
        activations: a sample of the results.
        gradients: a sample of the gradient of the pre-activations, or None.
    """

    def __init__(self, part: Part, given: Any, output: Any, *, moments: bool) -> None:
        self.path, self.module, self.weight = part
        self.title = part.module.brief()
        self.source: Observed | None = None
        self.activated_source = self.branches = False
        self.given = _moments(given) if moments else (math.nan, math.nan)
        self.input = getattr(given, "node", None)
        self.norm: Module | None = None
        self.activation = ""
        self.apply: Callable[[Any], Any] | None = None
        self.keep = 1.0
        self.shape = output.shape
        self.units_axis = -1 if output.ndim < 3 or isinstance(part.module, Linear) else 1
        self.act_rms = self.spread = self.grad_rms = self.weight_grad_rms = math.nan
        self.dead = self.saturated = 0.0
        self.finite = True
        self.dead_units: Any = None
        self.activations: Any = None
        self.gradients: Any = None
        array = self.weight.data
        self.weight_rms = rms(array)
        self.before = array.copy()
        output.register_hook(self._gradient)  # it goes with the graph
        learned = self.weight.requires_grad
        self._remove = self.weight.register_hook(self._weight_gradient) if learned else None

    def follows(self, before: Observed) -> bool:
        """Whether it alone takes the result of another layer, after the activation if that has one."""
        return self.source is before and not before.branches and (self.activated_source or not before.activation)

    def activated(self, name: str, array: Any) -> None:
        """Take the statistics of the layer's results."""
        self.activation = name
        self.act_rms, self.spread = rms(array), spread(array)
        self.activations = sample(array)
        if name:
            self.saturated = saturated_share(name, array)
            self.dead_units = dead_units(array, self.units_axis) if array.ndim > 1 else None
            self.dead = 0.0 if self.dead_units is None else float(self.dead_units.mean())

    def _gradient(self, g: Any) -> None:
        if math.isnan(self.grad_rms):
            array = g.data if isinstance(g, tg.Tensor) else g
            with tg.silenced():
                self.grad_rms = rms(array)
                self.gradients = sample(array)
                self.finite = self.finite and math.isfinite(self.grad_rms)

    def _weight_gradient(self, g: Any) -> None:
        self._release()
        with tg.silenced():
            self.weight_grad_rms = rms(g.data if isinstance(g, tg.Tensor) else g)
            self.finite = self.finite and math.isfinite(self.weight_grad_rms)

    def _release(self) -> None:
        if self._remove is not None:
            self._remove()
            self._remove = None

    def close(self) -> Figures:
        """Stop observing, after the update."""
        self._release()
        with tg.silenced():
            now = self.weight.data
            update = rms(now - self.before) if now.shape == self.before.shape else math.nan
        del self.before
        return Figures(
            self.act_rms,
            self.spread,
            self.grad_rms,
            self.weight_rms,
            self.weight_grad_rms,
            update,
            self.dead,
            self.saturated,
            self.finite and math.isfinite(self.act_rms) and math.isfinite(self.weight_rms),
        )


class Probe:
    """Hooks on the parts of a model, for its next forward pass with a graph and the backward pass of that.

    The forward hooks go when the pass is complete, those on weights when they were called. A module that is called
    several times is observed the first time.

    Args:
        model: the model.
        parts: its parts.
        moments: whether to look at its input, as a forecast needs.

    Attributes:
        layers: what was observed, in the order of execution.
    """

    def __init__(self, model: Module, parts: list[Part], *, moments: bool) -> None:
        self._moments = moments
        self.layers: list[Observed] = []
        self._parts = {id(part.module): part for part in parts}
        # By the id of a tensor, which is kept alive: the tensor, its layer, and whether it has been activated.
        self._known: dict[int, tuple[Any, Observed, bool]] = {}
        self._hooks: list[Hook] = [part.module.register_forward_hook(self._after_part) for part in parts]
        self._hooks.append(model.register_forward_hook(self._after_model))

    def release(self) -> None:
        """Remove the forward hooks."""
        for hook in self._hooks:
            hook.remove()
        self._known.clear()

    def close(self) -> list[Figures]:
        """Stop observing. Returns the figures of each layer."""
        self.release()
        return [layer.close() for layer in self.layers]

    def _after_part(self, module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        out = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(out, tg.Tensor) or not out.requires_grad or not inputs:
            return
        part, given = self._parts[id(module)], inputs[0]
        with tg.silenced():
            if part.weight is not None:
                self._weighted(part, given, out)
            else:
                self._elementwise(module, given, out)

    def _weighted(self, part: Part, given: Any, out: Any) -> None:
        if any(layer.module is part.module for layer in self.layers):
            return
        layer = Observed(part, given, out, moments=self._moments and not self.layers)
        _, layer.source, layer.activated_source = self._known.get(id(given), (None, None, False))
        self.layers.append(layer)
        self._known[id(out)] = out, layer, False

    def _elementwise(self, module: Module, given: Any, out: Any) -> None:
        _, layer, activated = self._known.get(id(given), (None, None, False))
        if isinstance(module, _NORMS):
            if layer is not None and not activated:
                layer.norm = module
                self._known[id(out)] = out, layer, False
        elif isinstance(module, Dropout | Identity):
            if layer is not None:
                if isinstance(module, Dropout) and module.training:
                    layer.keep *= 1 - module.p
                self._known[id(out)] = out, layer, activated
        elif is_activation(module, given, out):
            if layer is None and self.layers and self.layers[-1].shape == np.shape(given):
                layer, activated = self.layers[-1], False  # something else came between, such as a sum
            if layer is not None and not activated and not layer.activation:
                layer.apply = module.forward
                layer.activated(_NAMES.get(type(module), type(module).__name__), out.data)
                self._known[id(out)] = out, layer, True

    def _after_model(self, model: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not self.layers:
            return  # a pass without a graph
        result = output[0] if isinstance(output, tuple) and output else output
        bare = {id(layer): self._latest(layer) for layer in self.layers if not layer.activation}
        with tg.silenced():
            graph = isinstance(result, tg.Tensor) and result.node is not None
            if graph and (self._moments or any(out is not result for out in bare.values())):
                nodes = nodes_of(result)
                self._find_functions(nodes)
                self._find_branches(nodes)
            for layer in self.layers:
                layer.input = None
                if not layer.activation:
                    layer.activated("", bare[id(layer)].data)
        self.release()

    def _latest(self, layer: Observed) -> Any:
        """The last known tensor of a layer that has no activation."""
        return next(out for out, owner, _ in reversed(self._known.values()) if owner is layer)

    def _find_functions(self, nodes: list[Any]) -> None:
        """Find the activations that are functions: operations in the graph that were applied to a layer's result."""
        waiting = {
            id(out.node): (out, layer)
            for out, layer, activated in self._known.values()
            if not activated and not layer.activation
        }
        fed = {id(layer.input): layer for layer in self.layers if layer.input is not None}
        for node in nodes:
            if not is_function(node) or id(node.inputs[0]) not in waiting:
                continue
            out, layer = waiting.pop(id(node.inputs[0]))
            function = getattr(tg, node.op)
            layer.apply = function
            with tg.no_grad():
                layer.activated(node.op, function(out.data).data)
            if id(node) in fed:
                fed[id(node)].source, fed[id(node)].activated_source = layer, True

    def _find_branches(self, nodes: list[Any]) -> None:
        """Find the layers whose results are used several times."""
        uses = Counter(id(given) for node in nodes for given in node.inputs)
        for out, layer, activated in self._known.values():
            if (activated or (not layer.activation and out is self._latest(layer))) and uses[id(out.node)] > 1:
                layer.branches = True


def _moments(given: Any) -> tuple[float, float]:
    """Mean square, and variance across the batch."""
    array = given.data if isinstance(given, tg.Tensor) else np.asarray(given)
    if array.dtype.kind not in "fiub":
        return math.nan, math.nan
    array = array.astype(np.float64, copy=False)
    return rms(array) ** 2, rms(array - array.mean(axis=0)) ** 2
