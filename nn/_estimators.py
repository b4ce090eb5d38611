"""scikit-learn estimators. This is the only file whose import needs scikit-learn (extra ``sklearn``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

import tensorgrad as tg

from ._layers.containers import Sequential
from ._layers.normalization import BatchNorm
from ._layers.standardize import Standardize
from ._models.layer import Layer
from ._models.mlp import MLP
from ._optim.lbfgs import LBFGS
from ._training.callbacks import EarlyStopping
from ._training.model import Model

__all__ = ["FNNClassifier", "FNNRegressor"]

_WITH_BETAS = ("adam", "adamw", "nadam", "radam", "lion")


class _FNN(BaseEstimator):
    """Base class of the classifier and the regressor; see :class:`FNNClassifier` for the arguments."""

    _loss: str

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
        optimizer: str | Mapping[str, Any] = "adam",
        lr: float = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        batch_size: int = 32,
        epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_dims = hidden_dims
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.init = init
        self.l1 = l1
        self.l2 = l2
        self.standardize = standardize
        self.optimizer = optimizer
        self.lr = lr
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.verbose = verbose

    def _make(self, X: Any, outputs: int) -> Model:
        """A new model for the features of X."""
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=2)
        hidden = [self.hidden_dims] if isinstance(self.hidden_dims, Integral) else self.hidden_dims
        sizes = [X.shape[1], *hidden, outputs]
        layers = {name: getattr(self, name) for name in ("activation", "norm", "dropout", "init", "l1", "l2")}
        network: Any = MLP(sizes, **layers, dtype=X.dtype, rng=int(seeds[0]))
        if self.standardize:
            network = Sequential(Standardize(X.shape[1], dtype=X.dtype).fit(X), network)
        return Model(network, loss=self._loss, optimizer=self._optimizer(), clip_norm=self.clip_norm, rng=int(seeds[1]))

    def _optimizer(self) -> dict[str, Any]:
        if not isinstance(self.optimizer, str | Mapping):
            raise ValueError(f"optimizer must be a name, or a dict of name and options, got {self.optimizer!r}")
        given = {"name": self.optimizer} if isinstance(self.optimizer, str) else dict(self.optimizer)
        name = str(given.get("name")).lower()
        options: dict[str, Any] = {} if name == "lbfgs" else {"lr": self.lr, "weight_decay": self.weight_decay}
        if name in _WITH_BETAS:
            options["betas"] = (self.beta_1, self.beta_2)
        return {**options, **given, "name": name}

    def _train(self, X: Any, y: Any, weight: Any, *, epochs: int = 1, early: bool = False) -> Self:
        """Train the model further. Rows of weight 0 are left out."""
        if weight is not None:
            kept = weight > 0
            if not kept.any():
                raise ValueError("sample_weight: all weights are 0, so nothing is left to learn from")
            X, y, weight = X[kept], y[kept], weight[kept] / weight[kept].mean()
        norms = any(isinstance(module, BatchNorm) for module in self.model_.modules())
        if len(X) == 1 and norms:
            raise ValueError("n_samples=1: a batch norm cannot compute the variance of one sample; give more")
        held, callbacks, optimizer = None, [], self.model_.optimizer
        if early:
            X, y, weight, *held = self._held(X, y, weight)
            callbacks = [EarlyStopping(patience=self.patience)]
        self.model_.fit(
            X,
            y,
            sample_weight=weight,
            epochs=epochs,
            batch_size=self.batch_size,
            drop_last=norms and epochs > 1,  # in a single epoch, dropped rows are never seen
            validation_data=held,
            callbacks=callbacks,
            progress=bool(self.verbose),
            compile=epochs > 1 and not isinstance(optimizer, LBFGS) and not optimizer.skip_nonfinite,
        )
        self.loss_curve_ = list(self.model_.history["loss"])
        self.n_iter_ = len(self.model_.history)
        return self

    def _held(self, X: Any, y: Any, weight: Any) -> list[Any]:
        """X, y and weight for training, and those for early stopping."""
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be between 0 and 1, got {self.validation_fraction!r}")
        rows = np.arange(len(X))
        seed = int(self.model_.rng.integers(2**31))
        count = -(-len(X) * self.validation_fraction // 1)  # rounded as in train_test_split
        strata = self._strata(y)
        if strata is not None:
            # Equal shares of each class need two samples of each, and both parts must have room for all classes.
            sizes = np.unique(strata, return_counts=True)[1]
            strata = strata if sizes.min() > 1 and len(sizes) <= min(count, len(X) - count) else None
        part, held = train_test_split(rows, test_size=self.validation_fraction, random_state=seed, stratify=strata)
        return [None if a is None else a[chosen] for chosen in (part, held) for a in (X, y, weight)]

    def _strata(self, y: Any) -> Any:
        return None

    def _outputs(self, X: Any) -> Any:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        return self.model_.predict(X)


class FNNClassifier(ClassifierMixin, _FNN):
    """A feed-forward network that classifies, with the interface of scikit-learn's ``MLPClassifier``.

    The network is an :class:`nn.MLP` with one output per class, trained by :meth:`nn.Model.fit` on the cross-entropy,
    in the dtype of X. An argument of the layers applies to all of them, or is a list with an entry for each.

    Args:
        hidden_dims: width of each hidden layer; an entry may be an :class:`nn.Layer` or a dict of its fields.
        activation: as in :class:`nn.Layer`.
        norm: likewise. With a batch norm, each epoch drops the rows that do not fill a batch.
        dropout: likewise.
        init: likewise.
        l1: likewise.
        l2: likewise.
        standardize: scale the features to mean 0 and variance 1 in a first layer, with the statistics of the data that
            the model is made for.
        optimizer: a name, as in :class:`nn.Model`, in upper or lower case, such as "AdamW"; or a dict of name and
            options.
        lr: learning rate.
        beta_1: weight of the old mean of the gradients, in Adam and its variants.
        beta_2: likewise, for their squares.
        weight_decay: as the optimiser defines it; biases and norms do not decay.
        clip_norm: an upper bound on the norm of all gradients together.
        batch_size: rows per step.
        epochs: the number of passes over the data.
        early_stopping: hold out part of the data, end when its loss no longer improves, and keep the best weights.
        validation_fraction: the share of the data to hold out.
        patience: early stopping ends the training after this many epochs without improvement.
        class_weight: "balanced", or a dict of factors by class.
        random_state: seed for the weights, dropout, the order of the rows and the choice of those held out.
        verbose: show the progress.

    Attributes:
        classes_: the labels, shape (classes,).
        model_: the :class:`nn.Model`, in evaluation mode.
        loss_curve_: the loss of each epoch.
        n_iter_: how many epochs were run.
        n_features_in_: number of features.

    Raises:
        ValueError: an argument is out of range; the message names it.

    >>> import nn
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> names = load_iris().target_names[y]
    >>> classifier = nn.FNNClassifier((16, 16), norm="batch", standardize=True, lr=0.01, random_state=0)
    >>> classifier.fit(X, names).score(X, names) > 0.95
    True
    >>> classifier.predict(X[:1])
    array(['setosa'], dtype='<U10')
    """

    _loss = "cross_entropy"

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
        optimizer: str | Mapping[str, Any] = "adam",
        lr: float = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        batch_size: int = 32,
        epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        class_weight: str | Mapping[Any, float] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            hidden_dims,
            activation=activation,
            norm=norm,
            dropout=dropout,
            init=init,
            l1=l1,
            l2=l2,
            standardize=standardize,
            optimizer=optimizer,
            lr=lr,
            beta_1=beta_1,
            beta_2=beta_2,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            batch_size=batch_size,
            epochs=epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network.

        Args:
            X: shape (samples, features).
            y: labels of any type, shape (samples,).
            sample_weight: factors of the samples' losses, shape (samples,).

        Returns:
            self.
        """
        X, labels, weight = self._checked(X, y, sample_weight, None)
        self.model_ = self._make(X, len(self.classes_))
        return self._train(X, labels, weight, epochs=self.epochs, early=self.early_stopping)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train the network for one epoch on this data; the first call makes it.

        Args:
            X: shape (samples, features).
            y: labels, shape (samples,).
            classes: all labels that will ever occur; the first call needs them.
            sample_weight: shape (samples,).

        Returns:
            self.

        Raises:
            ValueError: the classes are missing in the first call, or differ in a later one.
        """
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError("partial_fit: classes is missing; the first call needs all labels that will ever occur")
        known = np.unique(classes) if classes is not None else self.classes_
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"partial_fit: classes {known} differ from those of the first call, {self.classes_}")
        X, labels, weight = self._checked(X, y, sample_weight, known, reset=first)
        if first:
            self.model_ = self._make(X, len(self.classes_))
        return self._train(X, labels, weight)

    def _checked(self, X: Any, y: Any, weight: Any, classes: Any, reset: bool = True) -> tuple[Any, Any, Any]:
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=reset)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        found, labels = np.unique(y, return_inverse=True)
        self.classes_ = found if classes is None else classes
        if classes is not None:
            if strange := np.setdiff1d(found, classes).tolist():
                raise ValueError(f"y has the labels {strange}, which are not in classes {classes.tolist()}")
            labels = np.searchsorted(classes, found)[labels]
        if weight is not None:
            weight = _check_sample_weight(weight, X, ensure_non_negative=True)
        if self.class_weight is not None:
            factors = compute_sample_weight(self.class_weight, y)
            weight = factors if weight is None else weight * factors
        return X, labels, weight

    def _strata(self, y: Any) -> Any:
        return y

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes, shape (samples, classes), in the order of ``classes_``."""
        return tg.softmax(self._outputs(X), axis=1).data

    def predict(self, X: Any) -> Any:
        """The most probable label of each row, shape (samples,)."""
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]


class FNNRegressor(RegressorMixin, _FNN):
    """A feed-forward network for one or several real targets, with the interface of ``MLPRegressor``.

    It is trained on the squared error. Arguments and attributes are those of :class:`FNNClassifier`, except for those
    about classes.

    >>> import numpy as np, nn
    >>> X = np.linspace(-1, 1, 100).reshape(-1, 1)
    >>> Y = np.hstack([X**2, X**3])
    >>> regressor = nn.FNNRegressor((32, 32), activation="tanh", lr=0.01, random_state=0).fit(X, Y)
    >>> regressor.score(X, Y) > 0.95
    True
    """

    _loss = "mse"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network.

        Args:
            X: shape (samples, features).
            y: shape (samples,) or (samples, outputs).
            sample_weight: factors of the samples' losses, shape (samples,).

        Returns:
            self.
        """
        X, y, weight = self._checked(X, y, sample_weight, reset=True)
        self.model_ = self._make(X, y.shape[1])
        return self._train(X, y, weight, epochs=self.epochs, early=self.early_stopping)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network for one epoch on this data; the first call makes it.

        Args:
            X: shape (samples, features).
            y: shape (samples,) or (samples, outputs).
            sample_weight: shape (samples,).

        Returns:
            self.
        """
        first = not hasattr(self, "model_")
        X, y, weight = self._checked(X, y, sample_weight, reset=first)
        if first:
            self.model_ = self._make(X, y.shape[1])
        return self._train(X, y, weight)

    def _checked(self, X: Any, y: Any, weight: Any, *, reset: bool) -> tuple[Any, Any, Any]:
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if reset:
            self._flat = y.ndim == 1
        if weight is not None:
            weight = _check_sample_weight(weight, X, ensure_non_negative=True)
        return X, y.reshape(len(y), -1).astype(X.dtype, copy=False), weight

    def predict(self, X: Any) -> Any:
        """Predictions, with as many axes as y had."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._flat else outputs
