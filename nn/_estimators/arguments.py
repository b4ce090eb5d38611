"""The arguments of the estimators, and their checks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from .._checks import count, number
from .words import checked_word, unknown

__all__ = ["Arguments", "trains_by_batches"]

_WITH_BETAS = ("adam", "adamw", "nadam", "radam", "lion")
_SWITCHES = ("standardize", "shuffle", "early_stopping", "warm_start")
# L-BFGS takes all rows at once, and searches along each direction.
_NOT_FOR_LBFGS = (
    *("lr", "beta_1", "beta_2", "weight_decay", "clip_norm", "schedule", "schedule_every", "batch_size", "shuffle"),
    *("early_stopping", "patience", "callbacks"),
)
_EVALUATIONS = 20  # of the loss, at most, along a direction of L-BFGS


class Arguments(BaseEstimator):
    """Holds and checks what the constructors take; see :class:`nn.FNNClassifier`."""

    hidden_dims: Any
    standardize: bool
    loss: Any
    optimizer: Any
    lr: float
    beta_1: float
    beta_2: float
    weight_decay: float
    clip_norm: float | None
    schedule: Any
    schedule_every: str
    batch_size: int | str
    epochs: int
    shuffle: bool
    tol: float | None
    early_stopping: bool
    validation_fraction: float
    patience: int
    warm_start: bool
    callbacks: Any
    random_state: Any
    verbose: bool

    def _hold(self, arguments: Mapping[str, Any]) -> None:
        """Set the attributes of a constructor's arguments."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    def set_params(self, **params: Any) -> Self:
        """Set arguments by name, as in the constructor. Raises ValueError for an unknown one."""
        takes = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        for name in params:
            if name.partition("__")[0] not in takes:
                raise ValueError(unknown(type(self).__name__, name, takes))
        return super().set_params(**params)

    def _check_arguments(self, validation_data: Any = None) -> None:
        me = type(self).__name__
        listed = hasattr(self.hidden_dims, "__len__") and not isinstance(self.hidden_dims, str | Mapping)
        if not (listed or isinstance(self.hidden_dims, Integral)):
            raise ValueError(
                f"{me}: hidden_dims must be a width or a list of widths and layers, such as (100,), got "
                f"{self.hidden_dims!r}; write () for no hidden layer"
            )
        for name in ("activation", "loss", "schedule"):
            checked_word(me, name, getattr(self, name))
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{me}: {name} must be True or False, got {getattr(self, name)!r}")
        if isinstance(self.batch_size, str) and self.batch_size != "auto":
            raise ValueError(f"{me}: batch_size must be an integer or 'auto', got {self.batch_size!r}")
        if self.batch_size != "auto":
            count(me, "batch_size", self.batch_size)
        for name in ("epochs", "patience"):
            count(me, name, getattr(self, name))
        if self.tol is not None:
            number(me, "tol", self.tol, 0)
        if self.early_stopping and not 0 < number(me, "validation_fraction", self.validation_fraction) < 1:
            raise ValueError(f"{me}: validation_fraction must be between 0 and 1, got {self.validation_fraction!r}")
        if self._optimizer()["name"] == "lbfgs":
            self._check_for_lbfgs(validation_data)

    def _check_for_lbfgs(self, validation_data: Any) -> None:
        usual: dict[str, Any] = {}
        for kind in reversed(type(self).__mro__):  # a subclass may have fewer arguments, and other defaults
            if issubclass(kind, Arguments) and "__init__" in vars(kind):
                usual |= {name: p.default for name, p in inspect.signature(kind.__init__).parameters.items()}
        given = {name: getattr(self, name) for name in _NOT_FOR_LBFGS}
        given["callbacks"] = tuple(self._given_callbacks())
        unused = [name for name, value in given.items() if value != usual[name]]
        if given["batch_size"] == "auto":
            unused.remove("batch_size")
        if validation_data is not None:
            unused.append("validation_data")
        if unused:
            raise ValueError(
                f"{type(self).__name__}: optimizer='lbfgs' does not use {', '.join(unused)}: it takes all rows at once "
                f"and searches along each direction; leave {'it' if len(unused) == 1 else 'them'} out"
            )

    def _optimizer(self) -> dict[str, Any]:
        """The optimiser as :class:`nn.Model` takes it."""
        if not isinstance(self.optimizer, str | Mapping):
            raise ValueError(f"optimizer must be a name, or a dict of name and options, got {self.optimizer!r}")
        given = {"name": self.optimizer} if isinstance(self.optimizer, str) else dict(self.optimizer)
        name = str(given.get("name")).lower()
        options: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if name in _WITH_BETAS:
            options["betas"] = (self.beta_1, self.beta_2)
        if name == "lbfgs":
            options = {"max_iter": self.epochs, "max_eval": _EVALUATIONS * self.epochs}
            options |= {} if self.tol is None else {"tolerance_grad": self.tol}
        return {**options, **given, "name": name}

    def _given_callbacks(self) -> list[Any]:
        given = self.callbacks
        return list(given) if isinstance(given, list | tuple) else [given]


def trains_by_batches(estimator: Arguments) -> bool:
    """Whether there is a ``partial_fit``."""
    if estimator._optimizer()["name"] == "lbfgs":
        raise AttributeError("optimizer='lbfgs' takes all rows at once; for partial_fit, write another optimizer")
    if estimator.early_stopping:
        raise AttributeError("partial_fit holds no rows out for early_stopping=True; leave it out")
    return True
