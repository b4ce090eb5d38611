"""The classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, validate_data

import tensorgrad as tg

from .._models.layer import Layer, Spec
from .._training.model import Model
from .arguments import trains_by_batches
from .base import FNN
from .parts import Data
from .words import advising

__all__ = ["FNNClassifier"]


class FNNClassifier(ClassifierMixin, FNN):
    """A feed-forward network that classifies, with the interface of scikit-learn's ``MLPClassifier``.

    The network is an :class:`nn.MLP` with one output per class, trained by :meth:`nn.Model.fit` on the cross-entropy,
    in the dtype of X. If y has a column of 0 and 1 for each of several labels, the network has one output per label,
    and is trained on the binary cross-entropy. An argument of the layers applies to all of them, or is a list with an
    entry for each.

    Args:
        hidden_dims: width of each hidden layer; an entry may be an :class:`nn.Layer` or a dict of its fields.
        activation: as in :class:`nn.Layer`.
        norm: likewise.
        dropout: likewise.
        init: likewise.
        l1: likewise.
        l2: likewise.
        standardize: scale the features to mean 0 and variance 1 in a first layer, with the statistics of the data that
            the model is made for.
        loss: None for the cross-entropy; the same with options, such as ``{"name": "cross_entropy", "label_smoothing":
            0.1}``, or for several labels ``{"name": "bce_with_logits", "pos_weight": [..]}``; or a function (logits,
            targets) that returns a scalar Tensor.
        optimizer: a name, as in :class:`nn.Model`, in upper or lower case, such as "AdamW"; or a dict of name and
            options. "lbfgs" takes all rows at once: its iterations count as epochs, ``tol`` is its tolerance for the
            gradient, and arguments that it does not use are refused.
        lr: learning rate.
        beta_1: weight of the old mean of the gradients, in Adam and its variants.
        beta_2: likewise, for their squares.
        weight_decay: as the optimiser defines it; biases and norms do not decay.
        clip_norm: an upper bound on the norm of all gradients together.
        schedule: for the learning rate, as in :class:`nn.Model`.
        schedule_every: likewise.
        batch_size: rows per step, at most: an epoch is divided into batches of nearly equal size. "auto" is 200.
        epochs: the number of passes over the data.
        shuffle: take the rows in a new order in each epoch.
        tol: if set, the training ends when the loss has not improved by more than this for ``patience`` epochs, and
            scikit-learn's ConvergenceWarning says if it ended before.
        early_stopping: hold out part of the data, end when its loss no longer improves, and keep the best weights.
        validation_fraction: the share of the data to hold out.
        patience: early stopping, or ``tol``, ends the training after this many epochs without improvement.
        warm_start: :meth:`fit` goes on with the network of the fit before.
        callbacks: a list of :class:`nn.Callback` objects, as for :meth:`nn.Model.fit`.
        class_weight: "balanced", or a dict of factors by class; also for the loss on validation data.
        random_state: seed for the weights, dropout, the order of the rows and the choice of those held out.
        verbose: print a line for each epoch.

    Attributes:
        classes_: the labels, shape (classes,).
        model_: the :class:`nn.Model`, in evaluation mode.
        coefs_: the weights of each layer; the network's own arrays.
        intercepts_: the biases of each layer.
        loss_curve_: the loss of each epoch since the network was made, without ``l1`` and ``l2``; or with "lbfgs",
            after each iteration, with them.
        loss_: the last of them.
        best_loss_: the smallest of them; None with early stopping.
        validation_scores_: the accuracy on the validation data after each epoch; None without such data.
        best_validation_score_: the largest of them. (Early stopping keeps the weights with the smallest loss.)
        n_iter_: how many epochs the last fit ran, and calls of :meth:`partial_fit` since.
        t_: how many rows it was trained on, counted anew in each epoch.
        n_layers_: the number of layers, with the inputs as one.
        n_outputs_: the number of the network's outputs: one per class, also for two.
        out_activation_: "softmax", or "logistic" for several labels.
        n_features_in_: number of features.

    Raises:
        ValueError: an argument is out of range; the message names it.
        TypeError: there is no such argument; the message says what to write.

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

    class_weight: Any
    classes_: Any
    _several: bool  # labels, each 0 or 1

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
        loss: Spec | None = None,
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
        class_weight: str | Mapping[Any, float] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self._hold(locals())

    @available_if(trains_by_batches)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train the network for one epoch on this data; the first call makes it.

        It is not there with ``optimizer="lbfgs"`` or ``early_stopping=True``.

        Args:
            X: shape (samples, features).
            y: labels, shape (samples,), or 0 and 1 of several labels, shape (samples, labels).
            classes: all labels that will ever occur; the first call needs them, unless y has a column for each.
            sample_weight: shape (samples,).

        Returns:
            self.

        Raises:
            ValueError: the classes are missing in the first call, or differ in a later one; or ``class_weight`` is
                "balanced", which would balance each part of the data by itself.
        """
        self._check_arguments()
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"partial_fit: class_weight={self.class_weight!r} would balance each part of the data by itself; write "
                "the factors: classes = np.unique(y), class_weight=dict(zip(classes, compute_class_weight('balanced', "
                "classes=classes, y=y)))"
            )
        known = None if classes is None else np.unique(classes)
        if hasattr(self, "model_") and known is not None and not np.array_equal(known, self.classes_):
            raise ValueError(f"partial_fit: classes {known} differ from those of the first call, {self.classes_}")
        return self._partial(X, y, sample_weight, first_of=known, partial=True)

    # --- data -------------------------------------------------------------------------------------------

    def _checked(
        self, X: Any, y: Any, weight: Any, *, reset: bool, first_of: Any = None, partial: bool = False
    ) -> Data:
        dtypes = (np.float64, np.float32)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=dtypes, multi_output=True, reset=reset)
        y = y.toarray() if hasattr(y, "tocsr") else y
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if reset:
            self._several = y.ndim == 2
        elif self._several != (y.ndim == 2):
            raise ValueError(
                f"{type(self).__name__}: y has shape {y.shape}, expected "
                + (f"(samples, {len(self.classes_)}): 0 and 1 of each label" if self._several else "(samples,)")
                + ", as in the fit before"
            )
        targets = self._indicators(y, first_of, reset) if self._several else self._numbers(y, first_of, reset, partial)
        if weight is not None:
            weight = _check_sample_weight(weight, X, ensure_non_negative=True)
        return Data(X, targets.astype(X.dtype) if self._several else targets, weight)

    def _numbers(self, y: Any, first_of: Any, reset: bool, partial: bool) -> Any:
        """The number of each row's class."""
        check_classification_targets(y)
        found, numbers = np.unique(y, return_inverse=True)
        if partial and reset and first_of is None:
            raise ValueError("partial_fit: classes is missing; the first call needs all labels that will ever occur")
        known = self.classes_ if not reset else found if first_of is None else first_of
        if strange := np.setdiff1d(found, known).tolist():
            raise ValueError(f"y has the labels {strange}, which are not in classes {known.tolist()}")
        self.classes_ = known
        return np.searchsorted(known, found)[numbers]

    def _indicators(self, y: Any, first_of: Any, reset: bool) -> Any:
        """0 and 1 of each label."""
        me = type(self).__name__
        labels = np.arange(y.shape[1]) if reset and first_of is None else first_of if reset else self.classes_
        if len(labels) != y.shape[1]:
            raise ValueError(f"{me}: y has {y.shape[1]} columns, expected one for each of the labels {labels.tolist()}")
        if type_of_target(y) != "multilabel-indicator" or not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"{me}: y has shape {y.shape}, which stands for several labels, each 0 or 1, got "
                f"{np.unique(y)[:5].tolist()}; for one label of each row, write shape (samples,)"
            )
        if self.class_weight is not None:
            raise ValueError(
                f"{me}: class_weight is for one label of each row, got {self.class_weight!r} for several; write "
                "loss={'name': 'bce_with_logits', 'pos_weight': [...]}"
            )
        self.classes_ = labels
        return y

    def _class_factors(self, targets: Any) -> Any:
        if self.class_weight is None or self._several:
            return None
        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[targets])

    def _outputs(self) -> int:
        return len(self.classes_)

    def _loss(self) -> Any:
        usual = "bce_with_logits" if self._several else "cross_entropy"
        name = self.loss.get("name") if isinstance(self.loss, Mapping) else self.loss
        if name not in (None, usual) and not callable(name):
            kind = "several labels, each 0 or 1," if self._several else "one label of each row"
            raise ValueError(
                f"{type(self).__name__}: loss for {kind} must be {usual!r}, alone or with options, or a function, got "
                f"{self.loss!r}"
            )
        return usual if self.loss is None else self.loss

    def _score(self, model: Model, held: Data) -> float:
        outputs = model.predict(held.X)
        hits = ((outputs > 0) == held.y).all(axis=1) if self._several else outputs.argmax(axis=1) == held.y
        return float(np.average(hits, weights=held.weight))

    def _strata(self, targets: Any) -> Any:
        return None if self._several else targets

    # --- use --------------------------------------------------------------------------------------------

    @property
    def out_activation_(self) -> str:
        """What makes probabilities of the network's outputs: "softmax", or "logistic" for several labels."""
        return "logistic" if self._several else "softmax"

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes, shape (samples, classes), in the order of ``classes_``.

        They add up to 1, unless y had several labels: then each label has its own.
        """
        outputs = self._predicted(X)
        return (tg.sigmoid(outputs) if self._several else tg.softmax(outputs, axis=1)).data

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of :meth:`predict_proba`, finite also where a probability rounds to 0."""
        outputs = self._predicted(X)
        return (tg.log_sigmoid(outputs) if self._several else tg.log_softmax(outputs, axis=1)).data

    def predict(self, X: Any) -> Any:
        """The most probable label of each row, shape (samples,); or 0 and 1 of several labels, (samples, labels)."""
        outputs = self._predicted(X)
        return (outputs > 0).astype(int) if self._several else self.classes_[outputs.argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
