"""What the classifier and the regressor have in common: arguments, training, attributes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

import tensorgrad as tg

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
from .arguments import Arguments
from .parts import Data, ValidationScores

__all__ = ["FNN"]

_LAYERS = ("activation", "norm", "dropout", "init", "l1", "l2")
_AUTO_BATCH = 200  # rows; scikit-learn's


class FNN(Arguments):
    """Base class of the classifier and the regressor; see :class:`nn.FNNClassifier` for the arguments."""

    model_: Model
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    n_iter_: int
    t_: int

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
        self._check_arguments(validation_data)
        again = self.warm_start and hasattr(self, "model_")
        with self._unless_it_fails():
            data = self._checked(X, y, sample_weight, reset=not again)
            factors = self._class_factors(data.y)
            data = _weighted(data, factors)
            held = None if validation_data is None else self._checked_validation(validation_data, factors)
            if self.early_stopping and held is None:
                data, held = self._split(data)
            model = self._continued() if again else self._made(data.X)
            whole = isinstance(model.optimizer, LBFGS)
            stop = None if whole else self._stop()
            self._train(model, data, held, again=again, epochs=1 if whole else self.epochs, stop=stop)
        self._warn_unless_converged(model)
        return self

    @contextmanager
    def _unless_it_fails(self) -> Iterator[None]:
        """In a ``with`` block that fails before a model is kept, leave the estimator as it was."""
        state: dict[str, Any] = self.__dict__
        before = dict(state)
        try:
            yield
        except BaseException:
            if state.get("loss_curve_") is before.get("loss_curve_"):
                state.clear()
                state.update(before)
            raise

    def _partial(self, X: Any, y: Any, weight: Any, **first_of: Any) -> Self:
        """Train for one epoch, as ``partial_fit``."""
        first = not hasattr(self, "model_")
        with self._unless_it_fails():
            data = self._checked(X, y, weight, reset=first, **first_of)
            data = _weighted(data, self._class_factors(data.y))
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
            network = Sequential(Standardize(X.shape[1], dtype=X.dtype).fit(X), network)
        self._network_arguments = self._arguments_of_network()
        return self._modelled(network, int(seeds[1]))

    def _continued(self) -> Model:
        """A model of the network of the last fit."""
        for name, value in self._arguments_of_network().items():
            made_of = self._network_arguments[name]
            if repr(value) != repr(made_of):
                raise ValueError(
                    f"{type(self).__name__}: warm_start=True goes on with a network made with {name}={made_of!r}, got "
                    f"{value!r}; for a new network, fit a clone"
                )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1, size=2)[1])
        model = self._modelled(self.model_.network, seed)
        model.history = self.model_.history
        return model

    def _arguments_of_network(self) -> dict[str, Any]:
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

    def _checked_validation(self, given: Sequence[Any], factors: Any) -> Data:
        me = type(self).__name__
        if not isinstance(given, tuple | list) or not 2 <= len(given) <= 3:
            kind = f"{len(given)} values" if isinstance(given, tuple | list) else type(given).__name__
            raise TypeError(f"{me}: validation_data must be (X, y) or (X, y, sample_weight), got {kind}")
        try:
            return _weighted(self._checked(*given, *(None,) * (3 - len(given)), reset=False), factors)
        except ValueError as error:
            error.add_note(f"This is about validation_data of {me}.fit.")
            raise

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
        own = [stop, scores]
        before = len(model.history)

        def keep() -> None:
            searched = model.optimizer.losses if isinstance(model.optimizer, LBFGS) else []
            losses = searched or model.history["loss"][before:]
            self._keep(model, rows, losses, scores, again=again, partial=partial)

        try:
            model.fit(
                data.X,
                data.y,
                sample_weight=data.weight,
                epochs=epochs,
                batch_size=rows if whole else size,
                shuffle=bool(self.shuffle) and not whole,
                validation_data=None if held is None else tuple(held),
                callbacks=[*(callback for callback in own if callback is not None), *self._given_callbacks()],
                progress=bool(self.verbose),
            )
        except KeyboardInterrupt:
            if len(model.history) > before:
                keep()
            raise
        except tg.NonFiniteError as error:
            advice = f" in epoch {len(model.history) - before + 1}; write a smaller lr, clip_norm=1.0 or"
            error.add_note(
                f"{type(self).__name__}: the training run diverged{'; write' if whole else advice} standardize=True"
            )
            raise
        keep()

    def _stop(self) -> EarlyStopping | None:
        """What ends the training before the last epoch."""
        if self.early_stopping:
            return EarlyStopping(patience=self.patience, min_delta=self.tol or 0.0)
        if self.tol is not None:
            return EarlyStopping("loss", patience=self.patience, min_delta=self.tol, restore_best=False)
        return None

    def _warn_unless_converged(self, model: Model) -> None:
        if isinstance(model.optimizer, LBFGS):
            if model.optimizer.converged:
                return
            what = f"L-BFGS ended after {len(model.optimizer.losses)} iterations without converging"
        elif self.tol is None or model.history.stopped:
            return
        else:
            what = (
                f"the {self.epochs} epochs ended before the loss went {self.patience} epochs without improving by more "
                f"than tol={self.tol:g}"
            )
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
        self.best_validation_score_ = None if found is None else max(found, key=_or_worst, default=math.nan)
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_, default=None)
        self.model_ = model

    # --- use --------------------------------------------------------------------------------------------

    def _predicted(self, X: Any) -> Any:
        """The network's outputs."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=(np.float64, np.float32))
        return self.model_.predict(X)

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


def _weighted(data: Data, factors: Any) -> Data:
    """The rows whose weights, times their classes' factors, are not 0; the weights have mean 1."""
    if factors is not None:
        data = data._replace(weight=factors[data.y] if data.weight is None else data.weight * factors[data.y])
    if data.weight is None:
        return data
    kept = data.weight > 0
    if not kept.any():
        raise ValueError("sample_weight: all weights are 0, so no row counts")
    data = data if kept.all() else data.part(kept)
    return data._replace(weight=data.weight / data.weight.mean())


def _or_worst(score: float) -> float:
    return -math.inf if math.isnan(score) else score
