"""The regressor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, validate_data

from .. import metrics
from .._losses import PoissonNLLLoss
from .._models.layer import Layer, Spec
from .._training.model import Model
from .arguments import trains_by_batches
from .base import FNN
from .parts import Data
from .words import advising

__all__ = ["FNNRegressor"]

_LOSSES = ("mse", "l1", "huber", "smooth_l1", "quantile", "poisson")


class FNNRegressor(RegressorMixin, FNN):
    """A feed-forward network for one or several real targets, with the interface of ``MLPRegressor``.

    Arguments and attributes are those of :class:`FNNClassifier`, except for those about classes, and for:

    Args:
        loss: "mse", "l1", "huber", "smooth_l1", "quantile" or "poisson", alone or with options, such as ``{"name":
            "quantile", "q": 0.9}`` or ``{"name": "huber", "delta": 2.0}``; or a function (prediction, target) that
            returns a scalar Tensor. With "poisson", for counts and rates, the network's output is the logarithm of the
            prediction.

    Attributes:
        validation_scores_: r2 on the validation data after each epoch, NaN for a single row; None without such data.
        out_activation_: "exp" for "poisson", else "identity".

    >>> import numpy as np, nn
    >>> X = np.linspace(-1, 1, 100).reshape(-1, 1)
    >>> Y = np.hstack([X**2, X**3])
    >>> regressor = nn.FNNRegressor((32, 32), activation="tanh", lr=0.01, random_state=0).fit(X, Y)
    >>> regressor.score(X, Y) > 0.95
    True
    """

    _flat: bool  # y had one axis
    _width: int  # how many targets

    @advising
    def __init__(
        self,
        hidden_dims: Sequence[int | Layer | Mapping[str, Any]] = (100,),
        *,
        activation: Any = "relu",
        norm: Any = None,
        dropout: float | Sequence[float] = 0.0,
        init: Any = None,
        l1: float | Sequence[float] = 0.0,
        l2: float | Sequence[float] = 0.0,
        standardize: bool = False,
        loss: Spec = "mse",
        optimizer: str | Mapping[str, Any] = "adam",
        lr: float = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        schedule: Spec | None = None,
        schedule_every: str = "epoch",
        batch_size: int | str = 32,
        epochs: int = 100,
        shuffle: bool = True,
        tol: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        warm_start: bool = False,
        callbacks: Sequence[Any] = (),
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self._hold(locals())

    @available_if(trains_by_batches)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network for one epoch on this data; the first call makes it.

        It is not there with ``optimizer="lbfgs"`` or ``early_stopping=True``.

        Args:
            X: shape (samples, features).
            y: shape (samples,) or (samples, outputs).
            sample_weight: shape (samples,).

        Returns:
            self.
        """
        self._check_arguments()
        return self._partial(X, y, sample_weight)

    # --- data -------------------------------------------------------------------------------------------

    def _checked(self, X: Any, y: Any, weight: Any, *, reset: bool) -> Data:
        me, dtypes = type(self).__name__, (np.float64, np.float32)
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=dtypes, multi_output=True, y_numeric=True, reset=reset
        )
        y = y.toarray() if hasattr(y, "tocsr") else y
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        width = 1 if y.ndim == 1 else y.shape[1]
        if reset:
            self._flat, self._width = y.ndim == 1, width
        elif width != self._width:
            raise ValueError(f"{me}: y has {width} columns, expected {self._width} as in the fit before")
        if self._name() == "poisson" and (y < 0).any():
            raise ValueError(f"{me}: loss='poisson' is for counts and rates, at least 0, got {y.min()} in y")
        if weight is not None:
            weight = _check_sample_weight(weight, X, ensure_non_negative=True)
        return Data(X, y.reshape(len(y), -1).astype(X.dtype, copy=False), weight)

    def _name(self) -> Any:
        """The name of the loss, or what was given in its place."""
        return self.loss.get("name") if isinstance(self.loss, Mapping) else self.loss

    def _outputs(self) -> int:
        return self._width

    def _loss(self) -> Any:
        if self._name() not in _LOSSES and not callable(self.loss):
            raise ValueError(
                f"{type(self).__name__}: loss must be one of {', '.join(_LOSSES)}, alone or with options, or a "
                f"function, got {self.loss!r}"
            )
        if isinstance(self.loss, Mapping) and not self.loss.get("log_input", True):
            raise ValueError(
                f"{type(self).__name__}: loss {dict(self.loss)!r}: the network's outputs can be negative, so they are "
                "logarithms of rates; leave log_input out"
            )
        return self.loss

    def _score(self, model: Model, held: Data) -> float:
        if len(held.y) < 2:
            return math.nan  # a single sample has no variance
        outputs = model.predict(held.X)
        predicted = np.exp(outputs) if _is_exponential(model) else outputs
        return metrics.r2(predicted, held.y, sample_weight=held.weight)

    # --- use --------------------------------------------------------------------------------------------

    @property
    def out_activation_(self) -> str:
        """What makes predictions of the network's outputs: "exp" for counts, else "identity"."""
        return "exp" if _is_exponential(self.model_) else "identity"

    def predict(self, X: Any) -> Any:
        """Predictions, with as many axes as y had."""
        outputs = self._predicted(X)
        outputs = np.exp(outputs) if _is_exponential(self.model_) else outputs
        return outputs[:, 0] if self._flat else outputs


def _is_exponential(model: Model) -> bool:
    """Whether the network's outputs are the logarithms of predictions."""
    return isinstance(model.loss, PoissonNLLLoss) and model.loss.log_input
