"""The metrics of a model: by name, by name and options, functions, and scikit-learn's metrics and scorers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

import tensorgrad as tg

from .._losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, HingeLoss, NLLLoss
from ..metrics import METRICS

__all__ = ["Measure", "measures"]

_OF_LOGITS = ("accuracy", "balanced_accuracy", "f1", "log_loss", "precision", "recall")
_RESERVED = ("loss", "lr", "grad_norm", "seconds")
_PROBABILITIES = ("log_loss", "d2_log_loss_score")  # of scikit-learn, which call their probabilities y_pred


class Measure:
    """A metric of a model's predictions.

    Args:
        name: the column of the history.
        function: one of ours, or of the user's, ``(prediction, target)``; or one of scikit-learn's or like it, which is
            known by its first argument: ``y_true`` for a metric, ``estimator`` for a scorer.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self._function = name, function
        self.is_ours = getattr(function, "func", function) in METRICS.values()
        self._arguments = _arguments(function)
        first = next(iter(self._arguments), "")
        home = getattr(getattr(function, "func", function), "__module__", None) or ""
        self._form = "y_true" if home.startswith("sklearn.metrics.") and first != "estimator" else first

    def __call__(self, loss: Any, prediction: Any, target: Any, weight: Any = None) -> float:
        """The metric of all predictions of a model with this loss.

        Raises:
            TypeError: the result is not a number, or samples differ in weight and the function takes no weights.
        """
        if self._form == "estimator":
            given, y = _predictions(loss, prediction, target)
            result = self._function(_estimator(given), np.zeros((len(y), 1)), y, **self._weights(weight, len(y)))
        elif self._form == "y_true":
            given, y = _predictions(loss, prediction, target)
            result = self._function(y, self._as_scikit_learn(given), **self._weights(weight, len(y)))
        else:
            options = self._weights(weight, len(target))
            several = isinstance(loss, BCELoss | BCEWithLogitsLoss) and np.ndim(prediction) == 2
            if self.is_ours and several and prediction.shape[1] > 1 and "multilabel" in self._arguments:
                options["multilabel"] = True
            result = self._function(prediction, target, **options)
        if not (isinstance(result, Real) or getattr(result, "shape", None) == ()):
            raise TypeError(f"Model: the metric {self.name!r} must return a number, got {type(result).__name__}")
        return float(result)

    def _weights(self, weight: Any, rows: int) -> dict[str, Any]:
        if weight is None:
            return {}
        if "sample_weight" in self._arguments:
            return {"sample_weight": np.repeat(weight, rows // len(weight))}
        if (weight != weight[0]).any():
            raise TypeError(
                f"Model: the metric {self.name!r} takes no sample_weight, but samples differ in weight; write "
                f"def {self.name}(prediction, target, sample_weight=None)"
            )
        return {}

    def _as_scikit_learn(self, given: _Numbers | _Classes) -> Any:
        name = getattr(getattr(self._function, "func", self._function), "__name__", "")
        scored = name in _PROBABILITIES or self._arguments[1:2] in (["y_score"], ["y_proba"], ["y_prob"])
        if not scored or isinstance(given, _Numbers):
            return given.predict()
        likely = given.predict_proba()
        return likely[:, 1] if given.is_binary else likely


def measures(given: Any, loss: Any) -> dict[str, Measure]:
    """The metrics of a model, by column of the history.

    Args:
        given: a list of names, of dicts with a name and options, or of functions; or a dict of these by column.
        loss: the model's loss; some metrics do not fit some losses.

    Raises:
        ValueError: a name or an option is unknown, a column has its name already, or a metric does not fit the loss.
    """
    if isinstance(given, Mapping):
        entries = [(column, entry) for column, entry in given.items()]
    elif isinstance(given, list | tuple):
        entries = [(None, entry) for entry in given]
    else:
        raise _unknown(given, given)
    found: dict[str, Measure] = {}
    for column, entry in entries:
        name, function = _resolved(entry, given)
        if column is None and name in ("", "<lambda>"):
            raise ValueError(f"Model: the metric {entry!r} has no name; write metrics={{'name': metric}}")
        column = name if column is None else column
        if not isinstance(column, str) or column in _RESERVED or column.startswith("val_"):
            raise ValueError(f"Model: {column!r} cannot be the name of a metric; it is a column of the history already")
        if column in found:
            raise ValueError(f"Model: two metrics are called {column!r}; write metrics={{'name': metric, ...}}")
        found[column] = Measure(column, function)
        if isinstance(loss, BCELoss) and found[column].is_ours and name in _OF_LOGITS:
            raise ValueError(f"Model: {name} takes logits; write loss='bce_with_logits' and leave the last sigmoid out")
    return found


def _resolved(entry: Any, given: Any) -> tuple[str, Callable[..., Any]]:
    """The name of a metric, "" for none, and its function."""
    if callable(entry) and not isinstance(entry, type):
        return getattr(getattr(entry, "func", entry), "__name__", ""), entry
    options = {} if isinstance(entry, str) else {**entry} if isinstance(entry, Mapping) else None
    name = entry if isinstance(entry, str) else None if options is None else options.pop("name", None)
    if options is None or not isinstance(name, str) or name not in METRICS:
        raise _unknown(entry, given)
    function = METRICS[name]
    known = list(inspect.signature(function).parameters)[2:]
    known.remove("sample_weight")
    if wrong := [option for option in options if option not in known]:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise ValueError(f"Model: {wrong[0]!r} is not an option of the metric {name!r}; {has}")
    return name, partial(function, **options) if options else function


def _unknown(entry: Any, given: Any) -> ValueError:
    return ValueError(
        f"Model: metrics must be a list of names among {', '.join(METRICS)}, of dicts of a name and options, and of "
        f"functions (prediction, target), or a dict of these by name, got {entry!r}"
        + ("" if entry is given else f" in {given!r}")
    )


def _arguments(function: Callable[..., Any]) -> list[str]:
    try:
        return [*inspect.signature(function).parameters]
    except (TypeError, ValueError):  # some functions of C
        return []


# --- as scikit-learn sees it ------------------------------------------------------------------------------


def _task(loss: Any, prediction: Any, target: Any) -> str:
    """What is predicted: "classes" by scores, "logits" or "probabilities" of 0 and 1, "margins", or "numbers"."""
    if isinstance(loss, CrossEntropyLoss | NLLLoss):
        return "classes"
    for kind, task in ((BCEWithLogitsLoss, "logits"), (BCELoss, "probabilities"), (HingeLoss, "margins")):
        if isinstance(loss, kind):
            return task
    whole = getattr(target, "dtype", np.dtype(float)).kind in "iu"
    scores = prediction.ndim > 1 and target.shape == prediction.shape[:1] + prediction.shape[2:]
    return "classes" if whole and scores else "numbers"


class _Numbers:
    """The outputs as the predictions of a regressor."""

    kind = "RegressorMixin"

    def __init__(self, outputs: Any) -> None:
        self.outputs = outputs

    def predict(self, X: Any = None) -> Any:
        """The outputs."""
        return self.outputs


class _Classes:
    """The outputs as the predictions of a classifier.

    Args:
        scores: shape (rows, classes); or logits, shape (rows,), or (rows, labels) for several labels per row.
        task: of :func:`_task`, other than "numbers".
    """

    kind = "ClassifierMixin"

    def __init__(self, scores: Any, task: str) -> None:
        self._by_class, self._several = task == "classes", scores.ndim > 1
        with tg.silenced():
            self._scores = np.log(scores) - np.log1p(-scores) if task == "probabilities" else scores
        self._no = -1 if task == "margins" else 0
        classes = scores.shape[1] if self._several else 2
        self.classes_ = np.array([-1, 1]) if self._no else np.arange(classes)
        self.is_binary = classes == 2 and (self._by_class or not self._several)

    def predict(self, X: Any = None) -> Any:
        """The classes, or for each label whether it is predicted."""
        return np.argmax(self._scores, axis=1) if self._by_class else np.where(self._scores > 0, 1, self._no)

    def decision_function(self, X: Any = None) -> Any:
        """The scores; one column for two classes."""
        return self._scores[:, 1] - self._scores[:, 0] if self._by_class and self.is_binary else self._scores

    def predict_proba(self, X: Any = None) -> Any:
        """The probabilities of the classes, or of each label."""
        exact = np.asarray(self._scores, np.float64)  # so that rows add up to 1
        if self._by_class:
            return np.exp(exact - np.logaddexp.reduce(exact, axis=1, keepdims=True))
        likely = np.exp(-np.logaddexp(0.0, -exact))
        return likely if self._several else np.column_stack([1 - likely, likely])


def _predictions(loss: Any, prediction: Any, target: Any) -> tuple[_Numbers | _Classes, Any]:
    """Predictions and targets as scikit-learn takes them: a row for each label, and no second axis of one."""
    task = _task(loss, prediction, target)
    if task == "classes":
        if prediction.ndim > 2:
            prediction, target = np.moveaxis(prediction, 1, -1).reshape(-1, prediction.shape[1]), target.reshape(-1)
    elif prediction.ndim == 2 and prediction.shape[1] == 1:
        prediction, target = prediction[:, 0], target.reshape(len(target))
    return _Numbers(prediction) if task == "numbers" else _Classes(prediction, task), target


def _estimator(given: Any) -> Any:
    """A fitted estimator of scikit-learn that predicts what the network did, whatever X it is given."""
    import sklearn.base

    bases = (type(given), getattr(sklearn.base, given.kind), sklearn.base.BaseEstimator)
    estimator: Any = object.__new__(type("Network", bases, {}))
    vars(estimator).update(vars(given))
    return estimator
