"""Which training steps are compiled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tensorgrad as tg

from .. import functional
from .._files.registry import is_registered
from .._module import Module
from .._optim.lbfgs import LBFGS
from .._running import is_library_code, members
from ..parallel.communicator import Communicator
from .inputs import parts

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Compile", "Function", "check_compile", "compiled"]

Compile = bool | Literal["auto"]
Function = Callable[[list[Any]], Any]  # a step: it takes inputs, targets, weights and share of each batch

_PAYS = 40  # steps; with fewer, tracing takes longer than it saves
_TRACES = 8  # with more, there must have been so many steps for each


def check_compile(model: Model, compile: Compile) -> None:
    """Raise ValueError if ``compile`` is not an option of fit, or is True for steps that cannot be compiled."""
    if not (isinstance(compile, bool | np.bool_) or (isinstance(compile, str) and compile == "auto")):
        raise ValueError(f"fit: compile must be True, False or 'auto', got {compile!r}")
    optimizer = model.optimizer
    forced = compile != "auto" and compile
    if forced and not _steps_are_alike(optimizer):
        kind = type(optimizer).__name__
        raise ValueError(
            f"fit: compile=True needs an optimiser whose steps are all alike, got {kind}; leave compile out"
        )


def compiled(step: Function, model: Model, compile: Compile, comm: Communicator | None, expected: int) -> Function:
    """The step as ``compile`` says.

    Args:
        step: does one update of the model.
        model: of which it is.
        compile: as in :meth:`nn.Model.fit`, and already checked.
        comm: the processes that train together, or None.
        expected: how many steps there will be of a few shapes; 0 if that is not known.
    """
    if compile == "auto":
        # The weights of several processes must stay equal to the bit, and each has its own moment for native code.
        return _Auto(step, model, expected) if comm is None else step
    return tg.compile(step) if compile else step


class _Auto:
    """A step that is compiled where that pays and cannot change what it does."""

    def __init__(self, step: Function, model: Model, expected: int) -> None:
        self._step, self._compiled = step, tg.compile(step, warn=False, edits=False)
        self._model = model
        self._pays = expected >= _PAYS
        self._kinds: Counter[Any] = Counter()
        self._calls = 0  # of the compiled step
        self._known: Any = None  # what the next three are of
        self._plain = False
        self._modules: list[Module] = []
        self._parameters: list[Any] = []

    def __call__(self, given: list[Any]) -> Any:
        if not (self._is_plain() and (self._pays or self._is_frequent(given))):
            return self._step(given)
        traces = self._compiled.traces
        if traces > _TRACES and self._calls < traces * _PAYS:
            return self._step(given)  # something is different again and again
        self._calls += 1
        return self._compiled(given)

    def _is_frequent(self, given: list[Any]) -> bool:
        kind = tuple(
            (*((array.shape, array.dtype) for _, array in parts(X)), np.shape(y), weight is None)
            for X, y, weight, _ in given
        )
        self._kinds[kind] += 1
        return self._kinds[kind] > _PAYS

    def _is_plain(self) -> bool:
        """Whether nothing but nn's own code runs in a step, nor looks at it."""
        model = self._model
        now = (members.changes, model.network, model.loss, model.ema)
        if now != self._known:
            self._known = now
            self._modules = list(model.network.modules())
            self._modules += [model.loss] if isinstance(model.loss, Module) else []
            self._parameters = [p for module in self._modules for p in module.parameters()]
            self._plain = all(map(_is_own, self._modules)) and _is_own_loss(model.loss)
            self._plain = self._plain and _is_own(model.optimizer) and (model.ema is None or _is_own(model.ema))
            self._plain = self._plain and all(type(p.data) is np.ndarray for p in self._parameters)
        if not (self._plain and _steps_are_alike(model.optimizer)):
            return False
        for module in self._modules:  # in loops, because this is done before every step
            if module._hooks:
                return False
        for parameter in self._parameters:
            node = parameter.node
            if node is not None and node.extra is not None and node.extra.hooks:
                return False
        return True


def _steps_are_alike(optimizer: Any) -> bool:
    return not (isinstance(optimizer, LBFGS) or optimizer.skip_nonfinite)


def _is_own_loss(loss: Any) -> bool:
    if isinstance(loss, Module):
        return _is_own(loss)
    return vars(functional).get(getattr(loss, "__name__", "")) is loss


def _is_own(thing: Any) -> bool:
    """Whether the methods of a layer, a loss or an optimiser are nn's."""
    kind = type(thing)
    if not is_registered(kind) or any(callable(getattr(kind, name, None)) for name in vars(thing)):
        return False
    methods = [getattr(kind, name, None) for name in ("forward", "step", "update")]
    return all(method is None or is_library_code(method) for method in methods)
