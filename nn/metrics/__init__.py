"""Measures of how good predictions are, as plain numbers without a graph.

Each takes a prediction, a target and, optionally, a weight for each sample (along the first axis), and returns a
float. ``METRICS`` has them by name.
"""

from collections.abc import Callable as _Callable

import tensorgrad as _tg

from .classification import accuracy as accuracy
from .classification import balanced_accuracy as balanced_accuracy
from .classification import f1 as f1
from .classification import log_loss as log_loss
from .classification import precision as precision
from .classification import recall as recall
from .classification import top_k_accuracy as top_k_accuracy
from .ranking import average_precision as average_precision
from .ranking import roc_auc as roc_auc
from .regression import mae as mae
from .regression import mse as mse
from .regression import r2 as r2
from .regression import rmse as rmse

__all__ = [
    "METRICS",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "f1",
    "log_loss",
    "mae",
    "mse",
    "precision",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "top_k_accuracy",
]

METRICS: dict[str, _Callable[..., float]] = {name: globals()[name] for name in __all__ if name != "METRICS"}

__dir__ = _tg.words.public_names(globals())
