"""scikit-learn's words for what the estimators call otherwise. There are no aliases: an error suggests ours."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

__all__ = ["advising", "checked_word", "unknown"]

F = TypeVar("F", bound=Callable[..., None])

# What to write for the parameters of MLPClassifier and MLPRegressor.
PARAMETERS = {
    "hidden_layer_sizes": "hidden_dims",
    "solver": "optimizer",
    "alpha": "l2=alpha / (2 * batch_size)",
    "learning_rate_init": "lr",
    "learning_rate": 'lr=, and schedule= for a rate that changes, such as schedule="plateau" for "adaptive"',
    "power_t": "schedule",
    "max_iter": "epochs",
    "n_iter_no_change": "patience",
    "momentum": 'optimizer={"name": "sgd", "momentum": 0.9}',
    "nesterovs_momentum": 'optimizer={"name": "sgd", "momentum": 0.9, "nesterov": True}',
    "epsilon": 'optimizer={"name": "adam", "eps": 1e-8}',
    "max_fun": 'optimizer={"name": "lbfgs", "max_eval": 15000}',
}
# Likewise for the values of parameters that have the same name.
VALUES = {
    ("activation", "logistic"): '"sigmoid"',
    ("activation", "identity"): "None",
    ("loss", "squared_error"): '"mse"',
    ("loss", "absolute_error"): '"l1"',
    ("loss", "log_loss"): "None",
    ("schedule", "adaptive"): '"plateau"',
    ("schedule", "constant"): "None",
}


def advising(init: F) -> F:
    """Let a constructor suggest our parameter for one that it does not take."""
    takes = [name for name in inspect.signature(init).parameters if name != "self"]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **given: Any) -> None:
        for name in given:
            if name not in takes:
                raise TypeError(unknown(type(self).__name__, name, takes))
        init(self, *args, **given)

    return checked  # type: ignore[return-value]


def unknown(owner: str, name: str, takes: Iterable[str]) -> str:
    """The message for a parameter that an estimator does not have."""
    takes = list(takes)
    ours = PARAMETERS.get(name)
    if ours is not None:
        return f"{owner} has no parameter {name}=; write {ours}{'=' if ours in takes else ''}"
    near = get_close_matches(name, takes, 1, 0.7)
    hint = f"did you mean {near[0]}=?" if near else f"it takes {', '.join(takes)}"
    return f"{owner} has no parameter {name}=; {hint}"


def checked_word(owner: str, parameter: str, value: Any) -> None:
    """Raise ValueError if a name, or one in a list, is scikit-learn's for something that has another name here."""
    for entry in value if isinstance(value, list | tuple) else [value]:
        given = entry.get("name") if isinstance(entry, Mapping) else entry
        if isinstance(given, str) and (parameter, given) in VALUES:
            raise ValueError(
                f"{owner}: {parameter}={given!r} is scikit-learn's word; write {parameter}={VALUES[parameter, given]}"
            )
