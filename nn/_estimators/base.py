"""What the classifier and the regressor have in common: arguments, training, attributes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

import tensorgrad as tg

from .._checks import count, number
from .._layers.containers import Sequential
from .._layers.dropout import Dropout
from .._layers.linear import Linear
from .._layers.normalization import BatchNorm
from .._layers.standardize import Standardize
from .._models.layer import Layer
from .._models.mlp import MLP
from .._optim.lbfgs import LBFGS
from .._training.callbacks import EarlyStopping
from .._training.model import Model
from .parts import Data, Lines, ValidationScores, dense
from .words import checked_word, unknown

__all__ = ["FNN"]

_WITH_BETAS = ("adam", "adamw", "nadam", "radam", "lion")
_LAYERS = ("activation", "norm", "dropout", "init", "l1", "l2")
_SWITCHES = ("standardize", "shuffle", "early_stopping", "warm_start")
# L-BFGS takes all rows at once, and searches along each direction.
_NOT_FOR_LBFGS = (
    *("lr", "beta_1", "beta_2", "weight_decay", "clip_norm", "schedule", "schedule_every", "batch_size", "shuffle"),
    *("early_stopping", "patience", "callbacks"),
)
_EVALUATIONS = 20  # of the loss, at most, along a direction of L-BFGS
_AUTO_BATCH = 200  # rows; scikit-learn's


def trains_by_batches(estimator: FNN) -> bool:
    """Whether there is a ``partial_fit``."""
    if estimator._optimizer()["name"] == "lbfgs":
        raise AttributeError("optimizer='lbfgs' takes all rows at once; for partial_fit, write another optimizer")
    if estimator.early_stopping:
        raise AttributeError("partial_fit holds no rows out for early_stopping=True; leave it out")
    return True


class FNN(BaseEstimator):
    """Base class of the classifier and the regressor; see :class:`nn.FNNClassifier` for the arguments."""

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

    model_: Model
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    n_iter_: int
    t_: int
    _fewest_held = 1  # rows that can be scored

    def _hold(self, arguments: Mapping[str, Any]) -> None:
        """Set the attributes of a constructor's arguments."""
        for name in self._get_param_names():
            setattr(self, name, arguments[name])

    def set_params(self, **params: Any) -> Self:
        """Set arguments by name, as in the constructor. Raises ValueError for an unknown one."""
        takes = self._get_param_names()
        for name in params:
            if name.partition("__")[0] not in takes:
                raise ValueError(unknown(type(self).__name__, name, takes))
        return super().set_params(**params)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- what the classifier and the regressor define ---------------------------------------------------

    def _checked(self, X: Any, y: Any, weight: Any, *, reset: bool) -> Data:
        """Check data; with ``reset``, also note how many features and outputs there are."""
        raise NotImplementedError

    def _outputs(self) -> int:
        """How many outputs the network needs."""
        raise NotImplementedError

    def _loss(self) -> Any:
        """The loss as :class:`nn.Model` takes it."""
        raise NotImplementedError

    def _score(self, model: Model, held: Data) -> float:
        """Accuracy or r2 of a model on data."""
        raise NotImplementedError

    def _strata(self, targets: Any) -> Any:
        """The labels of which held-out rows have equal shares, or None."""
        return None

    def _class_factors(self, targets: Any) -> Any:
        """What the losses of each class are multiplied by, or None."""
        return None

    # --- arguments --------------------------------------------------------------------------------------

    def _check_arguments(self) -> None:
        me = type(self).__name__
        listed = hasattr(self.hidden_dims, "__len__") and not isinstance(self.hidden_dims, str | Mapping)
        if not (listed or isinstance(self.hidden_dims, Integral)):
            raise ValueError(
                f"{me}: hidden_dims must be a width or a list of widths and layers, such as (100,), got "
                f"{self.hidden_dims!r}; write () for no hidden layer"
            )
        for name in ("activation", "loss"):
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
            self._check_for_lbfgs()

    def _check_for_lbfgs(self) -> None:
        usual = inspect.signature(type(self).__init__).parameters
        for name in _NOT_FOR_LBFGS:
            value = list(self._given_callbacks()) or () if name == "callbacks" else getattr(self, name)
            if value != usual[name].default and not (name == "batch_size" and value == "auto"):
                raise ValueError(
                    f"{type(self).__name__}: optimizer='lbfgs' does not use {name}, got {value!r}: it takes all rows "
                    "at once and searches along each direction for the length of its step; leave it out"
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

    # --- training ---------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Sequence[Any] | None = None) -> Self:
        """Train a new network; or with ``warm_start``, the one of the last fit, with a new optimiser.

        Args:
            X: shape (samples, features); sparse matrices are made dense a batch at a time.
            y: for the classifier, labels of any type, shape (samples,), or 0 and 1 of several labels, shape (samples,
                labels). For the regressor, shape (samples,) or (samples, outputs).
            sample_weight: factors of the samples' losses, shape (samples,).
            validation_data: (X, y) or (X, y, sample_weight), evaluated after each epoch; with ``early_stopping`` it
                takes the place of held-out rows.

        Returns:
            self.

        Raises:
            ValueError: an argument is out of range, or the data do not fit.
            NonFiniteError: the training run diverged.
            KeyboardInterrupt: it was interrupted; the estimator keeps what was learned so far.
        """
        self._check_arguments()
        again = self.warm_start and hasattr(self, "model_")
        data = self._checked(X, y, sample_weight, reset=not again)
        held = None if validation_data is None else self._checked_validation(validation_data)
        factors = self._class_factors(data.y)
        data = self._weighty(data, factors)
        held = None if held is None else self._weighty(held, factors)
        if self.early_stopping and held is None:
            data, held = self._split(data)
        model = self._continued() if again else self._made(data.X)
        if isinstance(model.optimizer, LBFGS):
            return self._minimised(model, data, held, again)
        stop = None
        if self.early_stopping:
            stop = EarlyStopping(patience=self.patience, min_delta=self.tol or 0.0)
        elif self.tol is not None:
            stop = EarlyStopping("loss", patience=self.patience, min_delta=self.tol, restore_best=False)
        self._train(model, data, held, again=again, epochs=self.epochs, stop=stop)
        if self.tol is not None and not model.history.stopped:
            self._warn_of_convergence(
                f"the {self.epochs} epochs ended before the loss went {self.patience} epochs without improving by more "
                f"than tol={self.tol:g}"
            )
        return self

    def _partial(self, data: Data, *, first: bool) -> Self:
        data = self._weighty(data, self._class_factors(data.y))
        self._train(self._made(data.X) if first else self.model_, data, None, again=not first, partial=True)
        return self

    def _made(self, X: Any) -> Model:
        """A new model for the features of X."""
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=2)
        hidden = [self.hidden_dims] if isinstance(self.hidden_dims, Integral) else self.hidden_dims
        sizes: list[int | Layer | Mapping[str, Any]] = [X.shape[1], *hidden, self._outputs()]
        layers = {name: getattr(self, name) for name in _LAYERS}
        network: Any = MLP(sizes, **layers, dtype=X.dtype, rng=int(seeds[0]))
        if self.standardize:
            network = Sequential(Standardize(X.shape[1], dtype=X.dtype).fit(dense(X)), network)
        self._network_made_of = self._described()
        return self._modelled(network, int(seeds[1]))

    def _continued(self) -> Model:
        """A model of the network of the last fit."""
        for name, value in self._described().items():
            made_of = self._network_made_of[name]
            if repr(value) != repr(made_of):
                raise ValueError(
                    f"{type(self).__name__}: warm_start=True goes on with a network made with {name}={made_of!r}, got "
                    f"{value!r}; for a new network, fit a clone"
                )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1, size=2)[1])
        model = self._modelled(self.model_.network, seed)
        model.history = self.model_.history
        return model

    def _described(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("hidden_dims", "standardize", *_LAYERS)}

    def _modelled(self, network: Any, seed: int) -> Model:
        model = Model(
            network,
            loss=self._loss(),
            optimizer=self._optimizer(),
            schedule=self.schedule,
            schedule_every=self.schedule_every,
            clip_norm=self.clip_norm,
            rng=seed,
        )
        if isinstance(model.optimizer, LBFGS) and any(isinstance(module, Dropout) for module in network.modules()):
            raise ValueError(
                f"{type(self).__name__}: optimizer='lbfgs' needs a loss without noise, got dropout; leave it out"
            )
        return model

    def _weighty(self, data: Data, factors: Any) -> Data:
        """The rows whose weights, times their classes' factors, are not 0; the weights have mean 1."""
        if factors is not None:
            data = data._replace(weight=factors[data.y] if data.weight is None else data.weight * factors[data.y])
        if data.weight is not None:
            kept = data.weight > 0
            if not kept.any():
                raise ValueError("sample_weight: all weights are 0, so nothing is left to learn from")
            data = data if kept.all() else data.part(kept)
            data = data._replace(weight=data.weight / data.weight.mean())
        return data

    def _checked_validation(self, given: Sequence[Any]) -> Data:
        me = type(self).__name__
        if not isinstance(given, tuple | list) or not 2 <= len(given) <= 3:
            kind = f"{len(given)} values" if isinstance(given, tuple | list) else type(given).__name__
            raise TypeError(f"{me}: validation_data must be (X, y) or (X, y, sample_weight), got {kind}")
        try:
            held = self._checked(*given, *(None,) * (3 - len(given)), reset=False)
        except ValueError as error:
            error.add_note(f"This is about validation_data of {me}.fit.")
            raise
        if held.X.shape[0] < self._fewest_held:
            raise ValueError(f"{me}: validation_data has a single sample, expected {self._fewest_held} for r2")
        return held

    def _split(self, data: Data) -> tuple[Data, Data]:
        """The data for training, and those held out for early stopping."""
        rows = data.X.shape[0]
        if rows < 2:
            raise ValueError(
                f"{type(self).__name__}: early_stopping=True holds rows out, got 1 sample (n_samples=1); give more, or "
                "validation_data"
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1, size=3)[2])
        share = -(-rows * self.validation_fraction // 1)  # rounded as in train_test_split
        if share >= rows:
            raise ValueError(
                f"{type(self).__name__}: validation_fraction={self.validation_fraction} of n_samples={rows} leaves "
                "none to train on"
            )
        if share < self._fewest_held:
            raise ValueError(
                f"{type(self).__name__}: validation_fraction={self.validation_fraction} of n_samples={rows} holds out "
                f"{share:g}, expected {self._fewest_held} for r2; give a larger one, or validation_data"
            )
        strata = self._strata(data.y)
        if strata is not None:
            # Equal shares of each class need two samples of each, and both parts must have room for all classes.
            sizes = np.unique(strata, return_counts=True)[1]
            strata = strata if sizes.min() > 1 and len(sizes) <= min(share, rows - share) else None
        part, held = train_test_split(
            np.arange(rows), test_size=self.validation_fraction, random_state=seed, stratify=strata
        )
        return data.part(part), data.part(held)

    def _train(
        self,
        model: Model,
        data: Data,
        held: Data | None,
        *,
        again: bool,
        partial: bool = False,
        epochs: int = 1,
        stop: EarlyStopping | None = None,
    ) -> None:
        """Train a model further, and keep it."""
        rows = data.X.shape[0]
        if rows == 1 and any(isinstance(module, BatchNorm) for module in model.modules()):
            raise ValueError("n_samples=1: a batch norm cannot compute the variance of one sample; give more")
        whole = isinstance(model.optimizer, LBFGS)
        size = min(_AUTO_BATCH, rows) if self.batch_size == "auto" else int(self.batch_size)
        scores = None if held is None else ValidationScores(held, self._score)
        own = [stop, scores, Lines() if self.verbose else None]
        before = len(model.history)

        def keep() -> None:
            searched = model.optimizer.losses if isinstance(model.optimizer, LBFGS) else []
            losses = searched or model.history["loss"][before:]
            self._keep(model, rows, losses, scores, again=again, partial=partial)

        try:
            model.fit(
                dense(data.X),
                data.y,
                sample_weight=data.weight,
                epochs=epochs,
                batch_size=rows if whole else size,
                shuffle=bool(self.shuffle) and not whole,
                validation_data=None if held is None else (dense(held.X), held.y, held.weight),
                callbacks=[*(callback for callback in own if callback is not None), *self._given_callbacks()],
                progress=False,
                compile=epochs > 1 and not model.optimizer.skip_nonfinite,
            )
        except KeyboardInterrupt:
            if len(model.history) > before:
                keep()
            raise
        except tg.NonFiniteError as error:
            hint = "standardize=True" if whole else "a smaller lr, standardize=True or clip_norm=1.0"
            error.add_note(
                f"{type(self).__name__}: the training run diverged in epoch {len(model.history) - before + 1}; write "
                f"{hint}"
            )
            raise
        keep()
        if model.history.stopped == "Ctrl-C":
            raise KeyboardInterrupt

    def _given_callbacks(self) -> list[Any]:
        given = self.callbacks
        return list(given) if isinstance(given, list | tuple) else [given]

    def _minimised(self, model: Model, data: Data, held: Data | None, again: bool) -> Self:
        """Train by L-BFGS, on all rows at once."""
        if held is not None:
            raise ValueError(
                f"{type(self).__name__}: optimizer='lbfgs' does not use validation_data: it is a single step on all "
                "rows; leave it out"
            )
        self._train(model, data, None, again=again)
        optimizer = model.optimizer
        assert isinstance(optimizer, LBFGS)
        if not optimizer.converged:
            self._warn_of_convergence(f"L-BFGS ended after {len(optimizer.losses)} iterations without converging")
        return self

    def _warn_of_convergence(self, what: str) -> None:
        text = f"{type(self).__name__}: {what}; give more epochs, or a larger tol"
        warnings.warn(text, ConvergenceWarning, stacklevel=3)

    def _keep(
        self,
        model: Model,
        rows: int,
        losses: Sequence[float],
        scores: ValidationScores | None,
        *,
        again: bool,
        partial: bool,
    ) -> None:
        """Keep a model that was trained, and the course of the training run."""
        self.loss_curve_ = [*(self.loss_curve_ if again else []), *losses]
        self.n_iter_ = len(losses) + (self.n_iter_ if again and partial else 0)
        self.t_ = rows * len(losses) + (self.t_ if again else 0)
        if not (again and partial):
            before = (again and self.validation_scores_) or []
            self.validation_scores_ = None if scores is None else [*before, *scores.scores]
        found = self.validation_scores_
        self.best_validation_score_ = max(found) if found else None
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_, default=None)
        self.model_ = model

    # --- use --------------------------------------------------------------------------------------------

    def _predicted(self, X: Any) -> Any:
        """The network's outputs."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=(np.float64, np.float32))
        return self.model_.predict(dense(X))

    @property
    def loss_(self) -> float:
        """The loss of the last epoch."""
        return self.loss_curve_[-1]

    def _linear(self) -> list[Linear]:
        return [module for module in self.model_.network.modules() if isinstance(module, Linear)]

    @property
    def coefs_(self) -> list[Any]:
        """The weights of each layer, shape (inputs, outputs): the network's own arrays."""
        return [layer.W.data for layer in self._linear()]

    @property
    def intercepts_(self) -> list[Any]:
        """The biases of each layer, shape (outputs,); zeros before a batch norm, where there is none."""
        return [np.zeros_like(layer.W.data[0]) if layer.b is None else layer.b.data for layer in self._linear()]

    @property
    def n_layers_(self) -> int:
        """The number of layers, with the inputs as one."""
        return len(self._linear()) + 1

    @property
    def n_outputs_(self) -> int:
        """The number of the network's outputs."""
        return self._linear()[-1].out_features
