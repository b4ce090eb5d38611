"""The metrics of a model: by name, by name and options, functions, and scikit-learn's metrics and scorers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

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
        function: one of ours, or of the user's, ``(prediction, target)``; or one of scikit-learn's, which is known by
            its first argument: ``y_true`` for a metric, ``estimator`` for a scorer.
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
        options = {} if weight is None else self._weights(weight)
        if self._form == "estimator":
            X, y = len(prediction), _rows(loss, prediction, target)[1]
            result = self._function(_estimator(loss, prediction, target), np.zeros((X, 1)), y, **options)
        elif self._form == "y_true":
            result = self._of_scikit_learn(loss, prediction, target, options)
        else:
            several = isinstance(loss, BCELoss | BCEWithLogitsLoss) and np.ndim(prediction) == 2
            if self.is_ours and several and prediction.shape[1] > 1 and "multilabel" in self._arguments:
                options["multilabel"] = True
            result = self._function(prediction, target, **options)
        if not (isinstance(result, Real) or getattr(result, "shape", None) == ()):
            raise TypeError(f"Model: the metric {self.name!r} must return a number, got {type(result).__name__}")
        return float(result)

    def _weights(self, weight: Any) -> dict[str, Any]:
        if "sample_weight" in self._arguments:
            return {"sample_weight": weight}
        if (weight != weight[0]).any():
            raise TypeError(
                f"Model: the metric {self.name!r} takes no sample_weight, but samples differ in weight; write "
                f"def {self.name}(prediction, target, sample_weight=None)"
            )
        return {}

    def _of_scikit_learn(self, loss: Any, prediction: Any, target: Any, options: dict[str, Any]) -> Any:
        estimator = _estimator(loss, prediction, target)
        name = getattr(getattr(self._function, "func", self._function), "__name__", "")
        scored = name in _PROBABILITIES or [*self._arguments][1] in ("y_score", "y_proba", "y_prob")
        given = estimator.predict_proba(None) if scored else estimator.predict(None)
        if scored and given.ndim == 2 and len(estimator.classes_) == 2 and not estimator.multilabel:
            given = given[:, 1]
        return self._function(_rows(loss, prediction, target)[1], given, **options)


def measures(given: Any, loss: Any) -> dict[str, Measure]:
    """The metrics of a model, by column of the history.

    Args:
        given: a list of names, of dicts with a name and options, or of functions; or a dict of these by column.
        loss: the model's loss; some metrics do not fit some losses.

    Raises:
        ValueError: a name or an option is unknown, a column is not to be had, or a metric does not fit the loss.
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


def _rows(loss: Any, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Prediction and target as scikit-learn takes them: a row for each label, and no second axis of one."""
    if _task(loss, prediction, target) == "classes" and prediction.ndim > 2:
        return np.moveaxis(prediction, 1, -1).reshape(-1, prediction.shape[1]), target.reshape(-1)
    if prediction.ndim == 2 and prediction.shape[1] == 1:
        return prediction[:, 0], target.reshape(len(target))
    return prediction, target


def _estimator(loss: Any, prediction: Any, target: Any) -> Any:
    """A fitted estimator that predicts what the network did, whatever X it is given."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    task, (outputs, _) = _task(loss, prediction, target), _rows(loss, prediction, target)
    if task == "numbers":

        class Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
            def predict(self, X: Any) -> Any:
                return outputs

        return Regressor()
    return _classifier(task, outputs, ClassifierMixin, BaseEstimator)


def _classifier(task: str, outputs: Any, *bases: Any) -> Any:
    by_class, several = task == "classes", outputs.ndim > 1
    scores = outputs
    if task == "probabilities":
        with np.errstate(divide="ignore"):
            scores = np.log(outputs) - np.log1p(-outputs)

    class Classifier(*bases):  # type: ignore[misc]
        multilabel = several and not by_class

        def __init__(self) -> None:
            classes = outputs.shape[1] if several else 2
            self.classes_ = np.array([-1, 1]) if task == "margins" else np.arange(classes)

        def predict(self, X: Any) -> Any:
            if by_class:
                return np.argmax(scores, axis=1)
            return np.where(scores > 0, 1, -1 if task == "margins" else 0)

        def decision_function(self, X: Any) -> Any:
            return scores[:, 1] - scores[:, 0] if by_class and scores.shape[1] == 2 else scores

        def predict_proba(self, X: Any) -> Any:
            exact = np.asarray(scores, np.float64)  # so that rows add up to 1
            if by_class:
                return np.exp(exact - np.logaddexp.reduce(exact, axis=1, keepdims=True))
            likely = np.exp(-np.logaddexp(0.0, -exact))
            return likely if several else np.column_stack([1 - likely, likely])

    return Classifier()
